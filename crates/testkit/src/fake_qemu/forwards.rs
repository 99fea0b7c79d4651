//! The forwarded ports: the fake listens on them.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::paused::Paused;

/// The open ports.
#[derive(Debug)]
pub(super) struct Forwards {
    /// Guest port -> address on the host.
    guest_ports: BTreeMap<u16, String>,
    /// In the order in which they were opened.
    open: Vec<Open>,
    paused: Arc<Paused>,
}

#[derive(Debug)]
struct Open {
    /// `tcp:ADDRESS:PORT`.
    host: String,
    guest: u16,
    listener: TcpListener,
    closed: Arc<AtomicBool>,
}

impl Forwards {
    pub(super) fn new(guest_ports: BTreeMap<u16, String>, paused: Arc<Paused>) -> Self {
        Forwards { guest_ports, open: Vec::new(), paused }
    }

    /// Opens `tcp:127.0.0.1:6443-:6443`; an error is the text that QEMU prints.
    pub(super) fn add(&mut self, rule: &str) -> Result<(), String> {
        let refused = || format!("Could not set up host forwarding rule '{rule}'");
        let (host, guest) = rule.split_once("-:").ok_or_else(refused)?;
        let address = host.strip_prefix("tcp:").ok_or_else(refused)?;
        let guest: u16 = guest.parse().map_err(|_| refused())?;
        let listener = TcpListener::bind(address).map_err(|_| refused())?;
        let target = self.guest_ports.get(&guest).cloned();
        let closed = Arc::new(AtomicBool::new(false));
        let copy = listener.try_clone().map_err(|_| refused())?;
        self.open.push(Open { host: host.to_owned(), guest, listener: copy, closed: Arc::clone(&closed) });
        let paused = Arc::clone(&self.paused);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let (target, paused) = (target.clone(), Arc::clone(&paused));
                thread::spawn(move || {
                    let _connected = paused.connection();
                    if let Some(target) = target {
                        connect(&stream, &target);
                    }
                });
            }
        });
        Ok(())
    }

    /// Closes `tcp:127.0.0.1:6443`; returns the text that QEMU prints.
    pub(super) fn remove(&mut self, host: &str) -> String {
        let Some(index) = self.open.iter().position(|open| open.host == host) else {
            return format!("host forwarding rule for {host} not found\r\n");
        };
        let open = self.open.remove(index);
        open.closed.store(true, Ordering::SeqCst);
        // It wakes the thread, which then drops its copy of the listener.
        if let Ok(address) = open.listener.local_addr() {
            let _ = TcpStream::connect(address);
        }
        format!("host forwarding rule for {host} removed\r\n")
    }

    /// `info usernet`: the newest socket comes first. The addresses of connections are not the real ones.
    pub(super) fn list(&self) -> String {
        let mut text =
            "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
                .to_owned();
        let mut line = |state: &str, address: &str, port: &str, guest: u16| {
            text.push_str(&format!(
                "  {state:<18}9 {address:>15} {port:>5}       10.0.2.15 {guest:>5}     0     0\r\n"
            ));
        };
        let (waiting, connected) = self.paused.connections();
        (0..waiting).for_each(|_| line("TCP[SYN_SENT]", "127.0.0.1", "1", 1));
        (0..connected).for_each(|_| line("TCP[ESTABLISHED]", "127.0.0.1", "1", 1));
        for open in self.open.iter().rev() {
            let (address, port) = open.host.trim_start_matches("tcp:").split_once(':').unwrap_or_default();
            line("TCP[HOST_FORWARD]", address, port, open.guest);
        }
        text
    }
}

/// Copies bytes in both directions until both have ended.
fn connect(client: &TcpStream, target: &str) {
    let Ok(server) = TcpStream::connect(target) else { return };
    thread::scope(|scope| {
        let pump = |from: &TcpStream, to: &TcpStream| {
            let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
            scope.spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        };
        pump(client, &server);
        pump(&server, client);
    });
}
