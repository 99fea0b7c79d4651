//! The log files `vm.log*`: one for each of the last few runs, none larger than a bound.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use host::files;
use host::io_error::at_path;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};

/// How many logs of former runs there are.
const FORMER_RUNS: u32 = 3;
/// A log that is larger than this, in bytes, is cut.
const LARGEST: u64 = 64 << 20;
/// How much of its end is left, in bytes.
const REST: u64 = 16 << 20;

/// Makes room for the log of a new run. An empty log does not count as a run.
///
/// # Errors
/// Errors that name the file.
pub(crate) fn rotate(paths: &InstancePaths) -> Result<()> {
    if std::fs::metadata(paths.log()).map_or(0, |metadata| metadata.len()) == 0 {
        return Ok(());
    }
    bound(&paths.log())?;
    for back in (1..FORMER_RUNS).rev() {
        if paths.previous_log(back).exists() {
            files::rename(&paths.previous_log(back), &paths.previous_log(back + 1))?;
        }
    }
    files::rename(&paths.log(), &paths.previous_log(1))
}

/// Cuts a log that has grown too large, also while QEMU writes it: QEMU appends, so it continues at the new end. What it
/// writes during the cut comes before the rest of the log. A missing log is small enough.
///
/// # Errors
/// An error that names the file.
pub(crate) fn bound(log: &Path) -> Result<()> {
    // Opened for writing only where it must be: a project may have become read-only.
    if std::fs::metadata(log).is_ok_and(|metadata| metadata.len() <= LARGEST) {
        return Ok(());
    }
    match OpenLog::open(log)? {
        Some(mut log) => log.bound(),
        None => Ok(()),
    }
}

/// An open log. It is bounded also where its file was removed, since QEMU still writes it.
#[derive(Debug)]
pub(crate) struct OpenLog {
    path: PathBuf,
    file: File,
}

impl OpenLog {
    /// Opens the log at `path`; `None` where there is none.
    ///
    /// # Errors
    /// An error that names the file.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>> {
        match File::options().read(true).append(true).open(path) {
            Ok(file) => Ok(Some(OpenLog { path: path.to_owned(), file })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at_path("shorten", path, &error)),
        }
    }

    /// As [`bound`].
    ///
    /// # Errors
    /// As [`bound`].
    pub(crate) fn bound(&mut self) -> Result<()> {
        cut(&mut self.file, LARGEST, REST).map_err(|error| at_path("shorten", &self.path, &error))
    }
}

fn cut(file: &mut File, largest: u64, rest: u64) -> io::Result<()> {
    if file.metadata()?.len() <= largest {
        return Ok(());
    }
    // Two that cut at the same time would both write the rest back. The one that has the lock does it for both.
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(()),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let done = cut_alone(file, largest, rest);
    file.unlock().and(done)
}

fn cut_alone(file: &mut File, largest: u64, rest: u64) -> io::Result<()> {
    let length = file.metadata()?.len();
    if length <= largest {
        return Ok(());
    }
    file.seek(SeekFrom::Start(length - rest))?;
    let mut end = Vec::new();
    Read::by_ref(file).take(rest).read_to_end(&mut end)?;
    // From the begin of a line.
    let begin = end.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    file.set_len(0)?;
    let left_out = length - (end.len() - begin) as u64;
    file.write_all(
        format!("[k3s-vm: {left_out} bytes of this log were cut, since it had grown too large]\n").as_bytes(),
    )?;
    file.write_all(&end[begin..])
}

/// The log of the present run, or of the one `back` runs ago.
///
/// # Errors
/// A State error where there is none.
pub(crate) fn of_run(paths: &InstancePaths, name: &str, back: u32) -> Result<PathBuf> {
    let log = if back == 0 { paths.log() } else { paths.previous_log(back) };
    if log.exists() {
        return Ok(log);
    }
    let missing = format!("{} does not exist", log.display());
    if back == 0 {
        return Err(Error::new(ErrorClass::State, format!("{name} has no log yet"))
            .because(missing)
            .next("k3s-vm start"));
    }
    let former = (1..=FORMER_RUNS).take_while(|back| paths.previous_log(*back).exists()).count();
    let error = Error::new(ErrorClass::State, format!("there is no log of {name} from {back} runs ago"));
    Err(error
        .because(missing)
        .because(format!("former logs that are there: {former} (the last {FORMER_RUNS} are kept)"))
        .next("k3s-vm logs"))
}

#[cfg(test)]
mod tests {
    use model::instance::InstanceName;
    use model::paths::ProjectPaths;

    use super::*;

    fn instance() -> (tempfile::TempDir, InstancePaths) {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ProjectPaths::new(directory.path()).instance(&InstanceName::default());
        std::fs::create_dir_all(paths.dir()).expect("a directory");
        (directory, paths)
    }

    #[test]
    fn the_logs_of_the_last_runs_stay_and_empty_ones_replace_none_of_them() {
        let (_directory, paths) = instance();
        rotate(&paths).expect("nothing to do");
        for run in 1..=6 {
            std::fs::write(paths.log(), format!("run {run}")).expect("written");
            rotate(&paths).expect("rotated");
            std::fs::write(paths.log(), "").expect("written");
            rotate(&paths).expect("nothing to do");
        }
        let former: Vec<String> =
            (1..=3).map(|back| std::fs::read_to_string(paths.previous_log(back)).expect("there")).collect();
        assert_eq!(former, ["run 6", "run 5", "run 4"]);
        assert!(!paths.previous_log(4).exists());
    }

    #[test]
    fn the_end_of_a_log_that_grew_too_large_stays_while_qemu_writes_on() {
        let (_directory, paths) = instance();
        let mut qemu = File::options().append(true).create(true).open(paths.log()).expect("open");
        for line in 0..100 {
            writeln!(qemu, "line {line:02}").expect("written");
        }
        let mut log = OpenLog::open(&paths.log()).expect("open").expect("it is there").file;
        cut(&mut log, 800, 100).expect("small enough");
        assert_eq!(std::fs::metadata(paths.log()).expect("there").len(), 800);
        cut(&mut log, 799, 20).expect("cut");
        writeln!(qemu, "after").expect("written");
        let text = std::fs::read_to_string(paths.log()).expect("text");
        insta::assert_snapshot!(text, @r"
        [k3s-vm: 784 bytes of this log were cut, since it had grown too large]
        line 98
        line 99
        after
        ");
    }

    #[test]
    fn two_that_cut_a_log_at_once_both_wrote_its_end_back() {
        let (_directory, paths) = instance();
        std::fs::write(paths.log(), "line\n".repeat(100)).expect("written");
        let open = || OpenLog::open(&paths.log()).expect("open").expect("it is there").file;
        let (mut one, other) = (open(), open());
        other.lock().expect("the other one is at work");
        cut(&mut one, 100, 20).expect("left to the other one");
        assert_eq!(std::fs::metadata(paths.log()).expect("there").len(), 500);
        other.unlock().expect("done");
        cut(&mut one, 100, 20).expect("cut");
        assert!(std::fs::metadata(paths.log()).expect("there").len() < 200);
    }

    #[test]
    fn a_log_whose_file_was_removed_grew_without_bound() {
        let (_directory, paths) = instance();
        std::fs::write(paths.log(), "line\n".repeat(100)).expect("written");
        let mut log = OpenLog::open(&paths.log()).expect("open").expect("it is there").file;
        std::fs::remove_file(paths.log()).expect("removed");
        cut(&mut log, 100, 20).expect("cut");
        assert!(log.metadata().expect("it is open").len() < 200);
        assert!(OpenLog::open(&paths.log()).expect("nothing is there").is_none());
    }
}
