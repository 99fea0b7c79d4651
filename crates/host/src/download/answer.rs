//! An HTTP response, read by a thread of its own, so that an interrupt works while nothing arrives.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, Response};

use super::failure::Trouble;
use crate::interrupt;

/// The pause between two checks for an interrupt.
const INTERVAL: Duration = Duration::from_millis(100);
/// Bytes of one piece of the body.
const PIECE: usize = 1 << 16;
/// The most pieces that wait to be processed.
const WAITING: usize = 16;

type Message = Result<Piece, ureq::Error>;

enum Piece {
    Head(u16, HeaderMap),
    Bytes(Vec<u8>),
    End,
}

/// The head of a response, and its body piece by piece.
pub(super) struct Answer {
    status: u16,
    headers: HeaderMap,
    messages: Receiver<Message>,
}

impl Answer {
    /// Requests `url` and waits for the head of the response.
    pub(super) fn ask(agent: Agent, url: &str, headers: Vec<(&'static str, String)>) -> Result<Self, Trouble> {
        let (sender, messages) = sync_channel(WAITING);
        let url = url.to_owned();
        // After the receiver is dropped, sending fails and the thread ends.
        std::thread::spawn(move || {
            if let Err(error) = receive(&agent, &url, headers, &sender) {
                let _ = sender.send(Err(error));
            }
        });
        match next(&messages)? {
            Piece::Head(status, headers) => Ok(Answer { status, headers, messages }),
            Piece::Bytes(_) | Piece::End => Err(Trouble::Lost),
        }
    }

    /// The status code.
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The length of the body, if the server sends it.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// The first byte of a partial response (`Content-Range: bytes 5-9/10`).
    pub(super) fn content_range_start(&self) -> Option<u64> {
        let range = self.header("content-range")?;
        range.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
    }

    /// The validator for a resumed request: a strong entity tag, else the date of the last change.
    pub(super) fn validator(&self) -> Option<String> {
        self.header("etag").filter(|tag| tag.starts_with('"')).or_else(|| self.header("last-modified"))
    }

    /// The next piece of the body; `None` at its end.
    pub(super) fn piece(&mut self) -> Result<Option<Vec<u8>>, Trouble> {
        match next(&self.messages)? {
            Piece::Bytes(bytes) => Ok(Some(bytes)),
            Piece::End | Piece::Head(..) => Ok(None),
        }
    }
}

/// Waits for the next message or an interrupt. The connection itself has the time limits.
fn next(messages: &Receiver<Message>) -> Result<Piece, Trouble> {
    loop {
        interrupt::check().map_err(Trouble::Error)?;
        match messages.recv_timeout(INTERVAL) {
            Ok(message) => return message.map_err(Trouble::Library),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Trouble::Lost),
        }
    }
}

fn receive(
    agent: &Agent,
    url: &str,
    headers: Vec<(&'static str, String)>,
    sender: &SyncSender<Message>,
) -> Result<(), ureq::Error> {
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let (head, body) = Response::into_parts(request.call()?);
    if sender.send(Ok(Piece::Head(head.status.as_u16(), head.headers))).is_err() {
        return Ok(());
    }
    let mut reader = body.into_reader();
    loop {
        let mut bytes = vec![0; PIECE];
        let count = reader.read(&mut bytes)?;
        bytes.truncate(count);
        let piece = if count == 0 { Piece::End } else { Piece::Bytes(bytes) };
        if sender.send(Ok(piece)).is_err() || count == 0 {
            return Ok(());
        }
    }
}
