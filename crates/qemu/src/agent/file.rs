//! Reads files of the guest: `guest-file-open`, `guest-file-read`, `guest-file-close`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde_json::json;

use super::{Agent, CallError};
use crate::answer::{Nothing, Object, SMALL};
use crate::wire::after;

/// The bytes of one read. The agent would return up to 48 MB.
const CHUNK: usize = 1 << 20;

/// `GuestFileRead`: bytes in base64.
#[derive(Deserialize)]
struct Part {
    #[serde(rename = "buf-b64")]
    content: String,
    eof: bool,
}

impl Agent {
    /// The content of a file in the guest; `None` where it does not exist.
    ///
    /// # Errors
    /// Failed when it has more than `limit` bytes or the guest refuses; Timeout; Guest when QEMU is gone.
    pub fn read_file(&mut self, path: &str, limit: usize, deadline: Duration) -> Result<Option<Vec<u8>>> {
        let end = after(deadline);
        let told = |error: Error| error.context(format!("cannot read {path} in the guest"));
        let handle: i64 = match self.call("guest-file-open", json!({"path": path, "mode": "rb"}), SMALL, end) {
            Ok(handle) => handle,
            // The agent has one class of error for every reason; its text is that of the guest's open(2).
            Err(CallError::Refused(error))
                if error.why().iter().any(|why| why.ends_with("No such file or directory")) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(told(error.into())),
        };
        let content = self.read_handle(handle, limit, end).map_err(told);
        let closed = self.call::<Object<Nothing>>("guest-file-close", json!({"handle": handle}), SMALL, end);
        let content = content?;
        closed.map_err(|error| told(error.into()))?;
        Ok(Some(content))
    }

    fn read_handle(&mut self, handle: i64, limit: usize, end: Instant) -> Result<Vec<u8>> {
        let failed = |why: &str| Err(Error::new(ErrorClass::Failed, why));
        let mut content = Vec::new();
        loop {
            // One byte more shows that the file is too large.
            let count = limit.saturating_sub(content.len()).saturating_add(1).min(CHUNK);
            // Base64 has four characters for three bytes.
            let longest = count.div_ceil(3).saturating_mul(4).saturating_add(SMALL);
            let arguments = json!({"handle": handle, "count": count});
            let Object(part): Object<Part> = self.call("guest-file-read", arguments, longest, end)?;
            let Ok(bytes) = BASE64.decode(&part.content) else {
                return failed("the guest agent's answer is no base64");
            };
            if bytes.len() > count {
                return failed("the guest agent gave more than it was asked for");
            }
            content.extend_from_slice(&bytes);
            if content.len() > limit {
                return failed(&format!("it has more than {limit} bytes"));
            }
            if part.eof || bytes.is_empty() {
                return Ok(content);
            }
        }
    }
}
