//! The fake itself: its state, its console, its events and its end.

use std::io::Write;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::forwards::Forwards;
use super::paused::Paused;
use crate::script::Script;

/// The state that all threads of the fake share.
#[derive(Debug)]
pub(super) struct Fake {
    pub(super) script: Script,
    pub(super) arguments: Arguments,
    pub(super) end: Mutex<Sender<u8>>,
    /// The QMP client, which gets the events.
    pub(super) client: Mutex<Option<std::os::unix::net::UnixStream>>,
    pub(super) forwards: Mutex<Forwards>,
    pub(super) paused: Arc<Paused>,
    /// Whether the guest's reset ends it.
    pub(super) reset_ends: AtomicBool,
}

impl Fake {
    /// Sends an event to the QMP client, if there is one.
    pub(super) fn event(&self, name: &str, data: &Value) {
        if let Ok(mut client) = self.client.lock()
            && let Some(stream) = client.as_mut()
        {
            let event = json!({"timestamp": {"seconds": 1, "microseconds": 0}, "event": name, "data": data});
            let _ = stream.write_all(format!("{event}\r\n").as_bytes());
        }
    }

    /// Ends the process as QEMU does, after the event.
    pub(super) fn shut_down(&self, by_guest: bool, reason: &str, code: u8) {
        self.event("SHUTDOWN", &json!({"guest": by_guest, "reason": reason}));
        self.exit(code);
    }

    pub(super) fn exit(&self, code: u8) {
        if let Ok(end) = self.end.lock() {
            let _ = end.send(code);
        }
    }

    /// The guest powers off, as slowly as the script says.
    pub(super) fn power_off(self: &Arc<Self>) {
        let fake = Arc::clone(self);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(fake.script.power_off_ms));
            fake.shut_down(true, "guest-shutdown", 0);
        });
    }

    pub(super) fn print_console(&self) {
        let mut console = std::io::stdout();
        for line in &self.script.console {
            thread::sleep(Duration::from_millis(line.after_ms));
            let _ = console.write_all(format!("{}\r\n", line.text).as_bytes()).and_then(|()| console.flush());
        }
    }

    pub(super) fn exit_after(&self) {
        if let Some(exit) = &self.script.exit_after {
            thread::sleep(Duration::from_millis(exit.ms));
            self.exit(exit.code);
        }
    }

    pub(super) fn clean_up(&self) {
        let sockets = [Some(&self.arguments.qmp), self.arguments.agent.as_ref(), self.arguments.pid_file.as_ref()];
        for path in sockets.into_iter().flatten() {
            let _ = std::fs::remove_file(path);
        }
    }
}
