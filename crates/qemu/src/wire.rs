//! Lines over a Unix socket, with a deadline for an exchange and a limit for every line. It knows no protocol.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use host::deadline::moment_after as after;
use model::Error;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType,
};

/// How long one read may block, so that an interrupt is noticed.
const SLICE: Duration = Duration::from_millis(100);

/// Why an exchange ended early.
#[derive(Debug)]
pub(crate) enum WireError {
    /// Nobody listens: the socket does not exist or was left behind.
    NobodyListens,
    /// The listener's queue is full: another client is connected.
    Busy,
    /// The deadline passed.
    Deadline,
    /// The other side closed the connection.
    Closed,
    /// A line is longer than this many bytes.
    TooLong(usize),
    /// The user asked to stop.
    Interrupted(Error),
    /// Anything else.
    Io(io::Error),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => WireError::Deadline,
            // A QEMU that ends resets connections with unread input.
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => WireError::Closed,
            _ => WireError::Io(error),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: UnixStream,
    received: Vec<u8>,
    /// How many bytes at the start of `received` were returned.
    taken: usize,
    peer_pid: u32,
}

impl Wire {
    /// Connects to `socket` in `directory`; never blocks. It uses the directory's descriptor, because the path of a socket can
    /// have 108 bytes at most (unix(7)).
    pub(crate) fn connect(directory: &Path, socket: &str) -> Result<Self, WireError> {
        let held = std::fs::File::open(directory).map_err(nobody)?;
        let address = SocketAddrUnix::new(format!("/proc/self/fd/{}/{socket}", held.as_raw_fd()))
            .map_err(|error| WireError::Io(error.into()))?;
        // A blocking connect(2) would wait without a limit for a place in the listener's queue.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd: OwnedFd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(|error| WireError::Io(error.into()))?;
        rustix::net::connect(&fd, &address).map_err(|error| nobody(error.into()))?;
        let peer = rustix::net::sockopt::socket_peercred(&fd).map_err(|error| WireError::Io(error.into()))?;
        let stream = UnixStream::from(fd);
        stream.set_nonblocking(false)?;
        let peer_pid = u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or(0);
        Ok(Wire { stream, received: Vec::new(), taken: 0, peer_pid })
    }

    /// The process that listens (SO_PEERCRED, unix(7)).
    pub(crate) fn peer_pid(&self) -> u32 {
        self.peer_pid
    }

