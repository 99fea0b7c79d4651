//! Makes the root disk: an ext4 filesystem with a tree, without mounting it, as a qcow2 file.

use std::path::Path;

use host::command::Command;
use host::deadline::Deadline;
use model::{EventSink, Result};

use super::tree_owner::TreeOwner;

/// Makes the qcow2 file `image` from `tree`, with `size` bytes of virtual size; `raw` is a temporary file.
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
        // No blocks reserved for root: everything in a guest runs as root.
        "-m".into(),
        "0".into(),
        // Block groups stay uninitialised, so that the file is sparse and the guest has nothing to initialise.
        "-E".into(),
        "lazy_itable_init=1,lazy_journal_init=1,nodiscard".into(),
        // Container images are many small files.
        "-i".into(),
        "16384".into(),
        // The filesystem has its full size and never grows.
        "-O".into(),
        "^resize_inode".into(),
        "-d".into(),
        tree.into(),
        raw.into(),
        format!("{}k", size / 1024).into(),
    ];
    owner.command("mke2fs", arguments)
}

/// Compression saves two thirds of the size; to read all of it takes one second on an idle core. Out-of-order writes
/// are safe, since nobody reads the file before it is renamed.
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
