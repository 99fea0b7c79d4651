//! The root disk: an ext4 filesystem made from a tree without mounting it, as a qcow2 image.

use std::path::Path;

use host::command::Command;
use host::deadline::Deadline;
use model::{EventSink, Result};

use super::tree_owner::TreeOwner;

/// Makes `image` from `tree`, with `size` bytes of virtual size; `raw` is a file for the step between.
pub(super) fn build(
    tree: &Path,
    raw: &Path,
    image: &Path,
    size: u64,
    owner: TreeOwner,
    deadline: Deadline,
    events: &dyn EventSink,
) -> Result<()> {
    for command in [filesystem(tree, raw, size, owner), image_file(raw, image)] {
        events.debug(format!("running {}", command.display()));
        command.deadline(deadline.left()).run()?;
    }
    host::files::remove(raw)
}

fn filesystem(tree: &Path, raw: &Path, size: u64, owner: TreeOwner) -> Command {
    let arguments = [
        "-q".into(),
        "-F".into(),
        "-t".into(),
        "ext4".into(),
        "-L".into(),
        "root".into(),
        // Nobody's quota, and no reserve for root: all of a guest is root's.
        "-m".into(),
        "0".into(),
        // Groups are marked as unwritten, so that the image stays sparse and the guest has nothing to initialise.
        "-E".into(),
        "lazy_itable_init=1,lazy_journal_init=1,nodiscard".into(),
        // Container images are many small files.
        "-i".into(),
        "16384".into(),
        // It never grows: it has its full size.
        "-O".into(),
        "^resize_inode".into(),
        "-d".into(),
        tree.into(),
        raw.into(),
        format!("{}k", size / 1024).into(),
    ];
    owner.command("mke2fs", arguments)
}

/// Compressed: a third of the size, and reading all of it costs an idle core one second. Out-of-order writes are safe
/// for a file that nobody reads before it has its name.
fn image_file(raw: &Path, image: &Path) -> Command {
    Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", "-W", "-m", "4"])
        .arg(raw)
        .arg(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_lines() {
        let (tree, raw, image) = (Path::new("/w/tree"), Path::new("/w/disk.raw"), Path::new("/w/root.qcow2"));
        insta::assert_snapshot!(filesystem(tree, raw, 20 << 30, TreeOwner::Root).display(), @"mke2fs -q -F -t ext4 -L root -m 0 -E 'lazy_itable_init=1,lazy_journal_init=1,nodiscard' -i 16384 -O '^resize_inode' -d /w/tree /w/disk.raw 20971520k");
        insta::assert_snapshot!(image_file(raw, image).display(), @"qemu-img convert -f raw -O qcow2 -c -o 'compression_type=zstd' -W -m 4 /w/disk.raw /w/root.qcow2");
    }
}
