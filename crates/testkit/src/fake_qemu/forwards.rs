//! The ports on which the fake listens in the guest's name.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The open ports.
#[derive(Debug)]
pub(super) struct Forwards {
    /// Guest port -> address on the host.
    guest_ports: BTreeMap<u16, String>,
    /// `tcp:ADDRESS:PORT` -> whether it has been closed.
    open: BTreeMap<String, (TcpListener, Arc<AtomicBool>)>,
}

impl Forwards {
    pub(super) fn new(guest_ports: BTreeMap<u16, String>) -> Self {
        Forwards { guest_ports, open: BTreeMap::new() }
    }

    /// Opens `tcp:127.0.0.1:6443-:6443`; an error is what QEMU says.
    pub(super) fn add(&mut self, rule: &str) -> Result<(), String> {
        let refused = || format!("Could not set up host forwarding rule '{rule}'");
        let (host, guest) = rule.split_once("-:").ok_or_else(refused)?;
        let address = host.strip_prefix("tcp:").ok_or_else(refused)?;
        let listener = TcpListener::bind(address).map_err(|_| refused())?;
        let target = guest.parse().ok().and_then(|port: u16| self.guest_ports.get(&port).cloned());
        let closed = Arc::new(AtomicBool::new(false));
        let copy = listener.try_clone().map_err(|_| refused())?;
        self.open.insert(host.to_owned(), (copy, Arc::clone(&closed)));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(target) = &target {
                    let target = target.clone();
                    thread::spawn(move || connect(&stream, &target));
                }
            }
        });
        Ok(())
    }

    /// Closes `tcp:127.0.0.1:6443`; returns what QEMU says.
    pub(super) fn remove(&mut self, host: &str) -> String {
        let Some((listener, closed)) = self.open.remove(host) else {
            return format!("host forwarding rule for {host} not found\r\n");
        };
        closed.store(true, Ordering::SeqCst);
        // Wakes the thread, which then drops its copy of the listener.
        if let Ok(address) = listener.local_addr() {
            let _ = TcpStream::connect(address);
        }
        format!("host forwarding rule for {host} removed\r\n")
    }
}

fn connect(client: &TcpStream, target: &str) {
    let Ok(server) = TcpStream::connect(target) else { return };
    let pump = |from: &TcpStream, to: &TcpStream| {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    };
    pump(client, &server);
    pump(&server, client);
}
