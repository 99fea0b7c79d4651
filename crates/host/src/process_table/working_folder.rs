//! Where a process works: the folder itself, whatever it is called by now.
//!
//! A path in a command line is a word that anybody can write; the working folder is what the kernel says.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the kernel writes behind the name of a folder that was removed (proc(5), `/proc/PID/cwd`).
const REMOVED: &[u8] = b" (deleted)";

/// The working folder of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkingFolder {
    /// It is there, under this name.
    At {
        /// Its present name: that of a folder which was moved is the new one.
        path: PathBuf,
        /// Device and inode.
        inode: (u64, u64),
    },
    /// It was removed.
    Removed,
    /// It cannot be told: another user's process, or one that sees other mounts (a container).
    Unseen,
}

impl WorkingFolder {
    /// Whether it is `folder`, by whatever path that is named.
    pub fn is(&self, folder: &Path) -> bool {
        match self {
            WorkingFolder::At { inode: own, .. } => inode(folder) == Some(*own),
            WorkingFolder::Removed | WorkingFolder::Unseen => false,
        }
    }
}

/// The working folder of a process.
pub fn working_folder(pid: u32) -> WorkingFolder {
    let process = super::folder(pid);
    let mounts = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let same_mounts = mounts(&process).is_some_and(|theirs| mounts(Path::new("/proc/self")) == Some(theirs));
    let link = process.join("cwd");
    let Some(name) = fs::read_link(&link).ok().filter(|_| same_mounts) else { return WorkingFolder::Unseen };
    match inode(&link) {
        Some(inode) if self::inode(&name) == Some(inode) => WorkingFolder::At { path: name, inode },
        _ if name.as_os_str().as_bytes().ends_with(REMOVED) => WorkingFolder::Removed,
        _ => WorkingFolder::Unseen,
    }
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    struct Sleeper(Child);

    impl Sleeper {
        fn in_folder(folder: &Path) -> Self {
            Sleeper(Command::new("sleep").arg("1000").current_dir(folder).spawn().unwrap())
        }
        fn folder(&self) -> WorkingFolder {
            working_folder(self.0.id())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_moved_folder_has_its_new_name_and_a_removed_one_none() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let (old, new) = (root.join("old"), root.join("new (deleted)"));
        fs::create_dir(&old).unwrap();
        let sleeper = Sleeper::in_folder(&old);
        assert!(sleeper.folder().is(&old));
        fs::rename(&old, &new).unwrap();
        // Another folder takes the old name.
        fs::create_dir(&old).unwrap();
        assert!(matches!(sleeper.folder(), WorkingFolder::At { path, .. } if path == new));
        assert!(sleeper.folder().is(&new) && !sleeper.folder().is(&old));
        std::os::unix::fs::symlink(&new, root.join("link")).unwrap();
        assert!(sleeper.folder().is(&root.join("link")));
        fs::remove_dir(&new).unwrap();
        assert_eq!(sleeper.folder(), WorkingFolder::Removed);
    }

    #[test]
    fn nobodys_folder_is_unseen() {
        assert_eq!(working_folder(u32::MAX), WorkingFolder::Unseen);
    }
}
