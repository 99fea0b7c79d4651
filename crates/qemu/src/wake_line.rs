//! A line on which QEMU tells at once that somebody wants a guest that stands still, and the answer: it goes on.
//!
//! While a guest stands still, QEMU's user network goes on accepting connections and keeps their packets for it. A filter
//! (`filter-mirror`, net/filter-mirror.c of QEMU) copies those packets into a socket, each behind its length in four
//! bytes. Filter and socket are part of the VM's devices as long as they are there, so they must be gone before its state
//! is saved ([`disarm`]). It decides nothing about when a guest stands still.

mod frame;

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use host::interrupt;
use model::{Error, ErrorClass, Result};
use serde_json::json;

use crate::Qmp;
use crate::answer::{Nothing, Object};
use crate::argv::NETDEV;
use crate::qmp::{ConnectError, Outcome};

/// The ids inside QEMU.
const SOCKET: &str = "wake-line";
const FILTER: &str = "wake-filter";
/// How long a call may take: others may be connected for a moment.
const CALL: Duration = Duration::from_secs(10);
/// No frame of the user network is longer (its MTU is 1500); QEMU's own limit is 68 KiB.
const LONGEST_FRAME: usize = 68 * 1024;

/// Our end of the line.
#[derive(Debug)]
pub struct WakeLine(UnixStream);

/// What came of waiting at a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Somebody wants the guest.
    Wanted,
    /// The line is cut: QEMU ended, or somebody else has let the guest go on.
    Cut,
}

impl WakeLine {
    /// Lays a line from the VM; one that was there is cut.
    ///
    /// # Errors
    /// Failed with QEMU's reason, which then has nothing of it; otherwise as [`Qmp::execute`].
    pub fn arm(qmp: &mut Qmp) -> Result<Self> {
        disarm(qmp)?;
        let (ours, theirs) = UnixStream::pair()
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot make a socket").because(error))?;
        let armed = qmp.ask_with::<Object<Nothing>>("getfd", json!({"fdname": SOCKET}), theirs.as_fd()).and_then(|_| {
            let address = json!({"type": "fd", "data": {"str": SOCKET}});
            let backend = json!({"type": "socket", "data": {"addr": address, "server": false}});
            qmp.execute("chardev-add", json!({"id": SOCKET, "backend": backend}))?;
            // Only what goes to the guest; a guest that stands still sends nothing.
            let filter =
                json!({"qom-type": "filter-mirror", "id": FILTER, "netdev": NETDEV, "queue": "tx", "outdev": SOCKET});
            qmp.execute("object-add", filter)
        });
        match armed {
            Ok(()) => Ok(WakeLine(ours)),
            Err(error) => {
                let _ = disarm(qmp);
                Err(error.context("QEMU cannot tell who wants a guest that stands still"))
            }
        }
    }

    /// The line for another process.
    pub fn into_fd(self) -> OwnedFd {
        self.0.into()
    }

    /// The line that another process has handed over.
    pub fn from_fd(fd: OwnedFd) -> Self {
        WakeLine(fd.into())
    }

