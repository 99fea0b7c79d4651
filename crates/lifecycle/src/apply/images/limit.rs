//! How large an archive of container images may be: it has to fit on the guest's disk, and into the free space on the host.

use std::path::Path;

use bytesize::ByteSize;
use cluster::SizeLimit;
use model::Result;
use model::paths::InstancePaths;

/// Bytes to leave free on the host.
const RESERVE: u64 = 1 << 30;

/// The limit for an archive of which `copies` are made on the host.
///
/// # Errors
/// Errors of reading the free space and the guest's disk.
pub(crate) fn of(paths: &InstancePaths, copies: u64) -> Result<SizeLimit> {
    let directory = paths.image_archives();
    let free = host::files::free_space(&directory)?;
    let disk = qemu::qcow2::header(&paths.disk())?.virtual_size;
    Ok(smaller(free, copies, disk, &directory))
}

/// The smaller of the two limits. Pure.
fn smaller(free: u64, copies: u64, disk: u64, directory: &Path) -> SizeLimit {
    let room = free.saturating_sub(RESERVE) / copies.max(1);
    if disk < room {
        return SizeLimit {
            bytes: disk,
            why: format!("the guest's disk has {}", ByteSize(disk)),
            next: "k3s-vm reset --disk SIZE    # a new, larger disk; data on the old one are lost".to_owned(),
        };
    }
    let quoted = host::command::quote(directory.as_os_str());
    let times = if copies > 1 { format!("{copies} times ") } else { String::new() };
    SizeLimit {
        bytes: room,
        why: format!("{} are free for it on the host, where it is stored {times}while it is loaded", ByteSize(free)),
        next: format!("free some space, then run the command again; `df -h {quoted}` shows how much there is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn an_endless_archive_must_neither_fill_the_hosts_disk_nor_exceed_the_guests() {
        let directory = Path::new("/p/.k3s-vm/vm/images");
        let of = |free, copies, disk| smaller(free, copies, disk, directory);
        assert_eq!(of(9 * GIB, 2, 20 * GIB).bytes, 4 * GIB);
        assert_eq!(of(9 * GIB, 1, 20 * GIB).bytes, 8 * GIB);
        assert_eq!(of(900 * GIB, 2, 20 * GIB).bytes, 20 * GIB);
        assert_eq!(of(GIB / 2, 2, 20 * GIB).bytes, 0);
        assert_eq!(of(u64::MAX, 0, u64::MAX).bytes, u64::MAX - GIB);
        insta::assert_snapshot!(of(9 * GIB, 2, 20 * GIB).why, @"9.0 GiB are free for it on the host, where it is stored 2 times while it is loaded");
        insta::assert_snapshot!(of(900 * GIB, 2, 20 * GIB).why, @"the guest's disk has 20.0 GiB");
    }
}
