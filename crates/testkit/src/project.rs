//! A project in a temporary directory: `.k3s-vm/`, `.env`, `web/`.

use std::fs;
use std::path::{Path, PathBuf};

use model::paths::ProjectPaths;
use model::port::Port;

/// A temporary project, which is removed when it is dropped.
#[derive(Debug)]
pub struct TempProject {
    // Removes the directory when it is dropped.
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

    /// [`TempProject::new`] in a directory of the given name, for names that are hard to quote.
    ///
    /// # Panics
    /// When the directories cannot be made.
    pub fn named(name: &str, web_port: Port) -> Self {
        let holder = tempfile::tempdir().expect("a temporary directory");
        // The real path: with a symbolic link in it, the program would show another path than the test expects.
        let root = holder.path().canonicalize().expect("its real path").join(name);
        for directory in [ProjectPaths::MARKER, "web"] {
            fs::create_dir_all(root.join(directory)).expect("a directory of the project");
        }
        let project = TempProject { _holder: holder, root };
        project.write(".env", &format!("WEB_PORT={web_port}\n"));
        project
    }

    /// The project's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The paths of its files.
    pub fn paths(&self) -> ProjectPaths {
        ProjectPaths::new(&self.root)
    }

    /// Writes a file, and creates its directories.
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
    /// When it does not exist or is not text.
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.root.join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}
