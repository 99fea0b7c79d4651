//! Finds host programs and parses their versions. It runs no program.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Directories of system administration, which an ordinary user's PATH lacks on Debian.
const ADMINISTRATION: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Finds a program in PATH, then in the directories of system administration (`/usr/sbin`, `/sbin`, `/usr/local/sbin`).
pub fn find(program: &str) -> Option<PathBuf> {
    find_in(OsStr::new(program), &std::env::var_os("PATH").unwrap_or_default())
}

/// As [`find`], with the given value of PATH. A name with a slash is a path, which is only checked.
pub fn find_in(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() > 1 || program.as_encoded_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return is_program(&path).then_some(path);
    }
    std::env::split_paths(path)
        // For a shell an empty entry is the working directory, which would be unsafe here.
        .filter(|directory| !directory.as_os_str().is_empty())
        .chain(ADMINISTRATION.iter().map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

/// The first dotted number in `text` ("QEMU emulator version 7.2.22 (Debian …)" gives [7, 2, 22]).
pub fn parse_version(text: &str) -> Option<Vec<u32>> {
    text.split(|letter: char| !letter.is_ascii_digit() && letter != '.').find_map(|word| {
        let numbers: Vec<u32> =
            word.trim_matches('.').split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        (numbers.len() > 1).then_some(numbers)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn reads_the_versions_that_tools_print() {
        for (text, expected) in [
            ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)", Some(vec![7, 2, 22])),
            ("qemu-img version 10.0.2\nCopyright (c) 2003-2025", Some(vec![10, 0, 2])),
            ("go version go1.24.1 linux/amd64", Some(vec![1, 24, 1])),
            ("OpenSSH_9.2p1 Debian-2+deb12u7", Some(vec![9, 2])),
            ("mke2fs 1.47.0 (5-Feb-2023)", Some(vec![1, 47, 0])),
            ("mmdebstrap 1.3.5", Some(vec![1, 3, 5])),
            ("version 12 of 3.4.", Some(vec![3, 4])),
            ("99999999999.1 then 2.1", Some(vec![2, 1])),
            ("1..2", None),
            ("no number", None),
            ("7", None),
            ("...", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), expected, "{text:?}");
        }
    }

    #[test]
    fn finds_only_programs_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        for (path, mode) in [(&first, 0o644), (&second, 0o755)] {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("a-tool"), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(path.join("a-tool"), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::fs::create_dir(first.join("a-directory")).unwrap();
        symlink("nowhere", first.join("dangling")).unwrap();
        let path = std::env::join_paths([&first, &second]).unwrap();

        assert_eq!(find_in(OsStr::new("a-tool"), &path), Some(second.join("a-tool")));
        assert_eq!(find_in(OsStr::new("a-directory"), &path), None);
        assert_eq!(find_in(OsStr::new("dangling"), &path), None);
        assert_eq!(find_in(second.join("a-tool").as_os_str(), OsStr::new("")), Some(second.join("a-tool")));
        assert_eq!(find_in(first.join("a-tool").as_os_str(), &path), None);
    }

    #[test]
    fn finds_the_shell() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
