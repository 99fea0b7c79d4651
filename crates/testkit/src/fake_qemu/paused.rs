//! What the fake's user network does while the guest is paused: connections wait, and a filter reports them.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// The ARP request for the guest's address, which QEMU's network sends before its first packet; its length comes first.
const ARP_REQUEST: [u8; 46] = [
    0, 0, 0, 42, 255, 255, 255, 255, 255, 255, 0x52, 0x55, 10, 0, 2, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x55, 10,
    0, 2, 2, 10, 0, 2, 2, 0, 0, 0, 0, 0, 0, 10, 0, 2, 15,
];

/// Whether the guest is paused, and how many connections wait for it.
#[derive(Debug, Default)]
pub(super) struct Paused {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_paused: bool,
    socket: Option<UnixStream>,
    filter: bool,
    waiting: usize,
    connected: usize,
}

impl Paused {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses or resumes the guest.
    pub(super) fn set(&self, is_paused: bool) {
        self.state().is_paused = is_paused;
        self.changed.notify_all();
    }

    /// A new connection: the filter reports it, it waits until the guest runs, and it counts until the result is dropped.
    pub(super) fn connection(&self) -> Connected<'_> {
        let mut state = self.state();
        state.waiting += 1;
        if state.is_paused
            && state.filter
            && let Some(socket) = &mut state.socket
        {
            // The listener may be gone.
            let _ = socket.write_all(&ARP_REQUEST);
        }
        let mut state = self.changed.wait_while(state, |state| state.is_paused).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.connected += 1;
        Connected(self)
    }

    /// The numbers of connections that wait and that are open.
    pub(super) fn connections(&self) -> (usize, usize) {
        let state = self.state();
        (state.waiting, state.connected)
    }

    /// `chardev-add`, `object-add`, `object-del`, `chardev-remove` for a filter that mirrors into a socket.
    pub(super) fn command(&self, command: &str, arguments: &Value, files: &mut Vec<OwnedFd>) -> Value {
        let mut state = self.state();
        let id = arguments["id"].as_str().unwrap_or_default();
        let refused = |text: String| json!({"error": {"class": "GenericError", "desc": text}});
        match command {
            "chardev-add" if state.socket.is_some() => {
                return refused(format!("Chardev with id '{id}' already exists"));
            }
            "chardev-add" => match files.pop() {
                Some(file) => state.socket = Some(file.into()),
                None => return refused("No file descriptor named 'wake-line' found".to_owned()),
            },
            "object-add" if arguments["qom-type"] != "filter-mirror" => {
                return refused("invalid object type".to_owned());
            }
            "object-add" if state.socket.is_none() => return refused("Device 'wake-line' not found".to_owned()),
            "object-add" => state.filter = true,
            "object-del" if !state.filter => return refused(format!("object '{id}' not found")),
            "object-del" => state.filter = false,
            _ if state.filter => return refused(format!("Chardev '{id}' is busy")),
            _ if state.socket.is_none() => return refused(format!("Chardev '{id}' not found")),
            _ => state.socket = None,
        }
        json!({"return": {}})
    }
}

/// A connection that the guest has accepted.
pub(super) struct Connected<'a>(&'a Paused);

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.state().connected -= 1;
    }
}
