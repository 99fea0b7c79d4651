//! Reads the guest's console in `vm.log`: signs of death, started and failed units, and the last line for the progress.

mod text;

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use model::{Error, ErrorClass, Result};

/// A line of the console that reports a severe failure of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeathSign {
    /// The kernel panicked.
    KernelPanic(String),
    /// The boot ended in a shell: emergency mode, rescue mode, or the shell of the initial RAM disk.
    EmergencyMode(String),
    /// The kernel killed a process because the guest (not a container) was out of memory. The guest runs on.
    OutOfMemory(String),
    /// The root disk or its filesystem reports errors, or went read-only.
    FilesystemError(String),
}

/// The news in new text of the console.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleNews {
    /// The last line that is worth showing, without colours and time stamps.
    pub progress: Option<String>,
    /// Units that systemd started or reached.
    pub started: Vec<String>,
    /// Units that systemd failed to start.
    pub failed: Vec<String>,
    /// Signs of death, in order.
    pub signs: Vec<DeathSign>,
}

impl DeathSign {
    /// The sign in a line of the console; `None` where the line is none.
    pub fn of(line: &str) -> Option<Self> {
        let line = text::plain(line);
        let has = |parts: &[&str]| parts.iter().any(|part| line.contains(part));
        if has(&["Kernel panic - not syncing"]) {
            Some(DeathSign::KernelPanic(line))
        } else if has(&["You are in emergency mode", "You are in rescue mode", "Dropping to a shell!"])
            || has(&["Cannot open access to console, the root account is locked"])
        {
            Some(DeathSign::EmergencyMode(line))
        } else if has(&["Out of memory: Killed process"]) {
            Some(DeathSign::OutOfMemory(line))
        } else if has(&["EXT4-fs error", "Remounting filesystem read-only", "I/O error, dev vda"]) {
            Some(DeathSign::FilesystemError(line))
        } else {
            None
        }
    }

    /// Whether the guest cannot become ready any more.
    pub fn is_final(&self) -> bool {
        matches!(self, DeathSign::KernelPanic(_) | DeathSign::EmergencyMode(_))
    }

    /// The line of the console.
    pub fn line(&self) -> &str {
        match self {
            DeathSign::KernelPanic(line)
            | DeathSign::EmergencyMode(line)
            | DeathSign::OutOfMemory(line)
            | DeathSign::FilesystemError(line) => line,
        }
    }

    /// Its meaning, for the headline of an error.
    pub fn meaning(&self) -> &'static str {
        match self {
            DeathSign::KernelPanic(_) => "the guest's kernel panicked",
            DeathSign::EmergencyMode(_) => "the guest's boot ended in a rescue shell",
            DeathSign::OutOfMemory(_) => "the guest ran out of memory",
            DeathSign::FilesystemError(_) => "the guest's root disk has errors",
        }
    }
}

impl ConsoleNews {
    /// Adds the news in a line.
    fn add(&mut self, line: &str) {
        if let Some(sign) = DeathSign::of(line) {
            self.signs.push(sign);
        }
        let line = text::plain(line);
        match text::systemd(&line) {
            Some(text::Systemd::Started(what)) => self.started.push(what.to_owned()),
            Some(text::Systemd::Failed(what)) => self.failed.push(what.to_owned()),
            None => {}
        }
        if let Some(progress) = text::progress(&line) {
            self.progress = Some(progress);
        }
    }
}

/// Reads new lines of `vm.log`.
#[derive(Debug)]
pub struct ConsoleReader {
    path: PathBuf,
    position: u64,
    /// The beginning of a line that is not complete yet.
    rest: Vec<u8>,
}

