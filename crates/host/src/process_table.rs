//! The processes of the host: parsers of `/proc` (pure) and the walk over it.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use std::ffi::OsString;

use model::Result;

/// One process as `/proc` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    /// The process id.
    pub pid: u32,
    /// The words of its command line; empty for kernel threads.
    pub arguments: Vec<OsString>,
    /// The user it runs as: the name, or the number where there is no name.
    pub user: String,
}

/// All processes that this user may see, with their command lines.
pub fn processes() -> Result<Vec<ProcessInfo>> {
    unimplemented!()
}

/// One process, or nothing.
pub fn process(pid: u32) -> Result<Option<ProcessInfo>> {
    unimplemented!()
}
