//! Errors for I/O errors: they name the path and the system's text, and a next step if one is known.

use std::io;
use std::path::Path;

use model::{Error, ErrorClass};
use rustix::io::Errno;

/// The error "cannot `action` `path`", with an action such as "write" or "create the directory".
///
/// Its class is Host if space, permission or file descriptors are lacking, otherwise Failed.
pub fn at_path(action: &str, path: &Path, error: &io::Error) -> Error {
    let class = if is_lack_of_the_host(error) { ErrorClass::Host } else { ErrorClass::Failed };
    let described = Error::new(class, format!("cannot {action} {}", path.display())).because(text(error));
    match next_step(path, error) {
        Some(step) => described.next(step),
        None => described,
    }
}

/// The system's text for the error, without its "(os error N)".
pub fn text(error: &io::Error) -> String {
    let whole = error.to_string();
    match whole.rfind(" (os error ") {
        Some(end) => whole[..end].to_owned(),
        None => whole,
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

fn is_lack_of_the_host(error: &io::Error) -> bool {
    matches!(
        errno(error),
        Some(Errno::NOSPC | Errno::DQUOT | Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::MFILE | Errno::NFILE)
    )
}

fn next_step(path: &Path, error: &io::Error) -> Option<String> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => path,
    };
    let (directory, path) = (quoted(directory), quoted(path));
    Some(match errno(error)? {
        Errno::NOSPC => {
            format!("free some space, then run the command again; `df -h {directory}` shows how much there is")
        }
        Errno::DQUOT => "free some space within your quota, then run the command again; `quota -s` shows it".to_owned(),
        Errno::ACCESS | Errno::PERM => {
            format!("`ls -ld {directory} {path}` shows the owner; become the owner or change the permissions")
        }
        Errno::ROFS => {
            format!("`findmnt -T {directory}` shows the mount; make it writable or work in another directory")
        }
        Errno::MFILE | Errno::NFILE => "allow more open files with `ulimit -n 4096`".to_owned(),
        _ => return None,
    })
}

fn quoted(path: &Path) -> String {
    crate::quoting::quote(path.as_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(errno: Errno) -> String {
        let error = at_path("write", Path::new("/data/my project/.env"), &errno.into());
        format!("{}\n{error}\n{}", error.class().name(), error.next_steps().join("\n"))
    }

    #[test]
    fn a_full_disk_names_the_directory_to_look_at() {
        insta::assert_snapshot!(shown(Errno::NOSPC), @"
        host
        cannot write /data/my project/.env: No space left on device
        free some space, then run the command again; `df -h '/data/my project'` shows how much there is
        ");
    }

    #[test]
    fn a_refusal_says_how_to_find_the_owner() {
        insta::assert_snapshot!(shown(Errno::ACCESS), @"
        host
        cannot write /data/my project/.env: Permission denied
        `ls -ld '/data/my project' '/data/my project/.env'` shows the owner; become the owner or change the permissions
        ");
    }

    #[test]
    fn a_read_only_filesystem_says_how_to_see_the_mount() {
        insta::assert_snapshot!(shown(Errno::ROFS), @"
        host
        cannot write /data/my project/.env: Read-only file system
        `findmnt -T '/data/my project'` shows the mount; make it writable or work in another directory
        ");
    }

    #[test]
    fn other_errors_are_failures_without_a_guess() {
        insta::assert_snapshot!(shown(Errno::ISDIR), @"
        failed
        cannot write /data/my project/.env: Is a directory
        ");
    }
}
