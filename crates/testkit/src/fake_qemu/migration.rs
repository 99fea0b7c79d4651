//! The fake's migrations: it writes or reads a small stream in QEMU's format, or fails as its script says.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde_json::{Value, json};

use super::calls::say;
use super::fake::Fake;
use crate::script::Migration;

/// The beginning of each stream: "QEVM" and version 3.
const HEADER: &[u8] = b"QEVM\0\0\0\x03";
const PAGE: u64 = 4096;

/// The state of migrations.
#[derive(Debug, Default)]
pub(super) struct Migrations {
    /// Descriptors that were received and not used yet.
    pub(super) files: Vec<OwnedFd>,
    status: Option<&'static str>,
    error: Option<String>,
}

impl Migrations {
    /// The answer to `getfd` or `add-fd`.
    pub(super) fn take(&self, command: &str) -> Value {
        if self.files.is_empty() {
            return json!({"error": {"class": "GenericError",
                                    "desc": "No file descriptor supplied via SCM_RIGHTS"}});
        }
        if command == "add-fd" { json!({"return": {"fdset-id": 1, "fd": 1}}) } else { json!({"return": {}}) }
    }

    /// The answer to `query-migrate`.
    pub(super) fn info(&self) -> Value {
        let mut info = json!({});
        if let Some(status) = self.status {
            info["status"] = json!(status);
        }
        if let Some(error) = &self.error {
            info["error-desc"] = json!(error);
        }
        json!({"return": info})
    }

    /// Does what follows the answer to `migrate`; returns the VM's status once its state is written.
    pub(super) fn write(&mut self, fake: &Arc<Fake>) -> std::io::Result<Option<&'static str>> {
        self.say(fake, "setup");
        self.say(fake, "active");
        let file = self.files.pop();
        match &fake.script.migration {
            Migration::Usual => {
                if let Some(file) = file {
                    fake.write_stream(BufWriter::new(File::from(file)))?;
                }
                self.say(fake, "completed");
                Ok(Some("postmigrate"))
            }
            _ => {
                self.fail(fake);
                Ok(None)
            }
        }
    }

    /// Does what follows the answer to `migrate-incoming`; returns the VM's status once a state is read.
    pub(super) fn read(&mut self, fake: &Arc<Fake>) -> std::io::Result<Option<&'static str>> {
        self.say(fake, "setup");
        self.say(fake, "active");
        let Some(file) = self.files.pop() else { return Ok(None) };
        if fake.script.migration != Migration::Usual {
            self.fail(fake);
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::from(file).read_to_end(&mut bytes)?;
        if !bytes.starts_with(HEADER) {
            say("qemu-system-x86_64: Not a migration stream");
            say("qemu-system-x86_64: load of migration failed: Invalid argument");
            fake.exit(1);
            return Ok(None);
        }
        self.say(fake, "completed");
        Ok(Some("paused"))
    }

    /// Does what follows the answer to `migrate_cancel`.
    pub(super) fn cancel(&mut self, fake: &Fake) {
        self.say(fake, "cancelling");
        self.say(fake, "cancelled");
    }

    fn fail(&mut self, fake: &Fake) {
        match &fake.script.migration {
            Migration::Usual | Migration::Hang => {}
            Migration::Fail(why) => {
                self.error = Some(why.clone());
                self.say(fake, "failed");
            }
            Migration::Die(death) => {
                say(&death.stderr);
                fake.exit(death.code);
            }
        }
    }

    fn say(&mut self, fake: &Fake, status: &'static str) {
        self.status = Some(status);
        fake.event("MIGRATION", &json!({"status": status}));
    }
}

impl Fake {
    /// Writes the VM's state in QEMU's format: RAM of zeros, and no devices.
    fn write_stream(&self, mut stream: impl Write) -> std::io::Result<()> {
        let size = self.arguments.memory;
        let start = |stream: &mut dyn Write| {
            stream.write_all(HEADER)?;
            stream.write_all(b"\x01\0\0\0\x02\x03ram\0\0\0\0\0\0\0\x04")?;
            stream.write_all(&(size | 0x04).to_be_bytes())?;
            stream.write_all(b"\x04ram0")?;
            stream.write_all(&size.to_be_bytes())?;
            stream.write_all(&0_u64.to_be_bytes())
        };
        let end = |stream: &mut dyn Write| {
            stream.write_all(&0x10_u64.to_be_bytes())?;
            stream.write_all(b"\x7e\0\0\0\x02")
        };
        start(&mut stream)?;
        end(&mut stream)?;
        stream.write_all(b"\x03\0\0\0\x02")?;
        for page in 0..size / PAGE {
            stream.write_all(&((page * PAGE) | 0x02).to_be_bytes())?;
            stream.write_all(b"\x04ram0\0")?;
        }
        end(&mut stream)?;
        stream.write_all(b"\0")?;
        stream.flush()
    }
}
