//! Ports for tests.

use std::net::{Ipv4Addr, TcpListener};

use model::port::Port;

/// A port of 127.0.0.1 on which nobody listens at this moment.
///
/// # Panics
/// When the host has none.
pub fn free() -> Port {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let number = listener.local_addr().expect("its address").port();
    Port::new(number).expect("the system never gives port 0")
}
