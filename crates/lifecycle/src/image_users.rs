//! Which projects use a guest image of the shared cache: each notes itself in the image's folder before it makes a disk on
//! it. A note only says where to look; what counts are the disks that are there.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use host::digest::Sha256;
use host::files::{self, Mode};
use host::io_fault::at_path;
use model::guest_image::GuestImage;
use model::paths::ProjectPaths;
use model::{Fault, FaultClass, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::disks::{self, Pool};

/// The folder of the notes, in that of the image.
const NOTES: &str = "users";
/// So long a note counts although no disk is there: one may be about to be made. It is renewed by every start after half
/// of that.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// The project's folder.
    project: PathBuf,
    /// The device that it was on: a project whose disk is not mounted is not gone.
    device: u64,
}

/// What is known of the users of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Users {
    /// There are none any more.
    None,
    /// There is one: its folder.
    Project(PathBuf),
    /// That cannot be told, for this reason.
    Unknown(String),
}

/// Notes that the project uses an image of the cache. Where the cache cannot be written, nothing can be removed from it
/// either.
pub(crate) fn note(context: &Context<'_>, image: &GuestImage) {
    if image.folder.parent() != Some(&context.cache.images()) {
        return;
    }
    if let Err(fault) = write(context.project.paths.root(), &image.folder) {
        context.events.debug(format!("the use of the guest image is not noted: {fault}"));
    }
}

fn write(project: &Path, image: &Path) -> Result<()> {
    let digest = Sha256::of(project.as_os_str().as_encoded_bytes()).to_string();
    let path = image.join(NOTES).join(&digest[..32]);
    if age(&path).is_some_and(|age| age < FRESH / 2) {
        return Ok(());
    }
    let device = project.metadata().map_err(|error| at_path("look at", project, &error))?.dev();
    let text = serde_json::to_vec(&Note { project: project.to_owned(), device })
        .map_err(|error| Fault::new(FaultClass::Failed, "cannot describe the project").because(error))?;
    files::create_dir(&image.join(NOTES))?;
    files::write_atomic(&path, &text, Mode::Exactly(0o600))
}

/// The projects that are noted in `image`, the folder of one.
///
/// # Errors
/// Why they cannot be told, as a part of a sentence.
pub(crate) fn projects(image: &Path) -> Result<Vec<PathBuf>, String> {
    Ok(notes(image)?.into_iter().map(|(_, note)| note.project).collect())
}

/// Who uses the image whose folder is `image`.
pub(crate) fn users(image: &Path) -> Users {
    let notes = match notes(image) {
        Ok(notes) => notes,
        Err(why) => return Users::Unknown(why),
    };
    let mut unknown = None;
    for (path, note) in notes {
        match uses(&note, image) {
            Ok(true) => return Users::Project(note.project),
            Ok(false) if age(&path).is_none_or(|age| age < FRESH) => return Users::Project(note.project),
            Ok(false) => {}
            Err(why) => unknown = Some(why),
        }
    }
    unknown.map_or(Users::None, Users::Unknown)
}

fn notes(image: &Path) -> Result<Vec<(PathBuf, Note)>, String> {
    let folder = image.join(NOTES);
    if !folder.is_dir() {
        return Err("it is from before users were noted".to_owned());
    }
    let paths = disks::entries(&folder).map_err(|fault| fault.to_string())?;
    let read = |path: PathBuf| {
        let note = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Note>(&text).ok());
        note.map(|note| (path.clone(), note)).ok_or_else(|| format!("{} cannot be read", path.display()))
    };
    // What a killed writer left has a hidden name.
    let is_hidden = |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    paths.into_iter().filter(|path| !is_hidden(path)).map(read).collect()
}

/// Whether a disk of the project leads to the image.
fn uses(note: &Note, image: &Path) -> Result<bool, String> {
    let project = ProjectPaths::new(&note.project);
    if !project.state_dir().is_dir() {
        return if is_mounted(note) { Ok(false) } else { Err(not_mounted(note)) };
    }
    let images: HashSet<PathBuf> = Pool::of(&project).images().map_err(|fault| fault.to_string())?;
    Ok(images.iter().any(|disk| disk.parent() == Some(image)))
}

/// Whether the nearest folder that is there is on the device on which the project was.
fn is_mounted(note: &Note) -> bool {
    let nearest = note.project.ancestors().find_map(|folder| folder.metadata().ok());
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

        /// Notes the project, so long ago that the note alone is no use any more.
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
        assert!(matches!(users(&scratch.image()), Users::Unknown(_)), "nobody was ever noted");
        write(scratch.project.root(), &scratch.image()).unwrap();
        let used = Users::Project(scratch.project.root().to_owned());
        assert_eq!(users(&scratch.image()), used, "a disk may be about to be made");
        scratch.note_long_ago();
        assert_eq!(users(&scratch.image()), Users::None);
        let disk = scratch.make_disk();
        assert_eq!(users(&scratch.image()), used);
        std::fs::write(&disk, "damaged").unwrap();
        assert!(matches!(users(&scratch.image()), Users::Unknown(why) if why.contains("it is no qcow2 image")));
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

    #[test]
    fn a_note_that_cannot_be_read_is_somebodys() {
        let scratch = Scratch::new();
        scratch.note_long_ago();
        std::fs::write(scratch.image().join(NOTES).join("x"), "{").unwrap();
        assert!(matches!(users(&scratch.image()), Users::Unknown(_)));
        assert!(projects(&scratch.image()).is_err());
    }
}
