//! Finds the program `k3s-vm`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The variable with the path of the program.
pub(crate) const VARIABLE: &str = "K3S_VM";

/// The program in a checkout.
const LAUNCHER: &str = "bin/k3s-vm";

/// What the choice depends on.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// The path that the test sets.
    pub(crate) ordered: Option<PathBuf>,
    /// The value of [`VARIABLE`].
    pub(crate) variable: Option<PathBuf>,
    /// The working directory.
    pub(crate) directory: PathBuf,
    /// The value of `PATH`.
    pub(crate) path: OsString,
}

/// Finds the program. A path from the test or the variable is not checked: where it does not exist, the start fails.
///
/// # Errors
/// [`Error::ProgramNotFound`] with the working directory.
pub(crate) fn find(surroundings: &Surroundings) -> Result<PathBuf, Error> {
    let Surroundings { ordered, variable, directory, path } = surroundings;
    if let Some(named) = ordered.as_ref().or(variable.as_ref()) {
        // Relative to the working directory; a bare name would be searched in the PATH.
        return Ok(directory.join(named));
    }
    let above = directory.ancestors().map(|directory| directory.join(LAUNCHER));
    let in_path = std::env::split_paths(path).map(|directory| directory.join("k3s-vm"));
    above
        .chain(in_path)
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| Error::ProgramNotFound { directory: directory.clone() })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn program(path: PathBuf, mode: u32) -> PathBuf {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn the_test_comes_before_the_variable_the_checkout_and_the_path() {
        let root = tempfile::tempdir().unwrap();
        let checkout = root.path().join("checkout");
        let directory = checkout.join("tests/deep");
        std::fs::create_dir_all(&directory).unwrap();
        let path = root.path().join("path");
        let find = |ordered: Option<&str>, variable: Option<&str>| {
            let (ordered, variable) = (ordered.map(PathBuf::from), variable.map(PathBuf::from));
            find(&Surroundings { ordered, variable, directory: directory.clone(), path: path.clone().into() })
        };
        insta::assert_snapshot!(
            find(None, None).unwrap_err().to_string().replace(&root.path().display().to_string(), "/tmp/x"),
            @"
            the program k3s-vm was not found
              There is no bin/k3s-vm in /tmp/x/checkout/tests/deep or above it, and none in the PATH.
            Next: export K3S_VM=/path/to/bin/k3s-vm    # or Cluster::builder().program(…)
            "
        );
        let installed = program(path.join("k3s-vm"), 0o755);
        assert_eq!(find(None, None).unwrap(), installed);
        let launcher = program(checkout.join(LAUNCHER), 0o644);
        assert_eq!(find(None, None).unwrap(), installed, "a file that cannot be run is no program");
        program(launcher.clone(), 0o755);
        assert_eq!(find(None, None).unwrap(), launcher);
        assert_eq!(find(None, Some("/by/variable")).unwrap(), Path::new("/by/variable"));
        assert_eq!(find(Some("ordered"), Some("/by/variable")).unwrap(), directory.join("ordered"));
    }
}
