//! Copies the metadata of files: owner, mode, access control list and extended attributes.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::fs::{Gid, Uid, XattrFlags, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The most bytes of a value, and of the list of names (xattr(7)).
const MOST: usize = 64 * 1024;

/// Gives `new` the owner, group, mode, access control list and extended attributes of `old`. Returns false if the
/// system does not allow that, so that `new` would differ from `old`.
///
/// # Errors
/// Other errors of the system.
pub(super) fn copy(old: &File, new: &File) -> io::Result<bool> {
    let (of_old, of_new) = (old.metadata()?, new.metadata()?);
    if (of_old.uid(), of_old.gid()) != (of_new.uid(), of_new.gid()) {
        match fchown(new, Some(Uid::from_raw(of_old.uid())), Some(Gid::from_raw(of_old.gid()))) {
            Err(Errno::PERM | Errno::INVAL) => return Ok(false),
            result => result?,
        }
    }
    // After the owner, because a change of owner clears the set-id bits; before the access control list, which extends
    // it.
    new.set_permissions(fs::Permissions::from_mode(of_old.permissions().mode() & 0o7777))?;
    copy_extended(old, new)
}

/// Gives `new` the owner and group of the file that it replaces, as far as the system allows it.
///
/// # Errors
/// Other errors of the system than a refusal.
pub(super) fn keep_owner(new: &File, replaced: &Metadata) -> io::Result<()> {
    let facts = new.metadata()?;
    if (facts.uid(), facts.gid()) == (replaced.uid(), replaced.gid()) {
        return Ok(());
    }
    let (user, group) = (Uid::from_raw(replaced.uid()), Gid::from_raw(replaced.gid()));
    match fchown(new, Some(user), Some(group)) {
        // An ordinary user may set at most the group.
        Err(Errno::PERM) => {
            let _ = fchown(new, None, Some(group));
            Ok(())
        }
        result => Ok(result?),
    }
}

/// Copies the access control list (`system.posix_acl_access`) and all else that listxattr(2) lists.
fn copy_extended(old: &File, new: &File) -> io::Result<bool> {
    let (wanted, present) = (names(old)?, names(new)?);
    for name in &wanted {
        let Some(value) = value(old, name)? else { continue };
        if present.contains(name) && self::value(new, name)?.as_ref() == Some(&value) {
            continue;
        }
        match fsetxattr(new, name.as_slice(), &value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    for name in present.iter().filter(|name| !wanted.contains(name)) {
        // The directory may have a default access control list for new files.
        if fremovexattr(new, name.as_slice()).is_err() && !name.starts_with(b"security.") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn names(file: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut list = vec![0; MOST];
    match flistxattr(file, &mut list) {
        Ok(length) => {
            let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Ok(names.map(<[u8]>::to_vec).collect())
        }
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The value of an attribute; `None` if it was removed meanwhile or cannot be read.
fn value(file: impl AsFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; MOST];
    match fgetxattr(file, name, &mut value) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
