//! The last step: unpacks the tree, lays the project's files over it, seeds container images, makes disk and RAM disk.

use std::path::Path;

use host::command::Command;
use model::guest_image::file;
use model::{Event, EventSink, Fault, FaultClass, Result};

use super::disk;
use super::recipe::Recipe;
use super::tree_owner::TreeOwner;
use crate::boot_files;
use crate::contract::{Contract, filled};
use crate::overlay::Overlay;
use crate::tree_archive;
use host::deadline::Deadline;

/// The task that events name.
const TASK: &str = "image";

/// Where the parts are.
pub(super) struct Inputs<'a> {
    /// The archive of the tree.
    pub(super) tree: &'a Path,
    /// The folder of programs.
    pub(super) programs: &'a Path,
    /// `guest/debian`.
    pub(super) debian: &'a Path,
    /// The folder of the distribution's contract.
    pub(super) distribution: &'a Path,
}

/// Makes kernel, initrd and root disk in `into`.
#[allow(clippy::too_many_arguments)]
pub(super) fn assemble(
    into: &Path,
    inputs: &Inputs,
    recipe: &Recipe,
    contract: &Contract,
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
    write_overlay(&overlay, inputs, contract)?;
    run(unpack(inputs.tree, &tree, owner))?;
    run(unpack(&overlay, &tree, owner))?;
    host::files::remove(&overlay)?;

    events.progress(TASK, "placing container images".to_owned());
    run(seed(contract, inputs.programs, &tree, owner)?)?;

    events.progress(TASK, "writing the root disk".to_owned());
    let (raw, image) = (work.join("root.raw"), into.join(file::ROOT_DISK));
    disk::build(&tree, &raw, &image, disk_size, owner, deadline.left(), events)?;
    owner.remove(&work)?;
    events.emit(Event::TaskFinished { task: TASK.to_owned() });
    Ok(())
}

fn write_overlay(path: &Path, inputs: &Inputs, contract: &Contract) -> Result<()> {
    let mut overlay = Overlay::create(path, tree_archive::folders(inputs.tree)?)?;
    overlay.folder(&inputs.debian.join("rootfs"))?;
    overlay.folder(&inputs.distribution.join(&contract.overlay))?;
    for program in &contract.install {
        let mode = u32::from_str_radix(&program.mode, 8).map_err(|_| {
            Fault::new(FaultClass::Failed, format!("contract.json: {} has the mode {:?}", program.from, program.mode))
                .because("a mode is an octal number such as \"0755\"")
        })?;
        overlay.file(&inputs.programs.join(&program.from), Path::new(&program.to), mode)?;
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
        // The guest has devtmpfs, and no user but the host's root may make devices.
        "--exclude=./dev/*".into(),
        // /lib is a link to usr/lib.
        "--keep-directory-symlink".into(),
    ];
    owner.command("tar", arguments)
}

fn seed(contract: &Contract, programs: &Path, tree: &Path, owner: TreeOwner) -> Result<Command> {
    let mut words = contract.seed_command.iter().map(|word| filled(word, programs, tree));
    let program =
        words.next().ok_or_else(|| Fault::new(FaultClass::Failed, "contract.json has an empty seedCommand"))?;
    Ok(owner.command(&program, []).args(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines() {
        let tree = Path::new("/work/tree");
        insta::assert_snapshot!(unpack(Path::new("/parts/tree.tar"), tree, TreeOwner::Root).display(), @"tar -x -f /parts/tree.tar -C /work/tree --numeric-owner --same-owner --same-permissions '--exclude=./dev/*' --keep-directory-symlink");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/kubernetes");
        let mut contract = Contract::read(&folder).unwrap();
        contract.seed_command = ["{bin}/seed", "--root", "{root}"].map(str::to_owned).to_vec();
        let seed = |owner| seed(&contract, Path::new("/parts/bin"), tree, owner).unwrap().display();
        insta::assert_snapshot!(seed(TreeOwner::UserNamespace), @"unshare --map-root-user --map-auto -- /parts/bin/seed --root /work/tree");
        contract.seed_command.clear();
        let fault = super::seed(&contract, Path::new("/b"), tree, TreeOwner::Root).unwrap_err();
        insta::assert_snapshot!(fault, @"contract.json has an empty seedCommand");
    }
}
