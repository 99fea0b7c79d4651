//! The disk of a guest image for tests that do not boot it: a qcow2 header without data.

/// An image of `size` bytes (docs/interop/qcow2 of QEMU: version 2, clusters of 64 KiB).
pub fn base_disk(size: u64) -> Vec<u8> {
    let mut header = vec![0; 72];
    header[..4].copy_from_slice(b"QFI\xfb");
    header[4..8].copy_from_slice(&2_u32.to_be_bytes());
    header[20..24].copy_from_slice(&16_u32.to_be_bytes());
    header[24..32].copy_from_slice(&size.to_be_bytes());
    header
}
