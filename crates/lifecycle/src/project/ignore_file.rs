//! `.k3s-vm/.gitignore`: the files of a run are large and contain keys, and must not be committed by accident.
//!
//! It is written where there is none. From then on it is the user's, and is never changed.

use host::files::{self, Mode};
use model::paths::ProjectPaths;
use model::{EventSink, Result};

/// The names are those of `model::paths`. In the directory `vm`, Nix files are the user's own.
const TEXT: &str = "\
# Made by k3s-vm, and yours to change: what a run leaves here. It has keys and the memory of clusters.
/vm/*
!/vm/*.nix
/disks/
/instances/
/snapshots/
/templates/
/nix-build.log
/vm.log*
/vm.pid
";

/// Writes the file, if there is none. A failure is only a debug event.
pub(crate) fn ensure(project: &ProjectPaths, events: &dyn EventSink) {
    let path = project.ignore_file();
    let made = || -> Result<()> {
        if path.symlink_metadata().is_ok() {
            return Ok(());
        }
        files::write_atomic(&path, TEXT.as_bytes(), Mode::Exactly(0o644))
    };
    if let Err(error) = made() {
        events.debug(error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use model::event::Silent;
    use model::instance::InstanceName;

    use super::*;

    #[test]
    fn the_files_of_a_run_are_ignored_and_those_of_the_user_are_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let paths = ProjectPaths::new(directory.path());
        std::fs::create_dir(paths.state_dir()).expect("the state directory");
        ensure(&paths, &Silent);
        let text = std::fs::read_to_string(paths.ignore_file()).expect("the file");
        let lines: Vec<&str> = text.lines().collect();
        let instance = paths.instance(&InstanceName::default());
        let directories = [paths.disks(), paths.instances(), paths.snapshots(), paths.templates()];
        for path in directories {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(lines.contains(&format!("/{name}/").as_str()), "{name}");
        }
        for (path, tail) in [(instance.log(), "*"), (instance.pid(), ""), (instance.vm_dir(), "/*")] {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(lines.contains(&format!("/{name}{tail}").as_str()), "{name}");
        }
        let name = paths.nix_build_log().file_name().expect("a name").to_string_lossy().into_owned();
        assert!(lines.contains(&format!("/{name}").as_str()), "{name}");
        assert!(lines.contains(&"!/vm/*.nix"));
        std::fs::write(paths.ignore_file(), "mine").expect("a change");
        ensure(&paths, &Silent);
        assert_eq!(std::fs::read_to_string(paths.ignore_file()).expect("the file"), "mine");
    }

    #[test]
    fn the_example_has_it() {
        let of_example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.k3s-vm/.gitignore");
        assert_eq!(std::fs::read_to_string(of_example).expect("the file of the example"), TEXT);
    }
}
