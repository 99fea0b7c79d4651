//! A TCP stream that fails at a moment, however slowly the other side trickles.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Reads and writes that end at `end`.
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

/// A read timeout shows as `WouldBlock` (socket(7), SO_RCVTIMEO), which means nothing to a user.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        _ => error,
    }
}

/// A signal ends calls on a socket with a timeout, also where it only lets a stopped process go on (signal(7)).
fn is_pause(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted && !host::interrupt::requested()
}

impl Read for DeadlineStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(buffer) {
                Err(error) if is_pause(&error) => {}
                read => return read.map_err(in_words),
            }
        }
    }
}

impl Write for DeadlineStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            self.stream.set_write_timeout(Some(self.left()?))?;
            match self.stream.write(buffer) {
                Err(error) if is_pause(&error) => {}
                written => return written.map_err(in_words),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
