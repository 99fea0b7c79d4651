//! The guest that tests an accelerator: an initial RAM disk with an init that prints a nonce and reboots.
//!
//! The nonce is in the program, not on the kernel's command line, because the kernel itself prints that. The program is
//! x86-64 machine code in a static ELF file, so that it needs no compiler and no library.

use host::cpio::Archive;

/// The address at which the program is loaded; the first pages are not available to programs.
const BASE: u64 = 0x40_0000;
/// The sizes of the file's header and of its one program header (elf(5)).
const HEADERS: usize = 64 + 56;

/// write(1, nonce, length): up to the address of the nonce, which follows.
const WRITE: &[u8] = &[
    0xb8, 0x01, 0x00, 0x00, 0x00, // mov eax, 1         the number of write(2)
    0x89, 0xc7, //                   mov edi, eax       standard output, which the kernel opened on the console
    0x48, 0x8d, 0x35, //             lea rsi, [rip + …] the nonce; its distance follows
];
/// The next argument: the length of the nonce follows, in four bytes.
const LENGTH: &[u8] = &[
    0xba, //                         mov edx, …
];
/// Reboots. A power-off would need a driver; QEMU is started so that it ends at a reboot.
const CALL_AND_REBOOT: &[u8] = &[
    0x0f, 0x05, //                   syscall
    0xb8, 0xa9, 0x00, 0x00, 0x00, // mov eax, 169       the number of reboot(2)
    0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov edi, 0xfee1dead   LINUX_REBOOT_MAGIC1
    0xbe, 0x69, 0x19, 0x12, 0x28, // mov esi, 0x28121969   LINUX_REBOOT_MAGIC2
    0xba, 0x67, 0x45, 0x23, 0x01, // mov edx, 0x01234567   LINUX_REBOOT_CMD_RESTART
    0x0f, 0x05, //                   syscall
    0xb8, 0x22, 0x00, 0x00, 0x00, // mov eax, 34        the number of pause(2), in case the reboot fails
    0x0f, 0x05, //                   syscall
    0xeb, 0xf7, //                   jmp to `mov eax, 34`  the kernel panics where init ends
];

/// The initial RAM disk of a guest that prints `nonce` on a line of its own.
pub(super) fn initrd(nonce: &str) -> Vec<u8> {
    let mut archive = Archive::default();
    // The kernel opens the console for init there. Most kernels have the device built in.
    archive.directory("dev");
    archive.character_device("dev/console", 5, 1);
    archive.program("init", &program(&format!("\r\n{nonce}\r\n")));
    archive.finish()
}

/// A program that prints `text`.
fn program(text: &str) -> Vec<u8> {
    // Relative to the end of the instruction, of which the distance is the last part.
    let distance = LENGTH.len() + 4 + CALL_AND_REBOOT.len();
    let mut code = WRITE.to_vec();
    code.extend_from_slice(&(distance as u32).to_le_bytes());
    code.extend_from_slice(LENGTH);
    code.extend_from_slice(&(text.len() as u32).to_le_bytes());
    code.extend_from_slice(CALL_AND_REBOOT);
    code.extend_from_slice(text.as_bytes());
    let mut file = headers(code.len());
    file.extend_from_slice(&code);
    file
}

/// The headers of an executable with one segment, which is the whole file (elf(5)).
fn headers(code: usize) -> Vec<u8> {
    let size = (HEADERS + code) as u64;
    let mut bytes = b"\x7fELF".to_vec();
    bytes.extend_from_slice(&[2, 1, 1, 0]); // 64 bits, little-endian, version 1, System V
    bytes.resize(16, 0);
    let half = |value: u16, bytes: &mut Vec<u8>| bytes.extend_from_slice(&value.to_le_bytes());
    half(2, &mut bytes); // ET_EXEC
    half(62, &mut bytes); // EM_X86_64
    bytes.extend_from_slice(&1_u32.to_le_bytes()); // version
    bytes.extend_from_slice(&(BASE + HEADERS as u64).to_le_bytes()); // entry
    bytes.extend_from_slice(&64_u64.to_le_bytes()); // place of the program headers
    bytes.extend_from_slice(&0_u64.to_le_bytes()); // no section headers
    bytes.extend_from_slice(&0_u32.to_le_bytes()); // flags
    for value in [64, 56, 1, 0, 0, 0] {
        half(value, &mut bytes); // sizes and counts: this header; program headers; section headers; no names
    }
    bytes.extend_from_slice(&1_u32.to_le_bytes()); // PT_LOAD
    bytes.extend_from_slice(&5_u32.to_le_bytes()); // to be read and executed
    for value in [0, BASE, BASE, size, size, 0x1000] {
        bytes.extend_from_slice(&value.to_le_bytes()); // place in the file, addresses, sizes, alignment
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_refers_to_the_text() {
        let file = program("nonce");
        let lea_ends = HEADERS + WRITE.len() + 4;
        let distance = u32::from_le_bytes(file[lea_ends - 4..lea_ends].try_into().unwrap()) as usize;
        assert_eq!(&file[lea_ends + distance..], b"nonce");
        let length = u32::from_le_bytes(file[lea_ends + 1..lea_ends + 5].try_into().unwrap());
        assert_eq!(length, 5);
        let jump_ends = lea_ends + distance;
        assert_eq!(&file[jump_ends - 9..jump_ends - 4], &[0xb8, 0x22, 0, 0, 0], "the jump leads to the pause");
    }
}
