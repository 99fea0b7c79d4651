//! Migration over QMP: writes a VM's state to a descriptor or reads it from one, and waits for events.
//!
//! It knows the protocol (qapi/migration.json of QEMU), not the meaning of files. Descriptors are passed over the socket, so
//! that no path has to be quoted.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use host::deadline::moment_after;
use host::interrupt;
use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Qmp;
use crate::Version;
use crate::answer::{Nothing, Object, shown};

/// The name of the descriptor in QEMU.
const NAME: &str = "state";
/// The first version whose `file:` takes a set of descriptors. `fd:` with a plain file is deprecated since 9.1.
const FILE_URI: Version = Version::new(8, 2, 0);
/// Bytes a second: no limit in practice. With the default of 128 MiB a guest would be paused for longer.
const BANDWIDTH: u64 = 1 << 50;
/// How often a wait checks for the user's interrupt.
const SLICE: Duration = Duration::from_millis(200);

/// `AddfdInfo` of qapi/misc.json.
#[derive(Deserialize)]
struct FdSet {
    #[serde(rename = "fdset-id")]
    set: u64,
}

/// `MigrationInfo` of qapi/migration.json.
#[derive(Deserialize)]
struct MigrationInfo {
    #[serde(rename = "error-desc")]
    why: Option<String>,
}

/// Why a migration is not completed.
enum MigrationError {
    /// QEMU reported a failure, or ended.
    Failed(Error),
    /// The deadline passed or the user interrupted; QEMU may still migrate.
    GaveUp(Error),
}

impl From<MigrationError> for Error {
    fn from(error: MigrationError) -> Self {
        match error {
            MigrationError::Failed(error) | MigrationError::GaveUp(error) => error,
        }
    }
}

impl Qmp {
    /// Turns on events of migrations, and `x-ignore-shared`, which leaves RAM in a shared file where it is. Both sides must
    /// agree on the latter, also where the RAM of one is private.
    pub(crate) fn prepare_migration(&mut self) -> Result<()> {
        let capability = |name: &str| json!({"capability": name, "state": true});
        let capabilities = json!([capability("events"), capability("x-ignore-shared")]);
        self.execute("migrate-set-capabilities", json!({"capabilities": capabilities}))
    }

    /// Writes the state of the VM, whose guest must be paused, to the socket `target`; waits at most `deadline`. A transfer
    /// that does not end is cancelled.
    ///
    /// # Errors
    /// Failed with QEMU's reason, Guest when QEMU ends, Timeout, Interrupted, or as [`Qmp::execute`].
    pub(crate) fn migrate_to(&mut self, target: BorrowedFd<'_>, deadline: Duration) -> Result<()> {
        self.execute("migrate-set-parameters", json!({"max-bandwidth": BANDWIDTH}))?;
        let uri = self.pass(target)?;
        self.execute("migrate", json!({"uri": uri}))?;
        let ended = self.until_migrated("the VM's state to be written", deadline, true);
        if matches!(ended, Err(MigrationError::GaveUp(_))) && !self.closed {
            let _deferred = interrupt::defer();
            // Only then QEMU closes the descriptor and the VM can run again. The first error is the one to report.
            let _ = self.execute("migrate_cancel", Value::Null);
            let _ = self.until_migrated("the cancelled transfer to end", self.deadline, false);
        }
        Ok(ended?)
    }

    /// Writes the state of the devices, without RAM, to an empty file. The guest must be paused. Despite its name the command
    /// works with every accelerator (qapi/migration.json).
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub(crate) fn save_devices(&mut self, target: &File) -> Result<()> {
        let Object(FdSet { set }) = self.ask_with("add-fd", Value::Null, target.as_fd())?;
        // `live: false`: this is not the end of a migration, so the disks stay open.
        let arguments = json!({"filename": format!("/dev/fdset/{set}"), "live": false});
        let saved = self.execute("xen-save-devices-state", arguments);
        let removed = self.execute("remove-fd", json!({"fdset-id": set}));
        saved.and(removed)
    }

    /// Reads the state of the VM, which was started with `-incoming defer`, from the file `source`.
    ///
    /// # Errors
    /// Guest when QEMU ends, as it does when it cannot load the state; Failed, Timeout, Interrupted.
    pub(crate) fn migrate_from(&mut self, source: BorrowedFd<'_>, version: Version, deadline: Duration) -> Result<()> {
        let uri = if version >= FILE_URI {
            // QEMU numbers the set itself: an existing set might have another file.
            let Object(FdSet { set }) = self.ask_with("add-fd", Value::Null, source)?;
            format!("file:/dev/fdset/{set}")
        } else {
            self.pass(source)?
        };
        self.execute("migrate-incoming", json!({"uri": uri}))?;
        Ok(self.until_migrated("the VM's state to be read", deadline, true)?)
    }

    /// Gives QEMU a copy of the descriptor; returns its URI for a migration.
    fn pass(&mut self, file: BorrowedFd<'_>) -> Result<String> {
        self.ask_with::<Object<Nothing>>("getfd", json!({"fdname": NAME}), file)?;
        Ok(format!("fd:{NAME}"))
    }

    /// Waits for the event that ends a migration (`MIGRATION`, with `MigrationStatus` in `status`). With `gives_up` it ends at
    /// an interrupt, even where those are deferred.
    fn until_migrated(&mut self, what: &str, deadline: Duration, gives_up: bool) -> Result<(), MigrationError> {
        let end = moment_after(deadline);
        let mut last = "QEMU says nothing about it".to_owned();
        let mut others = Vec::new();
        let ended = loop {
            let left = end.saturating_duration_since(Instant::now());
            let news = match self.events(left.min(SLICE)) {
                Ok(news) => news,
                Err(error) if interrupt::pending() => break Err(MigrationError::GaveUp(error)),
                Err(error) => break Err(MigrationError::Failed(error)),
            };
            let mut completed = None;
            for event in news {
                match event.text("status") {
                    Some(status) if event.name == "MIGRATION" => match status {
                        "completed" => completed = Some(true),
                        "failed" | "cancelled" => completed = Some(false),
                        other => last = format!("QEMU says: {}", shown(other)),
                    },
                    _ => others.push(event),
                }
            }
            match completed {
                Some(true) => break Ok(()),
                Some(false) => break Err(MigrationError::Failed(self.migration_error())),
                None => {}
            }
            if self.closed {
                let error = Error::new(ErrorClass::Guest, format!("QEMU ended while we waited for {what}"));
                break Err(MigrationError::Failed(error));
            }
            // This wait can take minutes, and the transfer can be cancelled.
            if gives_up && interrupt::pending() {
                let error = interrupt::interrupted().context(format!("stopped waiting for {what}"));
                break Err(MigrationError::GaveUp(error));
            }
            if left.is_zero() {
                let limit = humantime::format_duration(deadline);
                let error = Error::new(ErrorClass::Timeout, format!("gave up waiting for {what} after {limit}"));
                break Err(MigrationError::GaveUp(error.because(last)));
            }
        };
        self.events.splice(0..0, others);
        ended
    }

    /// The error for a migration that failed, with QEMU's reason.
    fn migration_error(&mut self) -> Error {
        let told = self.ask::<Object<MigrationInfo>>("query-migrate", Value::Null).ok();
        let why = told.and_then(|Object(told)| told.why);
        let why = why.map_or_else(|| "it gave no reason".to_owned(), |why| shown(&why));
        Error::new(ErrorClass::Failed, "QEMU could not transfer the VM's state").because(why)
    }
}
