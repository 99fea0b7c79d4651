//! The working directory of a process, as the kernel reports it. A path in a command line proves nothing.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The suffix that the kernel adds to the name of a removed directory (proc(5), `/proc/PID/cwd`).
const REMOVED: &[u8] = b" (deleted)";

/// The working directory of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkingDirectory {
    /// It exists.
    At {
        /// Its present path, the new one if it was moved.
        path: PathBuf,
        /// Device and inode.
        inode: (u64, u64),
    },
    /// It was removed.
    Removed,
    /// It is unknown: the process is another user's, or is in another mount namespace (a container).
    Unseen,
}

impl WorkingDirectory {
    /// Whether it is the directory at `directory`, whichever path leads there.
    pub fn is(&self, directory: &Path) -> bool {
        match self {
            WorkingDirectory::At { inode: own, .. } => inode(directory) == Some(*own),
            WorkingDirectory::Removed | WorkingDirectory::Unseen => false,
        }
    }
}

/// The working directory of the process `pid`.
pub fn working_directory(pid: u32) -> WorkingDirectory {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let mounts = |process: &Path| fs::read_link(process.join("ns/mnt")).ok();
    let same_mounts = mounts(&process).is_some_and(|theirs| mounts(Path::new("/proc/self")) == Some(theirs));
    let link = process.join("cwd");
    let Some(name) = fs::read_link(&link).ok().filter(|_| same_mounts) else { return WorkingDirectory::Unseen };
    match inode(&link) {
        Some(inode) if self::inode(&name) == Some(inode) => WorkingDirectory::At { path: name, inode },
        _ if name.as_os_str().as_bytes().ends_with(REMOVED) => WorkingDirectory::Removed,
        _ => WorkingDirectory::Unseen,
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
        fn in_directory(directory: &Path) -> Self {
            Sleeper(Command::new("sleep").arg("1000").current_dir(directory).spawn().unwrap())
        }
        fn directory(&self) -> WorkingDirectory {
            working_directory(self.0.id())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_moved_directory_has_its_new_name_and_a_removed_one_none() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        let (old, new) = (root.join("old"), root.join("new (deleted)"));
        fs::create_dir(&old).unwrap();
        let sleeper = Sleeper::in_directory(&old);
        assert!(sleeper.directory().is(&old));
        fs::rename(&old, &new).unwrap();
        // Another directory takes the old name.
        fs::create_dir(&old).unwrap();
        assert!(matches!(sleeper.directory(), WorkingDirectory::At { path, .. } if path == new));
        assert!(sleeper.directory().is(&new) && !sleeper.directory().is(&old));
        std::os::unix::fs::symlink(&new, root.join("link")).unwrap();
        assert!(sleeper.directory().is(&root.join("link")));
        fs::remove_dir(&new).unwrap();
        assert_eq!(sleeper.directory(), WorkingDirectory::Removed);
    }

    #[test]
    fn nobodys_directory_is_unseen() {
        assert_eq!(working_directory(u32::MAX), WorkingDirectory::Unseen);
    }
}
