//! A TCP stream with one deadline for all reads and writes, however slowly the other side sends.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A stream whose reads and writes fail after `end`.
pub(crate) struct DeadlineStream {
    stream: TcpStream,
    end: Instant,
}

impl DeadlineStream {
    pub(crate) fn new(stream: TcpStream, end: Instant) -> Self {
        DeadlineStream { stream, end }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")) } else { Ok(left) }
    }
}

/// Replaces `WouldBlock`, the error of a read timeout (socket(7), SO_RCVTIMEO), whose text means nothing to users.
fn readable(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        _ => error,
    }
}

/// Whether a signal ended the call without an interrupt by the user. On a socket with a timeout, even the signal that
/// resumes a stopped process does (signal(7)).
fn is_harmless_signal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted && !host::interrupt::requested()
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(buffer) {
                Err(error) if is_harmless_signal(&error) => {}
                read => return read.map_err(readable),
            }
        }
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            self.stream.set_write_timeout(Some(self.left()?))?;
            match self.stream.write(buffer) {
                Err(error) if is_harmless_signal(&error) => {}
                written => return written.map_err(readable),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
