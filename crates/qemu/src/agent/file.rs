//! Files read from the guest: `guest-file-open`, `guest-file-read`, `guest-file-close`.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::{Fault, FaultClass, Result};
use serde_json::{Value, json};

use super::Agent;

/// How much is asked for at once; the agent would give up to 48 MB.
const CHUNK: usize = 1 << 20;

impl Agent {
    /// The content of a file in the guest; nothing where it does not exist.
    ///
    /// # Errors
    /// Failed when it has more than `limit` bytes or the guest refuses; Timeout; Guest when QEMU is gone.
    pub fn read_file(&mut self, path: &str, limit: usize, deadline: Duration) -> Result<Option<Vec<u8>>> {
        let end = Instant::now() + deadline;
        let told = |fault: Fault| fault.context(format!("cannot read {path} in the guest"));
        let handle = match self.call("guest-file-open", json!({"path": path, "mode": "rb"}), end) {
            Ok(handle) => handle,
            Err(fault) if fault.why().iter().any(|why| why.ends_with("No such file or directory")) => return Ok(None),
            Err(fault) => return Err(told(fault)),
        };
        let content = self.read_handle(&handle, limit, end).map_err(told);
        let closed = self.call("guest-file-close", json!({"handle": handle}), end);
        let content = content?;
        closed.map_err(told)?;
        Ok(Some(content))
    }

    fn read_handle(&mut self, handle: &Value, limit: usize, end: Instant) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let part = self.call("guest-file-read", json!({"handle": handle, "count": CHUNK}), end)?;
            let bytes = BASE64.decode(part["buf-b64"].as_str().unwrap_or_default()).unwrap_or_default();
            let ended = part["eof"] == json!(true) || bytes.is_empty();
            content.extend_from_slice(&bytes);
            if content.len() > limit {
                return Err(Fault::new(FaultClass::Failed, format!("it has more than {limit} bytes")));
            }
            if ended {
                return Ok(content);
            }
        }
    }
}
