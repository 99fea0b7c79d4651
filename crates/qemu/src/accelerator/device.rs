//! Whether `/dev/kvm` opens, and which group may open it where this user may not.
//!
//! The device is opened and closed, nothing more.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use host::account_names::AccountNames;
use rustix::io::Errno;

use super::refusal::{Permission, Refusal};

/// The group's bits for reading and writing.
const GROUP_READS_AND_WRITES: u32 = 0o060;

/// The ids of `root`, which nobody should join, and of `nogroup`, which a container shows for groups that it does not
/// know.
const NO_GROUPS_TO_JOIN: [u32; 2] = [0, 65534];

/// Why the device does not open; `None` where it does.
pub(super) fn look(device: &Path) -> Option<Refusal> {
    let error = File::options().read(true).write(true).open(device).err()?;
    let device = device.display().to_string();
    Some(match error.kind() {
        ErrorKind::NotFound => Refusal::NoDevice { device },
        ErrorKind::PermissionDenied => {
            let metadata = std::fs::metadata(&device).ok();
            let names = AccountNames::of_groups();
            let permission = permission(error.raw_os_error(), metadata.as_ref(), &names);
            Refusal::Forbidden { device, permission }
        }
        _ => Refusal::Unusable { device, why: host::io_error::text(&error) },
    })
}

fn permission(errno: Option<i32>, metadata: Option<&Metadata>, names: &AccountNames) -> Permission {
    match metadata {
        Some(found) if errno == Some(Errno::ACCESS.raw_os_error()) => {
            of_mode(found.gid(), found.permissions().mode() & 0o7777, names.find(found.gid()))
        }
        // The kernel checks the mode first, which fails with EACCES; a device cgroup fails with EPERM.
        _ => Permission::Container,
    }
}

fn of_mode(group: u32, mode: u32, name: Option<&str>) -> Permission {
    if mode & GROUP_READS_AND_WRITES != GROUP_READS_AND_WRITES || NO_GROUPS_TO_JOIN.contains(&group) {
        return Permission::Mode(mode);
    }
    match name {
        Some(name) => Permission::Group(name.to_owned()),
        None => Permission::NamelessGroup(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_helps_only_where_it_may_open_the_device() {
        for (group, mode, name, expected) in [
            (104, 0o660, Some("kvm"), Permission::Group("kvm".to_owned())),
            (36, 0o660, Some("virt"), Permission::Group("virt".to_owned())),
            (104, 0o660, None, Permission::NamelessGroup(104)),
            (104, 0o600, Some("kvm"), Permission::Mode(0o600)),
            (104, 0o640, Some("kvm"), Permission::Mode(0o640)),
            (0, 0o660, Some("root"), Permission::Mode(0o660)),
            (65534, 0o660, Some("nogroup"), Permission::Mode(0o660)),
        ] {
            assert_eq!(of_mode(group, mode, name), expected, "{group} {mode:o} {name:?}");
        }
    }

    #[test]
    fn a_refusal_that_the_mode_does_not_explain_comes_from_the_container() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let names = AccountNames::default();
        let of = |errno: Errno| permission(Some(errno.raw_os_error()), Some(&metadata), &names);
        assert_eq!(of(Errno::PERM), Permission::Container);
        assert_eq!(of(Errno::ACCESS), Permission::Mode(0o600));
    }

    #[test]
    fn a_device_that_does_not_open_says_why() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(look(file.path()), None);
        let nowhere = Refusal::NoDevice { device: "/nonexistent/kvm".to_owned() };
        assert_eq!(look(Path::new("/nonexistent/kvm")), Some(nowhere));
        let directory = Refusal::Unusable { device: "/tmp".to_owned(), why: "Is a directory".to_owned() };
        assert_eq!(look(Path::new("/tmp")), Some(directory));
        // Nobody may write there, not even root.
        let closed = Path::new("/proc/sys/kernel/random/boot_id");
        let refused = Refusal::Forbidden { device: closed.display().to_string(), permission: Permission::Mode(0o444) };
        assert_eq!(look(closed), Some(refused));
    }
}
