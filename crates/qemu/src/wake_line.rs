//! The wake line: a socket on which QEMU reports connections to a paused guest, so that the guest can be resumed.
//!
//! While a guest is paused, QEMU's user network still accepts connections and queues their packets. A filter
//! (`filter-mirror`, net/filter-mirror.c of QEMU) copies the packets to a socket, each after its length in four bytes. The
//! filter and the socket are devices of the VM, so they must be removed before its state is saved ([`disarm`]). Others
//! decide when a guest is paused.

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

/// The id of the socket in QEMU.
const SOCKET: &str = "wake-line";
/// The id of the filter in QEMU.
const FILTER: &str = "wake-filter";
/// How long a connection to QMP may take: another client may be connected.
const CALL: Duration = Duration::from_secs(10);
/// The longest frame: QEMU's limit. The user network's MTU is 1500.
const LONGEST_FRAME: usize = 68 * 1024;

/// Our end of the socket.
#[derive(Debug)]
pub struct WakeLine(UnixStream);

/// The result of a wait at a wake line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// A connection needs the guest.
    Wanted,
    /// The line is closed: QEMU has ended, or another process has resumed the guest.
    Cut,
}

impl WakeLine {
    /// Adds a wake line to the VM; an existing one is removed.
    ///
    /// # Errors
    /// Failed with QEMU's reason, and then nothing is left in the VM; otherwise as [`Qmp::execute`].
    pub fn arm(qmp: &mut Qmp) -> Result<Self> {
        disarm(qmp)?;
        let (ours, theirs) = UnixStream::pair()
            .map_err(|error| Error::new(ErrorClass::Failed, "cannot make a socket").because(error))?;
        let armed = qmp.ask_with::<Object<Nothing>>("getfd", json!({"fdname": SOCKET}), theirs.as_fd()).and_then(|_| {
            let address = json!({"type": "fd", "data": {"str": SOCKET}});
            let backend = json!({"type": "socket", "data": {"addr": address, "server": false}});
            qmp.execute("chardev-add", json!({"id": SOCKET, "backend": backend}))?;
            // Packets to the guest only; a paused guest sends none.
            let filter =
                json!({"qom-type": "filter-mirror", "id": FILTER, "netdev": NETDEV, "queue": "tx", "outdev": SOCKET});
            qmp.execute("object-add", filter)
        });
        match armed {
            Ok(()) => Ok(WakeLine(ours)),
            Err(error) => {
                let _ = disarm(qmp);
                Err(error.context("QEMU cannot report connections to a paused guest"))
            }
        }
    }

    /// The descriptor, to hand the line over to another process.
    pub fn into_fd(self) -> OwnedFd {
        self.0.into()
    }

    /// The line of a descriptor that another process has handed over.
    pub fn from_fd(fd: OwnedFd) -> Self {
        WakeLine(fd.into())
    }

    /// Waits without a limit, and without polling, until a connection needs the guest or the line is closed. It also finds
    /// connections from before the line was added. `directory` is `InstancePaths::vm_dir`.
    ///
    /// # Errors
    /// Interrupted; errors of QMP.
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
                return Err(Error::new(ErrorClass::Failed, "QEMU's copies of packets are not understood"));
            }
        }
    }

    /// Removes the line and resumes the guest. Returns whether it did: it does nothing where another process has removed the
    /// line, which then decides about the guest.
    ///
    /// # Errors
    /// As [`Qmp::connect`] and [`Qmp::execute`].
    pub fn answer(self, directory: &Path) -> Result<bool> {
        // Without the line, nobody would wake a guest that is still paused.
        let _deferred = interrupt::defer();
        std::thread::scope(|scope| {
            // While the socket is full, QEMU waits and does not answer.
            scope.spawn(|| {
                let mut chunk = [0; 16 * 1024];
                while (&self.0).read(&mut chunk).is_ok_and(|count| count > 0) {}
            });
            let resumed = Qmp::connect(directory, CALL).and_then(|mut qmp| {
                let ours = remove(&mut qmp, "object-del", FILTER)?;
                if ours {
                    qmp.cont()?;
                }
                remove(&mut qmp, "chardev-remove", SOCKET)?;
                Ok(ours)
            });
            let _ = self.0.shutdown(Shutdown::Both);
            resumed
        })
    }
}

/// Removes a wake line from the VM; success where there is none.
///
/// # Errors
/// As [`Qmp::execute`].
pub fn disarm(qmp: &mut Qmp) -> Result<()> {
    // The filter first: it uses the socket.
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

/// Takes the first whole frame out.
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
    fn frames_are_found_however_the_stream_is_cut() {
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
    fn to_remove_what_does_not_exist_is_no_error() {
        let refused = |why: &str| Outcome::Refused(Error::new(ErrorClass::Failed, "QEMU refused").because(why));
        assert!(!removed(refused("object 'wake-filter' not found")).unwrap());
        assert!(!removed(refused("Chardev 'wake-line' not found")).unwrap());
        assert!(removed(refused("Chardev 'wake-line' is busy")).is_err());
        assert!(removed(Outcome::Done).unwrap());
    }
}
