//! A project in a temporary directory: `.k3s-vm/`, `.env`, `web/`.

use std::fs;
use std::path::{Path, PathBuf};

use model::paths::ProjectPaths;
use model::port::Port;

/// A project that is gone when dropped.
#[derive(Debug)]
pub struct TempProject {
    // Held for its drop.
    _holder: tempfile::TempDir,
    root: PathBuf,
}

impl TempProject {
    /// A project in a directory named `project`, with `WEB_PORT` in its `.env` and an empty `web/`.
    ///
    /// # Panics
    /// When the directories cannot be made.
    pub fn new(web_port: Port) -> Self {
        Self::named("project", web_port)
    }

    /// The same in a directory of the given name, for names that are hard on quoting.
    ///
    /// # Panics
    /// When the directories cannot be made.
    pub fn named(name: &str, web_port: Port) -> Self {
        let holder = tempfile::tempdir().expect("a temporary directory");
        // The real path: a link on the way would show in other names than the test's.
        let root = holder.path().canonicalize().expect("its real path").join(name);
        for directory in [ProjectPaths::MARKER, "web"] {
            fs::create_dir_all(root.join(directory)).expect("a directory of the project");
        }
        let project = TempProject { _holder: holder, root };
        project.write(".env", &format!("WEB_PORT={web_port}\n"));
        project
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names of its files.
    pub fn paths(&self) -> ProjectPaths {
        ProjectPaths::new(&self.root)
    }

    /// Writes a file; its directories are made.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, text: &str) {
        let path = self.root.join(path);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).expect("the directory of the file");
        }
        fs::write(&path, text).expect("the file");
    }

    /// Reads a file.
    ///
    /// # Panics
    /// When it is not there or no text.
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.root.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}
