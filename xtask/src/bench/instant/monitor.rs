//! A minimal QMP client, for `savevm` and `quit`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection; QEMU serves one at a time.
pub(super) struct Monitor<Stream>(BufReader<Stream>);

impl Monitor<UnixStream> {
    /// Connects to the socket.
    pub(super) fn connect(socket: &Path) -> Result<Self> {
        let stream = UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
        // `savevm` answers only when the RAM is on the disk.
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        Monitor::greeted(stream)
    }
}

impl<Stream: std::io::Read + Write> Monitor<Stream> {
    fn greeted(stream: Stream) -> Result<Self> {
        let mut monitor = Monitor(BufReader::new(stream));
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command of the human monitor, which prints something only when it fails.
    pub(super) fn human(&mut self, line: &str) -> Result<()> {
        let words = self.execute("human-monitor-command", &json!({"command-line": line}))?;
        match words.as_str().unwrap_or_default().trim() {
            "" => Ok(()),
            words => bail!("{line}: {words}"),
        }
    }

    /// Runs a QMP command; its return value.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        writeln!(self.0.get_mut(), "{}", json!({"execute": command, "arguments": arguments}))?;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                bail!("{command}: QEMU ended");
            }
            let mut message: Value = serde_json::from_str(&line).with_context(|| format!("not JSON: {line}"))?;
            if let Some(error) = message.get("error") {
                bail!("{command}: {error}");
            }
            // The greeting and events are skipped.
            if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read};

    /// Reads a script and discards what is written.
    struct Scripted(Cursor<&'static str>);

    impl Read for Scripted {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Scripted {
        fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
            Ok(buffer.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn savevm(answer: &'static str) -> Result<()> {
        Monitor::greeted(Scripted(Cursor::new(answer)))?.human("savevm x")
    }

    #[test]
    fn output_of_the_human_monitor_is_a_failure() {
        assert!(savevm("{\"QMP\":{}}\n{\"return\":{}}\n{\"event\":\"STOP\"}\n{\"return\":\"\"}\n").is_ok());
        let error = savevm("{\"QMP\":{}}\n{\"return\":{}}\n{\"return\":\"Error: no space\\r\\n\"}\n").unwrap_err();
        assert_eq!(error.to_string(), "savevm x: Error: no space");
        assert!(savevm("{\"QMP\":{}}\n{\"error\":{}}\n").is_err());
        assert!(savevm("").is_err());
    }
}