impl ConsoleReader {
    /// Begins at the present end of the log; call it before the launch.
    ///
    /// # Errors
    /// Failed when there is a log that cannot be examined.
    pub fn from_end(path: PathBuf) -> Result<Self> {
        let position = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(unreadable(&path, &error)),
        };
        Ok(ConsoleReader { path, position, rest: Vec::new() })
    }

    /// The news since the last call. A log that does not exist yet has none; one that has become shorter is read from its
    /// start.
    ///
    /// # Errors
    /// Failed when there is a log that cannot be read.
    pub fn news(&mut self) -> Result<ConsoleNews> {
        let mut news = ConsoleNews::default();
        for line in self.lines()? {
            news.add(&line);
        }
        Ok(news)
    }

    fn lines(&mut self) -> Result<Vec<String>> {
        let mut log = match std::fs::File::open(&self.path) {
            Ok(log) => log,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(&self.path, &error)),
        };
        let mut read = || -> std::io::Result<Vec<u8>> {
            if log.metadata()?.len() < self.position {
                self.position = 0;
                self.rest.clear();
            }
            log.seek(SeekFrom::Start(self.position))?;
            let mut fresh = std::mem::take(&mut self.rest);
            self.position += log.read_to_end(&mut fresh)? as u64;
            Ok(fresh)
        };
        let mut fresh = read().map_err(|error| unreadable(&self.path, &error))?;
        let whole = fresh.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest = fresh.split_off(whole);
        Ok(String::from_utf8_lossy(&fresh).lines().map(str::to_owned).collect())
    }
}

fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Error {
    Error::new(ErrorClass::Failed, format!("cannot read {}", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn signs_of_death() {
        for (line, expected) in [
            ("[    2.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "panic"),
            ("[    2.2] ---[ end Kernel panic - not syncing: VFS: Unable to mount root fs ]---", "panic"),
            ("You are in emergency mode. After logging in, type \"journalctl -xb\" to view", "emergency"),
            ("\u{1b}[1mYou are in rescue mode.\u{1b}[0m", "emergency"),
            ("ALERT!  /dev/vda does not exist.  Dropping to a shell!", "emergency"),
            ("[  91.0] Out of memory: Killed process 512 (kube-apiserver) total-vm:1", "memory"),
            ("[  91.0] Memory cgroup out of memory: Killed process 512 (node) total-vm:1", "none"),
            ("[   9.0] EXT4-fs error (device vda): ext4_find_entry:1683: inode #2: comm ls", "disk"),
            ("[   9.0] EXT4-fs (vda): Remounting filesystem read-only", "disk"),
            ("[   9.0] I/O error, dev vda, sector 2048 op 0x1:(WRITE)", "disk"),
            ("[   0.0] Kernel command line: console=ttyS0 panic=10", "none"),
            ("[  OK  ] Reached target emergency.target - Emergency Mode.", "none"),
        ] {
            let name = match DeathSign::of(line) {
                Some(DeathSign::KernelPanic(_)) => "panic",
                Some(DeathSign::EmergencyMode(_)) => "emergency",
                Some(DeathSign::OutOfMemory(_)) => "memory",
                Some(DeathSign::FilesystemError(_)) => "disk",
                None => "none",
            };
            assert_eq!(name, expected, "{line}");
        }
    }

    #[test]
    fn reads_only_new_and_whole_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("vm.log");
        std::fs::write(&path, "Kernel panic - not syncing: of the run before\n").unwrap();
        let mut reader = ConsoleReader::from_end(path.clone()).unwrap();
        assert_eq!(reader.news().unwrap(), ConsoleNews::default());

        let mut log = std::fs::File::options().append(true).open(&path).unwrap();
        log.write_all(b"[  OK  ] Reached target basic.target - Basic System.\r\nKernel pan").unwrap();
        let news = reader.news().unwrap();
        assert_eq!(news.started, ["basic.target - Basic System"]);
        assert_eq!(news.progress.as_deref(), Some("Reached target basic.target - Basic System"));
        assert_eq!(news.signs, []);

        log.write_all(b"ic - not syncing: now\n[FAILED] Failed to start x.service - X.\n").unwrap();
        let news = reader.news().unwrap();
        assert_eq!(news.signs, [DeathSign::KernelPanic("Kernel panic - not syncing: now".to_owned())]);
        assert_eq!(news.failed, ["x.service - X"]);

        std::fs::write(&path, "[FAILED] Failed to start y.service.\n").unwrap();
        assert_eq!(reader.news().unwrap().failed, ["y.service"]);
    }

    #[test]
    fn a_log_that_does_not_exist_yet_has_no_news() {
        let directory = tempfile::tempdir().unwrap();
        let mut reader = ConsoleReader::from_end(directory.path().join("vm.log")).unwrap();
        assert_eq!(reader.news().unwrap(), ConsoleNews::default());
    }
}
