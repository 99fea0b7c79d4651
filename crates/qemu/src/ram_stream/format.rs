//! The format of a migration stream, as far as it is needed to find the RAM in it.

use std::io::{Error, ErrorKind};

/// Bytes of a page of x86.
pub(crate) const PAGE: usize = 4096;
/// "QEVM", then version 3.
pub(crate) const HEADER: [u8; 8] = *b"QEVM\0\0\0\x03";
/// Kinds of parts of the stream (`QEMU_VM_…` of migration/savevm.h).
pub(crate) mod part {
    pub(crate) const START: u8 = 0x01;
    pub(crate) const PART: u8 = 0x02;
    pub(crate) const END: u8 = 0x03;
    pub(crate) const SUBSECTION: u8 = 0x05;
    pub(crate) const CONFIGURATION: u8 = 0x07;
    pub(crate) const COMMAND: u8 = 0x08;
    pub(crate) const FOOTER: u8 = 0x7e;
}
/// Kinds of records of RAM (`RAM_SAVE_FLAG_…` of migration/ram.c), in the low bits of a page's address.
pub(crate) mod flag {
    pub(crate) const ZERO: u64 = 0x02;
    pub(crate) const MEMORY_SIZE: u64 = 0x04;
    pub(crate) const PAGE: u64 = 0x08;
    pub(crate) const END: u64 = 0x10;
    pub(crate) const SAME_BLOCK: u64 = 0x20;
    pub(crate) const ALL: u64 = 0xfff;
}
/// The version of the section "ram", in QEMU since 2011.
pub(super) const RAM_VERSION: u32 = 4;

/// The error for a stream that is not understood.
pub(super) fn unknown(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidData, format!("QEMU's stream is not understood: {}", what.into()))
}
