//! Who listens on a TCP port of this host.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use std::net::IpAddr;

use model::Result;
use model::port::Port;

use crate::process_table::ProcessInfo;

/// A listener on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// The address it listens on.
    pub address: IpAddr,
    /// The user that owns the socket.
    pub user: String,
    /// The process, or nothing where this user may not see whose it is.
    pub process: Option<ProcessInfo>,
}

/// The listeners that would collide with a listener on `bind`:`port` (the same address, or a wildcard on either side).
/// Found by inode: `/proc/net/tcp` and `tcp6` against `/proc/*/fd`.
pub fn port_holders(bind: IpAddr, port: Port) -> Result<Vec<PortHolder>> {
    unimplemented!()
}
