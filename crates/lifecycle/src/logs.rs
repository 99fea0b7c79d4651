//! `logs`: the console of the guest and the words of QEMU, as they stand in `vm.log`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::files;
use model::{Fault, FaultClass, Result};

use crate::context::Context;
use crate::observe::{Observed, observe};

/// How often a followed log is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);

/// Where the log is.
///
/// # Errors
/// A State fault when the instance was never started.
pub fn path(context: &Context<'_>) -> Result<PathBuf> {
    let log = context.paths().log();
    if log.exists() {
        Ok(log)
    } else {
        Err(Fault::new(FaultClass::State, format!("{} has no log yet", context.name))
            .because(format!("{} does not exist", log.display()))
            .next("k3s-vm start"))
    }
}

/// The last `count` lines, or all of them.
///
/// # Errors
/// As [`path`], and faults of reading.
pub fn lines(context: &Context<'_>, count: Option<usize>) -> Result<Vec<String>> {
    Ok(files::tail(&path(context)?, count.unwrap_or(usize::MAX)))
}

/// Hands what is added to the log to `take` until the instance stops or the user interrupts.
///
/// # Errors
/// As [`path`], and faults of reading.
pub fn follow(context: &Context<'_>, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let path = path(context)?;
    let mut follower = Follower::at_end(&path)?;
    let forever = Duration::from_secs(u64::from(u32::MAX));
    let wait = host::wait::Wait { what: "the end of the instance", deadline: forever, interval: FOLLOW_INTERVAL };
    let ended = wait.until(|_| {
        let running = matches!(observe(context)?, Observed::Running(_));
        let news = follower.news()?;
        if !news.is_empty() {
            take(&news)?;
        }
        Ok(if running { host::wait::Look::NotYet(String::new()) } else { host::wait::Look::Ready(()) })
    });
    match ended {
        Err(fault) if fault.class() == FaultClass::Interrupted => Ok(()),
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
        self.file.read_to_end(&mut news).map_err(|error| unreadable(&self.path, &error))?;
        Ok(news)
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    Fault::new(FaultClass::Failed, format!("cannot read {}", path.display())).because(error)
}
