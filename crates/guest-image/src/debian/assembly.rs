//! The last step of a build: unpacks the tree, adds the project's files, seeds container images, makes the disks.

use std::path::Path;

use host::command::Command;
use model::guest_image::file;
use model::{Event, EventSink, Result};

use super::overlay::Overlay;
use super::recipe::Recipe;
use super::tree_owner::TreeOwner;
use super::{boot_files, disk, tree_archive};
use crate::distribution::{Content, Payload};
use host::deadline::Deadline;

/// The task name in events.
const TASK: &str = "image";

/// What a guest image is assembled from.
pub(super) struct Inputs<'a> {
    /// The archive of the base tree.
    pub(super) tree: &'a Path,
    /// The distribution's files.
    pub(super) payload: &'a Payload,
    /// Directories that are copied over the tree, in this order.
    pub(super) overlays: [&'a Path; 2],
}

/// Makes kernel, initrd and root disk in `into`.
pub(super) fn assemble(
    into: &Path,
    inputs: &Inputs,
    recipe: &Recipe,
    disk_size: u64,
    owner: TreeOwner,
    deadline: Deadline,
    events: &dyn EventSink,
) -> Result<()> {
    let work = into.join("work");
    let (tree, overlay) = (work.join("tree"), work.join("overlay.tar"));
    host::files::create_dir(&tree)?;
    let run = |command: Command| {
        events.debug(format!("running {}", command.display()));
        command.deadline(deadline.left()).run().map(drop)
    };

    events.progress(TASK, "making kernel and initial RAM disk".to_owned());
    let boot = boot_files::make(inputs.tree, &recipe.initrd_modules, &recipe.initrd_init)?;
    for (name, bytes) in [(file::KERNEL, boot.kernel), (file::INITRD, boot.initrd)] {
        host::files::write_atomic(&into.join(name), &bytes, host::files::Mode::Exactly(0o644))?;
    }

    events.progress(TASK, "unpacking the tree".to_owned());
    write_overlay(&overlay, inputs)?;
    run(unpack(inputs.tree, &tree, owner))?;
    run(unpack(&overlay, &tree, owner))?;
    host::files::remove(&overlay)?;

    if let Some(command) = seed(&inputs.payload.seed, &tree, owner) {
        events.progress(TASK, "placing container images".to_owned());
        run(command)?;
    }

    events.progress(TASK, "writing the root disk".to_owned());
    let (raw, image) = (work.join("root.raw"), into.join(file::ROOT_DISK));
    disk::build(&tree, &raw, &image, disk_size, owner, deadline, events)?;
    owner.remove(&work)?;
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    Ok(())
}

fn write_overlay(path: &Path, inputs: &Inputs) -> Result<()> {
    let mut overlay = Overlay::create(path, tree_archive::directories(inputs.tree)?)?;
    for directory in inputs.overlays {
        overlay.directory(directory)?;
    }
    for file in &inputs.payload.files {
        match &file.content {
            Content::File(source) => overlay.file(source, &file.to, file.mode)?,
            Content::Compressed(source) => overlay.decompressed(source, &file.to, file.mode)?,
            Content::Text(text) => overlay.text(text, &file.to, file.mode)?,
        }
    }
    overlay.finish()
}

fn unpack(archive: &Path, tree: &Path, owner: TreeOwner) -> Command {
    let arguments = [
        "-x".into(),
        "-f".into(),
        archive.into(),
        "-C".into(),
        tree.into(),
        "--numeric-owner".into(),
        "--same-owner".into(),
        "--same-permissions".into(),
        // The guest has devtmpfs, and only the host's root may create device files.
        "--exclude=./dev/*".into(),
        // /lib is a link to usr/lib.
        "--keep-directory-symlink".into(),
    ];
    owner.command("tar", arguments)
}

fn seed(words: &[String], tree: &Path, owner: TreeOwner) -> Option<Command> {
    let mut words = words.iter().map(|word| word.replace("{root}", &tree.to_string_lossy()));
    let program = words.next()?;
    Some(owner.command(&program, []).args(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines() {
        let tree = Path::new("/work/tree");
        insta::assert_snapshot!(unpack(Path::new("/parts/tree.tar"), tree, TreeOwner::Root).display(), @"tar -x -f /parts/tree.tar -C /work/tree --numeric-owner --same-owner --same-permissions '--exclude=./dev/*' --keep-directory-symlink");
        let words = ["/parts/bin/seed", "--root", "{root}"].map(str::to_owned);
        let seed = |words| seed(words, tree, TreeOwner::UserNamespace).map(|command| command.display());
        insta::assert_snapshot!(seed(&words).unwrap(), @"unshare --map-root-user --map-auto -- /parts/bin/seed --root /work/tree");
        assert_eq!(seed(&[]), None);
    }
}
