//! Host programs: where they are and which version they have.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use std::path::PathBuf;

/// The program's path by PATH, then by the folders of system administration (`/usr/sbin`, `/sbin`, `/usr/local/sbin`,
/// which an ordinary user's PATH lacks on Debian), or nothing.
pub fn find(program: &str) -> Option<PathBuf> {
    unimplemented!()
}

/// The first dotted number in `text` ("QEMU emulator version 7.2.22 (Debian …)" gives [7, 2, 22]).
pub fn parse_version(text: &str) -> Option<Vec<u32>> {
    unimplemented!()
}
