//! Failures around the fake: no sandbox, a port that another process takes first, a file that cannot be written, a guest that
//! resets or prints without end.

use std::ffi::OsString;
use std::io::Write;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::calls::{record, say, script_file};
use super::fake::Fake;
use crate::script::{self, Script};

/// Whether the command line only tries whether QEMU has a sandbox.
pub(super) fn is_sandbox_trial(words: &[OsString]) -> bool {
    words.windows(2).any(|pair| pair[0] == "-machine" && pair[1] == "none")
}

/// Answers as QEMU does.
pub(super) fn try_sandbox(script: &Script) -> ExitCode {
    if script.sandbox {
        return ExitCode::SUCCESS;
    }
    say("qemu-system-x86_64: -sandbox support is not enabled in this QEMU binary");
    ExitCode::FAILURE
}

/// Replaces a file by a directory that is not empty.
pub(super) fn spoil(file: &str) {
    let _ = std::fs::remove_file(file);
    let _ = std::fs::create_dir_all(std::path::Path::new(file).join("in-the-way"));
}

/// Takes the port of the first rule (`tcp:ADDRESS:PORT-…`), unless that was done as often as the script says. The port is
/// taken as long as the result lives.
pub(super) fn overtake(script: &Script, rules: &[String]) -> Option<TcpListener> {
    let file = script_file().with_file_name(script::OVERTAKEN);
    let before: u32 = std::fs::read_to_string(&file).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
    if before >= script.overtaken {
        return None;
    }
    let address = rules.first()?.strip_prefix("tcp:")?.split_once('-')?.0;
    let _ = std::fs::write(&file, (before + 1).to_string());
    TcpListener::bind(address).ok()
}

impl Fake {
    /// The guest resets.
    pub(super) fn reset(&self) {
        record(&json!({"execute": "guest reset"}));
        if self.reset_ends.load(Ordering::SeqCst) {
            self.shut_down(true, "guest-reset", 0);
        } else {
            self.event("RESET", &json!({"guest": true, "reason": "guest-reset"}));
        }
    }

    pub(super) fn reset_after(&self) {
        if let Some(pause) = self.script.reset_after_ms {
            thread::sleep(Duration::from_millis(pause));
            self.reset();
        }
    }

    pub(super) fn flood(&self) {
        if !self.script.flood {
            return;
        }
        let line = format!("{}\r\n", "the guest prints without end ".repeat(35));
        let text = line.repeat((1 << 20) / line.len() + 1);
        let counter = script_file().with_file_name(script::FLOODED);
        let mut console = std::io::stdout();
        for printed in 1_u64.. {
            // Faster than a serial port, and slow enough for a disk.
            thread::sleep(Duration::from_millis(10));
            if console.write_all(text.as_bytes()).is_err() {
                return;
            }
            let _ = std::fs::write(&counter, printed.to_string());
        }
    }
}
