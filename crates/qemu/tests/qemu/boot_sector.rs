//! Guests of a few bytes: boot sectors in the form of Linux (Documentation/arch/x86/boot.rst), which QEMU's `-kernel` starts
//! in real mode.

/// The offset of the code in its segment.
const CODE: usize = 0x68;

/// A kernel file with this code.
pub(crate) fn with(code: &[u8]) -> Vec<u8> {
    let mut kernel = vec![0; 8192];
    // Four sectors of setup code follow; magic of the boot sector; magic and version 2.0 of the header.
    kernel[0x1f1] = 4;
    kernel[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    kernel[0x202..0x206].copy_from_slice(b"HdrS");
    kernel[0x206..0x208].copy_from_slice(&[0x00, 0x02]);
    // The entry at 0x200 has room for a short jump, here over the header.
    kernel[0x200..0x202].copy_from_slice(&[0xeb, 0x66]);
    kernel[0x200 + CODE..0x200 + CODE + code.len()].copy_from_slice(code);
    kernel
}

/// Code that counts in its RAM without end and adds the last byte of the VM's uuid to a sum. For each count it prints
/// `COUNT SUM UUID` on a line of the first serial port, as hexadecimal numbers of four digits.
#[rustfmt::skip]
pub(crate) const COUNTING: &[u8] = &[
    0xfa, //                   cli
    0x0e, 0x1f, //             push cs; pop ds
    // next, 0x6b: the uuid of the QEMU that runs now, by fw_cfg (docs/specs/fw_cfg.rst)
    0xba, 0x10, 0x05, //       mov dx, 0x510
    0xb8, 0x02, 0x00, //       mov ax, 2         FW_CFG_UUID
    0xef, 0x42, //             out dx, ax; inc dx
    0xb9, 0x10, 0x00, //       mov cx, 16
    0xec, 0xe2, 0xfd, //       in al, dx; loop to it
    0x30, 0xe4, //             xor ah, ah
    0xa3, 0xc3, 0x00, //       mov [uuid], ax
    0x01, 0x06, 0xc1, 0x00, // add [sum], ax
    0xff, 0x06, 0xbf, 0x00, // inc word [count]
    0xbe, 0xbf, 0x00, //       mov si, count
    0xb3, 0x03, //             mov bl, 3
    // word, 0x8b
    0xad, 0x89, 0xc7, //       lodsw; mov di, ax
    0xb9, 0x04, 0x00, //       mov cx, 4
    // digit, 0x91
    0xc1, 0xc7, 0x04, //       rol di, 4
    0x89, 0xf8, 0x24, 0x0f, // mov ax, di; and al, 15
    0x04, 0x30, 0x3c, 0x39, // add al, '0'; cmp al, '9'
    0x76, 0x02, 0x04, 0x27, // jbe over the next; add al, 'a' - '9' - 1
    0xba, 0xf8, 0x03, 0xee, // mov dx, 0x3f8; out dx, al
    0xe2, 0xeb, //             loop digit
    0xb0, 0x20, 0xee, //       mov al, ' '; out dx, al
    0xfe, 0xcb, 0x75, 0xde, // dec bl; jnz word
    0xb0, 0x0d, 0xee, //       mov al, 13; out dx, al
    0xb0, 0x0a, 0xee, //       mov al, 10; out dx, al
    0xb3, 0x14, //             mov bl, 20
    // pause, 0xb5
    0x31, 0xc9, 0xe2, 0xfe, // xor cx, cx; loop to it
    0xfe, 0xcb, 0x75, 0xf8, // dec bl; jnz pause
    0xeb, 0xac, //             jmp next
    0, 0, 0, 0, 0, 0, //       count, 0xbf; sum, 0xc1; uuid, 0xc3
];
