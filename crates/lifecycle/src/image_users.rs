//! Which projects use a guest image of the shared cache.
//!
//! Each project writes a note into the image's directory before it makes a disk on the image. A note only says where to
//! look: an image is used as long as a disk leads to it. From the choice of an image until the note is written, the
//! directory has a shared lock; removing an image needs the lock alone. So a chosen image stays, also where one process
//! does not see the other's project.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use host::digest::Sha256;
use host::files::{self, Mode};
use host::io_error::at_path;
use host::lock::{Attempt, FileLock, Sharing};
use model::guest_image::GuestImage;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::directory::entries;
use crate::saved_vm::backing_files::BackingFiles;

/// The directory of the notes, in the image's directory.
const NOTES: &str = "users";
/// How long a note counts without a disk, which may be about to be made. A start renews a note that is half as old.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// A note of a project that uses the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The project's directory.
    project: PathBuf,
    /// The device that it was on: a project on a filesystem that is not mounted is not gone.
    device: u64,
    /// Its inode there, by which the same project is recognized in every container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    /// Device and inode of the root directory of the path. A path below another root directory, in a container, says nothing
    /// here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    root: Option<(u64, u64)>,
}

/// The users of an image, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Users {
    /// There are none any more.
    None,
    /// This project uses it.
    Project(PathBuf),
    /// Whether there are any is not known, for this reason.
    Unknown(String),
}

/// How long to wait for the removal of an image.
const REMOVE_DEADLINE: Duration = Duration::from_secs(60);

/// A lock that keeps an image from being removed.
#[derive(Debug)]
pub(crate) struct Held {
    /// `None` for an image outside the cache, which is never removed.
    _lock: Option<FileLock>,
}

/// Keeps an image of the cache from being removed, and notes that the project uses it. `None` where it was removed.
///
/// # Errors
/// A State error where a removal does not end in time; an error that names the directory.
pub(crate) fn hold(context: &Context<'_>, image: &GuestImage) -> Result<Option<Held>> {
    if image.directory.parent() != Some(&context.cache.images()) {
        return Ok(Some(Held { _lock: None }));
    }
    let lock = FileLock::acquire_existing(
        &image.directory,
        Sharing::Shared,
        "the guest image",
        REMOVE_DEADLINE,
        context.events,
    )?;
    if lock.is_some()
        && let Err(error) = write(context.project.paths.root(), &image.directory)
    {
        // Where the cache cannot be written, nothing can be removed from it either.
        context.events.debug(format!("the use of the guest image is not noted: {error}"));
    }
    Ok(lock.map(|lock| Held { _lock: Some(lock) }))
}

/// Locks an image for its removal. `None` where it is in use or gone.
///
/// # Errors
/// An error that names the directory.
pub(crate) fn alone(image: &Path) -> Result<Option<FileLock>> {
    match FileLock::try_acquire_existing(image, Sharing::Alone)? {
        Attempt::Locked(lock) => Ok(Some(lock)),
        Attempt::InUse | Attempt::Missing => Ok(None),
    }
}

fn write(project: &Path, image: &Path) -> Result<()> {
    let metadata = project.metadata().map_err(|error| at_path("look at", project, &error))?;
    // Not by path: two containers may have different projects at the same path.
    let digest = Sha256::of(format!("{} {}", metadata.dev(), metadata.ino()).as_bytes()).to_string();
    let path = image.join(NOTES).join(&digest[..32]);
    let note = Note { project: project.to_owned(), device: metadata.dev(), inode: Some(metadata.ino()), root: root() };
    if age(&path).is_some_and(|age| age < FRESH / 2) && read(&path).as_ref() == Some(&note) {
        return Ok(());
    }
    let text = serde_json::to_vec(&note)
        .map_err(|error| Error::new(ErrorClass::Failed, "cannot describe the project").because(error))?;
    files::create_dir(&image.join(NOTES))?;
    files::write_atomic(&path, &text, Mode::Exactly(0o600))
}

/// The projects with a note in the image's directory `image`.
///
/// # Errors
/// Why they are not known, as a part of a sentence.
pub(crate) fn projects(image: &Path) -> Result<Vec<PathBuf>, String> {
    Ok(notes(image)?.into_iter().map(|(_, note)| note.project).collect())
}

