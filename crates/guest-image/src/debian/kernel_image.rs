//! Takes the ELF kernel out of a bzImage, so that an emulated CPU need not decompress it. Pure.
//!
//! QEMU boots an ELF kernel through the PVH entry point that its Xen note 18 names.

/// `MAGIC` of the boot protocol's header (Linux, Documentation/arch/x86/boot.rst).
const HEADER_MAGIC: &[u8] = b"HdrS";
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// `XEN_ELFNOTE_PHYS32_ENTRY`.
const PVH_ENTRY_NOTE: u32 = 18;

/// The ELF kernel inside `bz_image`. None if it is not compressed with zstd or has no PVH entry; then the bzImage
/// itself must be booted.
pub(crate) fn bootable_elf(bz_image: &[u8]) -> Option<Vec<u8>> {
    let payload = payload(bz_image)?;
    if !payload.starts_with(ZSTD_MAGIC) {
        return None;
    }
    // The build appends the unpacked size to the compressed stream.
    let stream = payload.get(..payload.len().checked_sub(4)?)?;
    let elf = zstd::stream::decode_all(stream).ok()?;
    has_pvh_entry(&elf).then_some(elf)
}

fn payload(bz_image: &[u8]) -> Option<&[u8]> {
    if bz_image.get(0x202..0x206)? != HEADER_MAGIC {
        return None;
    }
    let setup_sectors = usize::from(*bz_image.get(0x1f1)?);
    let offset = u32_at(bz_image, 0x248)? as usize;
    let length = u32_at(bz_image, 0x24c)? as usize;
    let begin = (setup_sectors + 1) * 512 + offset;
    bz_image.get(begin..begin.checked_add(length)?)
}

/// Whether a 64-bit little-endian ELF file has the PVH note in one of its PT_NOTE segments (elf(5)).
fn has_pvh_entry(elf: &[u8]) -> bool {
    walk_notes(elf).unwrap_or(false)
}

fn walk_notes(elf: &[u8]) -> Option<bool> {
    const NOTE_SEGMENT: u32 = 4;
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = u64_at(elf, 0x20)? as usize;
    let (size, count) = (u16_at(elf, 0x36)? as usize, u16_at(elf, 0x38)? as usize);
    for index in 0..count {
        let header = table + index * size;
        if u32_at(elf, header)? != NOTE_SEGMENT {
            continue;
        }
        let begin = u64_at(elf, header + 8)? as usize;
        let mut notes = elf.get(begin..begin.checked_add(u64_at(elf, header + 32)? as usize)?)?;
        while notes.len() >= 12 {
            let (name, description) = (u32_at(notes, 0)? as usize, u32_at(notes, 4)? as usize);
            if u32_at(notes, 8)? == PVH_ENTRY_NOTE && notes.get(12..16) == Some(b"Xen\0") {
                return Some(true);
            }
            notes = notes.get(12 + name.next_multiple_of(4) + description.next_multiple_of(4)..)?;
        }
    }
    Some(false)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(note: u32) -> Vec<u8> {
        let mut elf = vec![0; 0x100];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        elf[0x20..0x28].copy_from_slice(&0x40u64.to_le_bytes());
        elf[0x36..0x38].copy_from_slice(&56u16.to_le_bytes());
        elf[0x38..0x3a].copy_from_slice(&1u16.to_le_bytes());
        elf[0x40..0x44].copy_from_slice(&4u32.to_le_bytes());
        elf[0x48..0x50].copy_from_slice(&0x80u64.to_le_bytes());
        elf[0x60..0x68].copy_from_slice(&40u64.to_le_bytes());
        // The first note is of another type.
        for (at, kind) in [(0x80, 6), (0x94, note)] {
            elf[at..at + 4].copy_from_slice(&4u32.to_le_bytes());
            elf[at + 4..at + 8].copy_from_slice(&4u32.to_le_bytes());
            elf[at + 8..at + 12].copy_from_slice(&u32::to_le_bytes(kind));
            elf[at + 12..at + 16].copy_from_slice(b"Xen\0");
        }
        elf
    }

    fn bz_image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(HEADER_MAGIC);
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image.extend_from_slice(b"what follows");
        image
    }

    fn packed(elf: &[u8]) -> Vec<u8> {
        let mut payload = zstd::stream::encode_all(elf, 3).unwrap();
        payload.extend_from_slice(&(elf.len() as u32).to_le_bytes());
        payload
    }

    #[test]
    fn the_elf_kernel_is_taken_out() {
        let elf = elf(PVH_ENTRY_NOTE);
        assert_eq!(bootable_elf(&bz_image(&packed(&elf))), Some(elf));
    }

    #[test]
    fn a_kernel_that_cannot_be_booted_directly_is_left_as_it_is() {
        for (what, image) in [
            ("no PVH entry", bz_image(&packed(&elf(17)))),
            ("no ELF file", bz_image(&packed(b"something else"))),
            ("another compression", bz_image(b"\xfd7zXZ\0 and more")),
            ("no bzImage", vec![0; 4096]),
            ("cut short", bz_image(&packed(&elf(PVH_ENTRY_NOTE)))[..1060].to_vec()),
            ("empty", Vec::new()),
        ] {
            assert_eq!(bootable_elf(&image), None, "{what}");
        }
    }
}
