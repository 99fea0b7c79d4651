//! Reads lines from a Unix socket, and the descriptors that come with them.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A client's lines.
pub(super) struct Lines {
    stream: UnixStream,
    received: Vec<u8>,
    /// The descriptors that were received and not taken yet.
    pub(super) files: Vec<OwnedFd>,
}

impl Lines {
    pub(super) fn of(stream: UnixStream) -> Self {
        Lines { stream, received: Vec::new(), files: Vec::new() }
    }

    /// The next line; `None` when the client is gone.
    pub(super) fn next(&mut self) -> std::io::Result<Option<String>> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let rest = self.received.split_off(end + 1);
                let line = std::mem::replace(&mut self.received, rest);
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut chunk = [0; 64 * 1024];
            let mut parts = [IoSliceMut::new(&mut chunk)];
            let received = recvmsg(&self.stream, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = message {
                    self.files.extend(files);
                }
            }
            if received.bytes == 0 {
                return Ok(None);
            }
            self.received.extend_from_slice(&chunk[..received.bytes]);
        }
    }
}