/// Who uses the image whose directory is `image`.
pub(crate) fn users(image: &Path) -> Users {
    let notes = match notes(image) {
        Ok(notes) => notes,
        Err(why) => return Users::Unknown(why),
    };
    let mut unknown = None;
    for (path, note) in notes {
        match uses(&note, &path, image) {
            Ok(true) => return Users::Project(note.project),
            Ok(false) if age(&path).is_none_or(|age| age < FRESH) => return Users::Project(note.project),
            Ok(false) => {}
            Err(why) => unknown = Some(why),
        }
    }
    unknown.map_or(Users::None, Users::Unknown)
}

fn notes(image: &Path) -> Result<Vec<(PathBuf, Note)>, String> {
    let directory = image.join(NOTES);
    if !directory.is_dir() {
        return Err("it is from before users were noted".to_owned());
    }
    let paths = entries(&directory).map_err(|error| error.to_string())?;
    let read = |path: PathBuf| {
        read(&path).map(|note| (path.clone(), note)).ok_or_else(|| format!("{} cannot be read", path.display()))
    };
    // Temporary files of a killed writer have hidden names.
    let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.into_iter().filter(|path| !is_hidden(path)).map(read).collect()
}

fn read(path: &Path) -> Option<Note> {
    std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok())
}

/// Whether a disk of the project leads to the image. `path` is the path of the note.
///
/// # Errors
/// Why that is not known, as a part of a sentence.
fn uses(note: &Note, path: &Path, image: &Path) -> Result<bool, String> {
    let project = ProjectPaths::new(&note.project);
    if project.state_dir().is_dir() {
        let images: HashSet<PathBuf> = BackingFiles::of(&project).images().map_err(|error| error.to_string())?;
        // By name: a container may have the cache elsewhere.
        let name = |directory: Option<&Path>| directory.and_then(Path::file_name).map(OsStr::to_owned);
        if images.iter().any(|disk| name(disk.parent()) == name(Some(image))) {
            return Ok(true);
        }
        let is_the_same = |metadata: std::fs::Metadata| {
            note.inode.is_none_or(|inode| (metadata.dev(), metadata.ino()) == (note.device, inode))
        };
        if note.project.metadata().is_ok_and(is_the_same) {
            return Ok(false);
        }
    }
    if note.root.is_some() && note.root != root() {
        return Err(format!(
            "{}, which may use it, was seen in another root directory, perhaps a container's; without {} it counts no more",
            note.project.display(),
            path.display()
        ));
    }
    if is_mounted(note) { Ok(false) } else { Err(not_mounted(note)) }
}