    /// Sends all of `bytes`, and a copy of the descriptor with the first of them (SCM_RIGHTS, unix(7)).
    pub(crate) fn send_with(&mut self, bytes: &[u8], file: BorrowedFd<'_>, deadline: Instant) -> Result<(), WireError> {
        let files = [file];
        let message = [io::IoSlice::new(bytes)];
        loop {
            self.stream.set_write_timeout(Some(self.slice(deadline)?))?;
            // An attempt empties it.
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            ancillary.push(SendAncillaryMessage::ScmRights(&files));
            match rustix::net::sendmsg(&self.stream, &message, &mut ancillary, SendFlags::NOSIGNAL) {
                // The descriptor went with the first byte.
                Ok(sent) => return self.send(&bytes[sent..], deadline),
                Err(error) if is_pause(&error.into()) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// Sends all of `bytes`.
    pub(crate) fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), WireError> {
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(self.slice(deadline)?))?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(WireError::Closed),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next line, without its end; it has at most `limit` bytes. After a longer one the connection is of no use.
    pub(crate) fn line(&mut self, limit: usize, deadline: Instant) -> Result<Vec<u8>, WireError> {
        let mut searched = 0;
        loop {
            if let Some(line) = self.received_line(limit, &mut searched)? {
                return Ok(line);
            }
            self.receive(deadline)?;
        }
    }

    /// [`Wire::line`] without a wait: `None` where no whole line has arrived.
    pub(crate) fn arrived_line(&mut self, limit: usize) -> Result<Option<Vec<u8>>, WireError> {
        let mut searched = 0;
        loop {
            if let Some(line) = self.received_line(limit, &mut searched)? {
                return Ok(Some(line));
            }
            if !self.receive_arrived()? {
                return Ok(None);
            }
        }
    }

    /// Takes a whole line out of what was received; `searched` bytes of it have no line's end.
    fn received_line(&mut self, limit: usize, searched: &mut usize) -> Result<Option<Vec<u8>>, WireError> {
        let waiting = self.received.get(self.taken..).unwrap_or_default();
        let unsearched = waiting.get(*searched..).unwrap_or_default();
        if let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') {
            let line = waiting.get(..*searched + at).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            self.taken += *searched + at + 1;
            return if line.len() > limit { Err(WireError::TooLong(limit)) } else { Ok(Some(line)) };
        }
        *searched = waiting.len();
        // The line may end with CR.
        if *searched > limit.saturating_add(1) { Err(WireError::TooLong(limit)) } else { Ok(None) }
    }

    /// Drops everything up to and with the next `mark`. It does not store it, however much it is.
    pub(crate) fn skip_to(&mut self, mark: u8, deadline: Instant) -> Result<(), WireError> {
        loop {
            let waiting = self.received.get(self.taken..).unwrap_or_default();
            if let Some(at) = waiting.iter().position(|byte| *byte == mark) {
                self.taken += at + 1;
                return Ok(());
            }
            self.taken = self.received.len();
            self.receive(deadline)?;
        }
    }

    fn receive(&mut self, deadline: Instant) -> Result<(), WireError> {
        let mut chunk = [0; 64 * 1024];
        self.received.drain(..self.taken);
        self.taken = 0;
        loop {
            self.stream.set_read_timeout(Some(self.slice(deadline)?))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(WireError::Closed),
                Ok(count) => {
                    self.received.extend_from_slice(&chunk[..count]);
                    return Ok(());
                }
                Err(error) if is_pause(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads what has arrived, without a wait; whether there was anything.
    fn receive_arrived(&mut self) -> Result<bool, WireError> {
        let mut chunk = [0; 64 * 1024];
        self.received.drain(..self.taken);
        self.taken = 0;
        loop {
            match rustix::net::recv(&self.stream, &mut chunk, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(WireError::Closed),
                Ok((_, count)) => {
                    self.received.extend_from_slice(&chunk[..count]);
                    return Ok(true);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }

    /// How long to block now; a zero timeout would block without a limit.
    fn slice(&self, deadline: Instant) -> Result<Duration, WireError> {
        host::interrupt::check().map_err(WireError::Interrupted)?;
        match deadline.checked_duration_since(Instant::now()) {
            Some(left) if !left.is_zero() => Ok(left.clamp(Duration::from_millis(1), SLICE)),
            _ => Err(WireError::Deadline),
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

fn nobody(error: io::Error) -> WireError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => WireError::NobodyListens,
        io::ErrorKind::WouldBlock => WireError::Busy,
        _ => WireError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(30)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn pair() -> (tempfile::TempDir, Wire, UnixStream) {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let wire = Wire::connect(directory.path(), "s").unwrap();
        let (other, _) = listener.accept().unwrap();
        (directory, wire, other)
    }

    #[test]
    fn lines_are_whole_however_they_are_cut() {
        let (_directory, mut wire, mut other) = pair();
        other.write_all(b"{\"a\"").unwrap();
        assert!(matches!(wire.line(100, soon()), Err(WireError::Deadline)));
        other.write_all(b":1}\r\n{\"b\":2}\nrest").unwrap();
        assert_eq!(wire.line(100, later()).unwrap(), b"{\"a\":1}");
        assert_eq!(wire.line(100, later()).unwrap(), b"{\"b\":2}");
        drop(other);
        assert!(matches!(wire.line(100, later()), Err(WireError::Closed)));
    }

    #[test]
    fn a_line_that_has_arrived_is_given_without_a_wait() {
        let (_directory, mut wire, mut other) = pair();
        assert_eq!(wire.arrived_line(100).unwrap(), None);
        other.write_all(b"whole\r\npart").unwrap();
        // A deadline that passed before this thread ran would leave both of them unread.
        assert!(matches!(wire.line(100, Instant::now()), Err(WireError::Deadline)));
        assert_eq!(wire.arrived_line(100).unwrap().as_deref(), Some(&b"whole"[..]));
        assert_eq!(wire.arrived_line(100).unwrap(), None);
        other.write_all(b" of a line\nlast\n").unwrap();
        drop(other);
        assert_eq!(wire.arrived_line(100).unwrap().as_deref(), Some(&b"part of a line"[..]));
        assert_eq!(wire.arrived_line(100).unwrap().as_deref(), Some(&b"last"[..]));
        assert!(matches!(wire.arrived_line(100), Err(WireError::Closed)));
    }

    proptest::proptest! {
        /// However the kernel cuts the stream, the lines are the ones that were sent.
        #[test]
        fn lines_survive_any_cut(lines in proptest::collection::vec("[^\r\n]{0,30}", 1..6), cut in 1usize..20) {
            let (_directory, mut wire, mut other) = pair();
            let sent: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let writer = std::thread::spawn(move || {
                for part in sent.as_bytes().chunks(cut) {
                    other.write_all(part).unwrap();
                }
            });
            for line in &lines {
                proptest::prop_assert_eq!(wire.line(100, later()).unwrap(), line.as_bytes());
            }
            proptest::prop_assert!(matches!(wire.line(100, later()), Err(WireError::Closed)));
            writer.join().unwrap();
        }
    }

    #[test]
    fn a_descriptor_goes_with_the_bytes() {
        use std::io::Seek;

        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, recvmsg};

        let (_directory, mut wire, other) = pair();
        let mut file = tempfile::tempfile().unwrap();
        wire.send_with(b"take this", std::os::fd::AsFd::as_fd(&file), later()).unwrap();
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0; 100];
        let mut parts = [io::IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&other, &mut parts, &mut ancillary, RecvFlags::empty()).unwrap();
        assert_eq!(received.bytes, 9);
        let Some(RecvAncillaryMessage::ScmRights(mut files)) = ancillary.drain().next() else {
            panic!("no descriptor")
        };
        std::fs::File::from(files.next().unwrap()).write_all(b"written by the other").unwrap();
        file.rewind().unwrap();
        assert_eq!(io::read_to_string(file).unwrap(), "written by the other");
    }

    #[test]
    fn a_descriptor_was_lost_where_its_bytes_were_sent_again() {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, recvmsg};

        let (_directory, mut wire, other) = pair();
        // No room for a byte: the first attempt ends without one (EAGAIN; after a signal it would be EINTR).
        wire.stream.set_nonblocking(true).unwrap();
        while wire.stream.write(&[0; 4096]).is_ok() {}
        wire.stream.set_nonblocking(false).unwrap();
        let file = tempfile::tempfile().unwrap();
        let (sent, wait) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(move || sent.send(wire.send_with(b"take this", std::os::fd::AsFd::as_fd(&file), later())));
            let early = wait.recv_timeout(3 * SLICE);
            assert!(early.is_err(), "{early:?}");
            let mut received = Vec::new();
            let mut descriptors = 0;
            while !received.ends_with(b"take this") {
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut ancillary = RecvAncillaryBuffer::new(&mut space);
                let mut bytes = [0; 4096];
                let mut parts = [io::IoSliceMut::new(&mut bytes)];
                let count = recvmsg(&other, &mut parts, &mut ancillary, RecvFlags::empty()).unwrap().bytes;
                received.extend_from_slice(&bytes[..count]);
                let rights = ancillary.drain().filter(|one| matches!(one, RecvAncillaryMessage::ScmRights(_)));
                descriptors += rights.count();
            }
            assert_eq!(descriptors, 1);
            wait.recv().unwrap().unwrap();
        });
    }

    #[test]
    fn drops_what_is_before_a_mark() {
        let (_directory, mut wire, mut other) = pair();
        other.write_all(b"stale\n\xff{\"return\":7}\n").unwrap();
        wire.skip_to(0xff, later()).unwrap();
        assert_eq!(wire.line(100, later()).unwrap(), b"{\"return\":7}");
    }

    #[test]
    fn an_endless_line_is_not_stored() {
        let (_directory, mut wire, mut other) = pair();
        let flood = std::thread::spawn(move || while other.write_all(&[b'['; 4096]).is_ok() {});
        assert!(matches!(wire.line(100_000, later()), Err(WireError::TooLong(100_000))));
        assert!(wire.received.len() < 400_000, "{} bytes are held", wire.received.len());
        assert!(matches!(wire.skip_to(0xff, soon()), Err(WireError::Deadline)));
        assert!(wire.received.len() < 400_000, "{} bytes are held", wire.received.len());
        drop(wire);
        flood.join().unwrap();
    }

    #[test]
    fn a_line_of_exactly_the_limit_fits() {
        for (line, fits) in [("12345\n", true), ("12345\r\n", true), ("123456\n", false), ("123456\r\n", false)] {
            let (_directory, mut wire, mut other) = pair();
            other.write_all(line.as_bytes()).unwrap();
            assert_eq!(wire.line(5, later()).is_ok(), fits, "{line:?}");
        }
    }

    #[test]
    fn the_process_that_listens_is_known() {
        let (_directory, wire, _other) = pair();
        assert_eq!(wire.peer_pid(), std::process::id());
    }

    #[test]
    fn nobody_listens_on_a_missing_or_stale_socket() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(Wire::connect(directory.path(), "s"), Err(WireError::NobodyListens)));
        drop(UnixListener::bind(directory.path().join("s")).unwrap());
        assert!(matches!(Wire::connect(directory.path(), "s"), Err(WireError::NobodyListens)));
        assert!(matches!(Wire::connect(&directory.path().join("none"), "s"), Err(WireError::NobodyListens)));
    }

    #[test]
    fn a_full_queue_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let address = SocketAddrUnix::new(directory.path().join("s")).unwrap();
        let listener = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &address).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let clients: Vec<_> = (0..3).map(|_| Wire::connect(directory.path(), "s")).collect();
        assert!(matches!(clients.last(), Some(Err(WireError::Busy))));
    }

    #[test]
    fn a_directory_deeper_than_a_socket_path_may_be() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("long-name-".repeat(15)).join("and-deeper".repeat(10));
        std::fs::create_dir_all(&deep).unwrap();
        // Bound through the directory as QEMU does it, by a relative name: here by its descriptor.
        let held = std::fs::File::open(&deep).unwrap();
        let _listener = UnixListener::bind(format!("/proc/self/fd/{}/s", held.as_raw_fd())).unwrap();
        Wire::connect(&deep, "s").unwrap();
    }
}
