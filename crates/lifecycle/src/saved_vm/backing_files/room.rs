//! Whether there is room for what is to be saved: on the filesystem, and within what the user allows.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use host::files;
use host::io_error::at_path;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Result};

use super::directory::File;
use crate::context::Context;
use crate::directory::entries;

/// Bytes to leave free on the filesystem: the VMs write meanwhile, and a full disk stops them.
const RESERVE: u64 = 256 << 20;

/// Whether `bytes` more can be saved into the directory `target`; `what` names them ("the snapshot `before`"). Called before
/// anything is written. What is in `target` now still takes space on the filesystem, but does not count for the limit.
///
/// # Errors
/// Host when the filesystem has no room; State when `limits.saved` would be exceeded; an error that names the path.
pub fn check_room(context: &Context<'_>, what: &str, bytes: u64, target: &Path) -> Result<()> {
    let paths = &context.project.paths;
    let free = files::free_space(&paths.state_dir())?;
    if bytes.saturating_add(RESERVE) > free {
        return Err(no_room(what, bytes, free, paths));
    }
    let (limit, taken) = (context.project.config.limits.saved, saved(paths, Some(target))?);
    if taken.saturating_add(bytes) > limit {
        return Err(over_limit(what, bytes, taken, limit));
    }
    Ok(())
}

/// Bytes that templates, snapshots and backing files take, without the directory `replaced`. A file with several names
/// counts once.
///
/// # Errors
/// An error that names the path.
pub(super) fn saved(paths: &ProjectPaths, replaced: Option<&Path>) -> Result<u64> {
    let mut files: HashSet<File> = HashSet::new();
    let mut directories: Vec<PathBuf> = vec![paths.disks()];
    for parent in [paths.templates(), paths.snapshots()] {
        let is_counted = |directory: &PathBuf| directory.is_dir() && Some(directory.as_path()) != replaced;
        directories.extend(entries(&parent)?.into_iter().filter(is_counted));
    }
    for directory in directories {
        for path in entries(&directory)? {
            match path.symlink_metadata() {
                Ok(metadata) => files.extend(metadata.is_file().then(|| File::of(&metadata))),
                // Another verb has just removed it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(at_path("look at", &path, &error)),
            }
        }
    }
    Ok(files.iter().map(|file| file.bytes).sum())
}

fn no_room(what: &str, bytes: u64, free: u64, paths: &ProjectPaths) -> Error {
    let directory = paths.state_dir();
    let quoted = host::command::quote(directory.as_os_str());
    Error::new(ErrorClass::Host, format!("there is not enough room for {what} in {}", directory.display()))
        .because(format!(
            "it needs up to {}, {} are free, and {} of them are for the VMs",
            ByteSize(bytes),
            ByteSize(free),
            ByteSize(RESERVE)
        ))
        .next("k3s-vm prune    # removes what nothing uses")
        .next(format!("free some space, then run the command again; `df -h {quoted}` shows how much there is"))
}

fn over_limit(what: &str, bytes: u64, taken: u64, limit: u64) -> Error {
    Error::new(ErrorClass::State, format!("{what} would be more than limits.saved allows"))
        .because(format!(
            "saved VMs may take {}, they take {}, and it needs up to {}",
            ByteSize(limit),
            ByteSize(taken),
            ByteSize(bytes)
        ))
        .next("k3s-vm prune    # removes what nothing uses")
        .next("k3s-vm snapshot list    # what there is; `k3s-vm snapshot rm NAME` removes one")
        .next("limits.saved in .k3s-vm/config.toml, for example \"40GiB\", allows more")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(error: &Error) -> String {
        format!("{}\n{error}\n{}", error.class().name(), error.next_steps().join("\n"))
    }

    #[test]
    fn a_full_disk_and_an_exceeded_limit_are_reported_with_a_remedy() {
        let paths = ProjectPaths::new("/data/my project");
        insta::assert_snapshot!(shown(&no_room("the snapshot `before`", 3 << 30, 1 << 30, &paths)), @"
        host
        there is not enough room for the snapshot `before` in /data/my project/.k3s-vm: it needs up to 3.0 GiB, 1.0 GiB are free, and 256.0 MiB of them are for the VMs
        k3s-vm prune    # removes what nothing uses
        free some space, then run the command again; `df -h '/data/my project/.k3s-vm'` shows how much there is
        ");
        insta::assert_snapshot!(shown(&over_limit("the snapshot `before`", 3 << 30, 18 << 30, 20 << 30)), @r#"
        state
        the snapshot `before` would be more than limits.saved allows: saved VMs may take 20.0 GiB, they take 18.0 GiB, and it needs up to 3.0 GiB
        k3s-vm prune    # removes what nothing uses
        k3s-vm snapshot list    # what there is; `k3s-vm snapshot rm NAME` removes one
        limits.saved in .k3s-vm/config.toml, for example "40GiB", allows more
        "#);
    }
}