/// Device and inode of the root directory.
fn root() -> Option<(u64, u64)> {
    Path::new("/").metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether the nearest existing directory is on the device on which the project was.
fn is_mounted(note: &Note) -> bool {
    let nearest = note.project.ancestors().find_map(|directory| directory.metadata().ok());
    nearest.is_some_and(|metadata| metadata.dev() == note.device)
}

fn not_mounted(note: &Note) -> String {
    format!("the disk of {}, which may use it, is not mounted", note.project.display())
}

fn age(path: &Path) -> Option<Duration> {
    SystemTime::now().duration_since(path.metadata().ok()?.modified().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use model::event::Silent;
    use model::instance::InstanceName;
    use model::port::Port;
    use qemu::qcow2;
    use testkit::TempProject;

    use super::*;

    struct Scratch {
        project: TempProject,
        cache: tempfile::TempDir,
    }

    impl Scratch {
        fn new() -> Self {
            let scratch =
                Scratch { project: TempProject::new(Port::literal(30080)), cache: tempfile::tempdir().unwrap() };
            std::fs::create_dir(scratch.image()).unwrap();
            scratch
        }

        fn image(&self) -> PathBuf {
            self.cache.path().canonicalize().unwrap().join("KEY")
        }

        /// Writes a note of the project that is so old that it does not count without a disk.
        fn note_long_ago(&self) {
            write(self.project.root(), &self.image()).unwrap();
            for (path, _) in notes(&self.image()).unwrap() {
                let file = std::fs::File::options().write(true).open(path).unwrap();
                file.set_modified(SystemTime::now() - FRESH * 2).unwrap();
            }
        }

        fn make_disk(&self) -> PathBuf {
            let disk = self.project.paths().instance(&InstanceName::default()).disk();
            std::fs::create_dir_all(disk.parent().unwrap()).unwrap();
            qcow2::create_overlay(&disk, &self.image().join("root.qcow2"), 1 << 30).unwrap();
            disk
        }
    }

    #[test]
    fn a_project_uses_an_image_as_long_as_a_disk_leads_to_it_and_for_a_day_without_one() {
        let scratch = Scratch::new();
        assert!(matches!(users(&scratch.image()), Users::Unknown(_)), "there is no note");
        write(scratch.project.root(), &scratch.image()).unwrap();
        let used = Users::Project(scratch.project.root().to_owned());
        assert_eq!(users(&scratch.image()), used, "a disk may be about to be made");
        scratch.note_long_ago();
        assert_eq!(users(&scratch.image()), Users::None);
        let disk = scratch.make_disk();
        assert_eq!(users(&scratch.image()), used);
        std::fs::write(&disk, "damaged").unwrap();
        assert!(matches!(users(&scratch.image()), Users::Unknown(why) if why.contains("it is not a qcow2 image")));
    }

    #[test]
    fn a_project_that_is_gone_uses_nothing_but_one_that_is_not_mounted_may() {
        let scratch = Scratch::new();
        scratch.make_disk();
        scratch.note_long_ago();
        let (path, note) = notes(&scratch.image()).unwrap().remove(0);
        std::fs::remove_dir_all(scratch.project.root()).unwrap();
        assert_eq!(users(&scratch.image()), Users::None);
        let elsewhere = Note { device: note.device + 1, ..note };
        std::fs::write(&path, serde_json::to_vec(&elsewhere).unwrap()).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - FRESH * 2).unwrap();
        assert!(matches!(users(&scratch.image()), Users::Unknown(why) if why.ends_with("is not mounted")));
    }

    /// Changes the note, which stays as old as before.
    fn rewrite(scratch: &Scratch, change: &dyn Fn(Note) -> Note) {
        let (path, note) = notes(&scratch.image()).unwrap().remove(0);
        std::fs::write(&path, serde_json::to_vec(&change(note)).unwrap()).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - FRESH * 2).unwrap();
    }

    #[test]
    fn prune_removed_the_image_of_a_project_in_a_container_since_its_path_was_not_there() {
        let scratch = Scratch::new();
        scratch.note_long_ago();
        // A bind mount has the device of this host's own disk, and in the container the path begins elsewhere.
        rewrite(&scratch, &|note| Note {
            project: "/work".into(),
            root: note.root.map(|(dev, ino)| (dev, ino + 1)),
            ..note
        });
        let Users::Unknown(why) = users(&scratch.image()) else { panic!("{:?}", users(&scratch.image())) };
        assert!(why.starts_with("/work, which may use it, was seen in another root directory"), "{why}");
        // The same path is here, of another project, which has no disk on the image.
        let root = scratch.project.root().to_owned();
        rewrite(&scratch, &|note| Note { project: root.clone(), inode: note.inode.map(|inode| inode + 1), ..note });
        assert!(matches!(users(&scratch.image()), Users::Unknown(_)));
        // A note of an earlier version, without a root, is judged by the path.
        rewrite(&scratch, &|note| Note { project: "/work".into(), inode: None, root: None, ..note });
        assert_eq!(users(&scratch.image()), Users::None);
    }

    #[test]
    fn prune_removed_an_image_that_a_container_calls_by_another_path() {
        let scratch = Scratch::new();
        scratch.note_long_ago();
        let disk = scratch.make_disk();
        qcow2::create_overlay(&disk, Path::new("/root/.cache/k3s-vm/images/KEY/root.qcow2"), 1 << 30).unwrap();
        assert_eq!(users(&scratch.image()), Users::Project(scratch.project.root().to_owned()));
    }

    #[test]
    fn prune_removed_an_image_between_the_check_of_another_project_and_its_use() {
        let scratch = Scratch::new();
        let image = scratch.image();
        let shared = || {
            FileLock::acquire_existing(&image, Sharing::Shared, "the image", Duration::from_secs(60), &Silent).unwrap()
        };
        let held = shared().expect("an image");
        assert!(alone(&image).unwrap().is_none(), "it may be removed under its user");
        drop(held);
        let alone = alone(&image).unwrap().expect("nobody uses it");
        let (asked, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            let user = scope.spawn(|| {
                asked.send(()).unwrap();
                shared().is_some()
            });
            told.recv().unwrap();
            std::fs::remove_dir_all(&image).unwrap();
            drop(alone);
            assert!(!user.join().unwrap(), "an image was used that is gone");
        });
    }

    #[test]
    fn a_note_that_cannot_be_read_counts_as_unknown() {
        let scratch = Scratch::new();
        scratch.note_long_ago();
        std::fs::write(scratch.image().join(NOTES).join("x"), "{").unwrap();
        assert!(matches!(users(&scratch.image()), Users::Unknown(_)));
        assert!(projects(&scratch.image()).is_err());
    }
}
