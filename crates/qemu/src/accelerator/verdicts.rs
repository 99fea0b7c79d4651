//! The cached verdicts on KVM, one file for all projects: the result of a test guest and the exact conditions of the test.
//!
//! A file that cannot be read counts as absent, and only verdicts since the host booted count.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use host::files::{self, Mode};
use model::{Error, ErrorClass, Result};
use serde::{Deserialize, Serialize};

use super::probe::Probe;
use super::refusal::Refusal;
use crate::{Version, argv};

/// The result of a test guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// It printed its line.
    Works,
    /// It did not, for this reason.
    Refused(Refusal),
}

/// The conditions of a test. A verdict holds under the same ones only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    boot_id: String,
    qemu: FileIdentity,
    version: Version,
    kernel: FileIdentity,
    /// Machine type, accelerator, CPU, and the rest of QEMU's command line.
    arguments: Vec<String>,
}

/// Identifies a file and its content: it differs from that of every other file, and changes when the file is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileIdentity {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    verdicts: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    subject: Subject,
    verdict: Verdict,
}

impl Subject {
    /// The conditions of a test.
    ///
    /// # Errors
    /// An error when QEMU's or the kernel's file cannot be examined.
    pub(super) fn of(probe: &Probe<'_>) -> Result<Self> {
        let text = |word: OsString| word.to_string_lossy().into_owned();
        Ok(Subject {
            boot_id: host::identity::boot_id()?,
            qemu: FileIdentity::of(&probe.qemu.program)?,
            version: probe.qemu.version,
            kernel: FileIdentity::of(probe.machine.kernel)?,
            arguments: argv::probe_arguments(&probe.machine).into_iter().map(text).collect(),
        })
    }
}

impl FileIdentity {
    fn of(path: &Path) -> Result<Self> {
        let look = || path.canonicalize().and_then(|path| path.metadata().map(|metadata| (path, metadata)));
        let (path, metadata) = look().map_err(|error| host::io_error::at_path("look at", path, &error))?;
        Ok(FileIdentity {
            path,
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// The verdict under these conditions, if there is one.
pub(super) fn find(path: &Path, subject: &Subject) -> Option<Verdict> {
    let entry = read(path).verdicts.into_iter().find(|entry| entry.subject == *subject)?;
    Some(entry.verdict)
}

/// Saves a verdict and removes those of earlier boots of the host.
///
/// # Errors
/// An error of writing the file.
pub(super) fn save(path: &Path, subject: &Subject, verdict: &Verdict) -> Result<()> {
    let mut file = read(path);
    file.verdicts.retain(|entry| entry.subject.boot_id == subject.boot_id && entry.subject != *subject);
    file.verdicts.push(Entry { subject: subject.clone(), verdict: verdict.clone() });
    let text = serde_json::to_vec_pretty(&file)
        .map_err(|error| Error::new(ErrorClass::Failed, "cannot write the verdict on KVM").because(error))?;
    files::create_dir(path.parent().unwrap_or(Path::new(".")))?;
    files::write_atomic(path, &text, Mode::Keep)
}

fn read(path: &Path) -> File {
    let bytes = files::read_optional(path).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Qemu;
    use crate::machine::{Accelerator, ProbeMachine};

    struct Files {
        directory: tempfile::TempDir,
        qemu: Qemu,
    }

    impl Files {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            for name in ["qemu", "kernel"] {
                std::fs::write(directory.path().join(name), name).unwrap();
            }
            let qemu = Qemu { program: directory.path().join("qemu"), version: Version::new(7, 2, 22), sandbox: true };
            Files { directory, qemu }
        }

        fn subject(&self) -> Subject {
            self.subject_with(2, "quiet")
        }

        fn subject_with(&self, cpus: u32, kernel_command_line: &str) -> Subject {
            let kernel = self.directory.path().join("kernel");
            let machine = ProbeMachine {
                version: self.qemu.version,
                sandbox: true,
                accelerator: Accelerator::Kvm,
                cpus,
                kernel: &kernel,
                kernel_command_line,
            };
            Subject::of(&Probe { qemu: &self.qemu, machine, deadline: Duration::from_secs(1) }).unwrap()
        }

        fn verdicts(&self) -> PathBuf {
            self.directory.path().join("cache/accelerator.json")
        }
    }

    fn hangs() -> Verdict {
        let console = vec!["the last line".to_owned()];
        Verdict::Refused(Refusal::Hangs { waited: Duration::from_millis(15_500), console })
    }

    #[test]
    fn a_saved_verdict_is_found() {
        let files = Files::new();
        let (one, two) = (files.subject(), files.subject_with(4, "quiet"));
        save(&files.verdicts(), &one, &Verdict::Works).unwrap();
        save(&files.verdicts(), &two, &hangs()).unwrap();
        assert_eq!(find(&files.verdicts(), &one), Some(Verdict::Works));
        assert_eq!(find(&files.verdicts(), &two), Some(hangs()));
        save(&files.verdicts(), &one, &hangs()).unwrap();
        assert_eq!(find(&files.verdicts(), &one), Some(hangs()));
        assert_eq!(read(&files.verdicts()).verdicts.len(), 2);
    }

    #[test]
    fn a_verdict_holds_under_the_conditions_of_its_test_only() {
        let mut files = Files::new();
        save(&files.verdicts(), &files.subject(), &Verdict::Works).unwrap();
        let find = |subject: &Subject, files: &Files| find(&files.verdicts(), subject);
        assert_eq!(find(&files.subject_with(1, "quiet"), &files), None, "other CPUs");
        assert_eq!(find(&files.subject_with(2, "noapic"), &files), None, "another command line");
        assert_eq!(find(&Subject { boot_id: "b".to_owned(), ..files.subject() }, &files), None, "another boot");
        files.qemu.version = Version::new(7, 2, 23);
        assert_eq!(find(&files.subject(), &files), None, "another version");
        files.qemu.version = Version::new(7, 2, 22);
        assert_eq!(find(&files.subject(), &files), Some(Verdict::Works));
        std::fs::write(files.directory.path().join("kernel"), "another kernel").unwrap();
        assert_eq!(find(&files.subject(), &files), None, "another kernel");
    }

    #[test]
    fn verdicts_of_earlier_boots_are_removed() {
        let files = Files::new();
        save(&files.verdicts(), &Subject { boot_id: "b".to_owned(), ..files.subject() }, &hangs()).unwrap();
        save(&files.verdicts(), &files.subject(), &Verdict::Works).unwrap();
        assert_eq!(read(&files.verdicts()).verdicts.len(), 1);
    }

    #[test]
    fn a_damaged_file_counts_as_absent() {
        let files = Files::new();
        save(&files.verdicts(), &files.subject(), &Verdict::Works).unwrap();
        std::fs::write(files.verdicts(), "{\"verdicts\": [{}]}").unwrap();
        assert_eq!(find(&files.verdicts(), &files.subject()), None);
        save(&files.verdicts(), &files.subject(), &hangs()).unwrap();
        assert_eq!(find(&files.verdicts(), &files.subject()), Some(hangs()));
    }
}
