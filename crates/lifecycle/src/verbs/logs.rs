//! `logs`: the guest's console and QEMU's output, which are in `vm.log`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::files;
use model::{Error, ErrorClass, Result};

use crate::context::Context;
use crate::instance::observe::{Observed, observe};
use crate::instance::vm_log;

/// How often a followed log is read.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// The last `count` lines, or all of them, of the run that was `back` runs ago; 0 is the present one.
///
/// # Errors
/// A State error where there is no such log, and errors of reading.
pub fn lines(context: &Context<'_>, back: u32, count: Option<usize>) -> Result<Vec<String>> {
    let log = vm_log::of_run(&context.paths(), context.name.as_str(), back)?;
    vm_log::bound(&log)?;
    match count {
        Some(count) => Ok(files::tail(&log, count)),
        None => {
            let bytes = files::read_optional(&log)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
        }
    }
}

/// Passes what is added to the log to `take`, until the instance stops or the user interrupts.
///
/// # Errors
/// As [`lines`].
pub fn follow(context: &Context<'_>, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let path = vm_log::of_run(&context.paths(), context.name.as_str(), 0)?;
    let mut follower = Follower::at_end(&path)?;
    let forever = Duration::from_secs(u64::from(u32::MAX));
    let wait = host::wait::Wait { what: "the end of the instance", deadline: forever, interval: FOLLOW_INTERVAL };
    let ended = wait.until(|_| {
        vm_log::bound(&path)?;
        let running = matches!(observe(context)?, Observed::Running(_));
        let news = follower.news()?;
        if !news.is_empty() {
            take(&news)?;
        }
        Ok(if running { host::wait::Look::NotYet(String::new()) } else { host::wait::Look::Ready(()) })
    });
    match ended {
        Err(error) if error.class() == ErrorClass::Interrupted => Ok(()),
        other => other,
    }
}

/// Reads what is appended to a file.
struct Follower {
    path: PathBuf,
    file: File,
}

impl Follower {
    fn at_end(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
        file.seek(SeekFrom::End(0)).map_err(|error| unreadable(path, &error))?;
        Ok(Follower { path: path.to_owned(), file })
    }

    fn news(&mut self) -> Result<Vec<u8>> {
        let mut news = Vec::new();
        let length = self.file.metadata().map_err(|error| unreadable(&self.path, &error))?.len();
        let position = self.file.stream_position().map_err(|error| unreadable(&self.path, &error))?;
        if length < position {
            // It was cut because it had grown too large.
            self.file.seek(SeekFrom::End(0)).map_err(|error| unreadable(&self.path, &error))?;
        }
        self.file.read_to_end(&mut news).map_err(|error| unreadable(&self.path, &error))?;
        Ok(news)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorClass::Failed, format!("cannot read {}", path.display())).because(error)
}