    /// Waits, without end and without looking, until somebody wants the guest or the line is cut. `directory` is
    /// `InstancePaths::vm_dir`. Who came before the line was there is found, too.
    ///
    /// # Errors
    /// Interrupted, and errors of QMP.
    pub fn wait(&self, directory: &Path) -> Result<Call> {
        let mut qmp = match Qmp::open(directory, CALL) {
            Ok(qmp) => qmp,
            Err(ConnectError::Gone(_)) => return Ok(Call::Cut),
            Err(ConnectError::Other(error)) => return Err(error),
        };
        let network = match qmp.user_network() {
            Err(_) if qmp.is_closed() => return Ok(Call::Cut),
            network => network?,
        };
        // Others want to connect while this waits.
        drop(qmp);
        if network.waiting > 0 {
            return Ok(Call::Wanted);
        }
        let served: Vec<u16> = network.forwards.iter().map(|forward| forward.guest).collect();
        let mut received = Vec::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            interrupt::wait_readable(self.0.as_fd())?;
            match (&self.0).read(&mut chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Ok(Call::Cut),
                Ok(count) => received.extend_from_slice(&chunk[..count]),
            }
            while let Some(frame) = next_frame(&mut received) {
                if frame::wakes(&frame, &served) {
                    return Ok(Call::Wanted);
                }
            }
            if received.len() > LONGEST_FRAME {
                return Err(Error::new(ErrorClass::Failed, "what QEMU tells of its packets is not understood"));
            }
        }
    }

    /// Takes the line away and lets the guest go on; whether it did. It does not where the line was cut by somebody else,
    /// who then knows why the guest stands still.
    ///
    /// # Errors
    /// As [`Qmp::connect`] and [`Qmp::execute`].
    pub fn answer(self, directory: &Path) -> Result<bool> {
        // Without the line, a guest that still stands would be woken by nobody.
        let _deferred = interrupt::defer();
        std::thread::scope(|scope| {
            // QEMU waits for room in the socket and answers nobody meanwhile.
            scope.spawn(|| {
                let mut chunk = [0; 16 * 1024];
                while (&self.0).read(&mut chunk).is_ok_and(|count| count > 0) {}
            });
            let went_on = Qmp::connect(directory, CALL).and_then(|mut qmp| {
                let ours = remove(&mut qmp, "object-del", FILTER)?;
                if ours {
                    qmp.cont()?;
                }
                remove(&mut qmp, "chardev-remove", SOCKET)?;
                Ok(ours)
            });
            let _ = self.0.shutdown(Shutdown::Both);
            went_on
        })
    }
}

/// Takes away what a line has left in the VM; nothing there is success.
///
/// # Errors
/// As [`Qmp::execute`].
pub fn disarm(qmp: &mut Qmp) -> Result<()> {
    // Objects first: the socket cannot go while the filter has it.
    remove(qmp, "object-del", FILTER)?;
    remove(qmp, "chardev-remove", SOCKET)?;
    Ok(())
}

/// Removes an object or a socket of the VM; whether there was one.
fn remove(qmp: &mut Qmp, command: &str, id: &str) -> Result<bool> {
    removed(qmp.attempt(command, json!({"id": id})))
}

/// Only the text of QEMU's refusal says that there was none: its class is the same for every reason.
fn removed(outcome: Outcome) -> Result<bool> {
    match outcome {
        Outcome::Done => Ok(true),
        Outcome::Refused(error) if error.why().iter().any(|why| why.ends_with("not found")) => Ok(false),
        Outcome::Refused(error) | Outcome::Unknown(error) => Err(error),
    }
}

/// The first whole frame, taken out.
fn next_frame(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (length, rest) = received.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let frame = rest.get(..length)?.to_vec();
    received.drain(..4 + length);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_whatever_pieces_they_come() {
        let mut received = vec![0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(next_frame(&mut received), Some(vec![7, 8]));
        assert_eq!(next_frame(&mut received), Some(Vec::new()));
        assert_eq!(next_frame(&mut received), None);
        received.push(9);
        assert_eq!(next_frame(&mut received), Some(vec![9]));
        assert_eq!(next_frame(&mut received), None);
        assert!(received.is_empty());
    }

    #[test]
    fn what_is_not_there_is_no_error() {
        let refused = |why: &str| Outcome::Refused(Error::new(ErrorClass::Failed, "QEMU refused").because(why));
        assert!(!removed(refused("object 'wake-filter' not found")).unwrap());
        assert!(!removed(refused("Chardev 'wake-line' not found")).unwrap());
        assert!(removed(refused("Chardev 'wake-line' is busy")).is_err());
        assert!(removed(Outcome::Done).unwrap());
    }
}
