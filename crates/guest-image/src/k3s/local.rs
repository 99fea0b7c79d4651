//! K3s from the user's own files: a program and an archive of container images.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use host::digest::Sha256;
use host::io_error::at_path;
use model::config::k3s::is_release;
use model::{Error, ErrorClass, Result};

use crate::distribution::Content;

/// The name in the guest of an uncompressed archive.
pub(super) const PLAIN_ARCHIVE: &str = "k3s-airgap-images.tar";
/// A program needs milliseconds to print its version, or seconds on a busy host. One that hangs must not hold up a
/// build.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);
/// The version of a program that does not print one.
const UNKNOWN: &str = "unknown";

/// A program of the user.
pub(super) struct LocalProgram {
    /// The path on the host.
    pub(super) path: PathBuf,
    /// The digest of the file.
    pub(super) digest: Sha256,
}

/// An archive of container images of the user.
pub(super) struct LocalImages {
    path: PathBuf,
    compressed: bool,
    /// The name in the guest, from which K3s infers the format.
    pub(super) name: &'static str,
    /// The digest of the file.
    pub(super) digest: Sha256,
}

/// The program `file`, relative to `project`.
///
/// # Errors
/// A Config error if it does not exist or cannot run in the guest.
pub(super) fn program(project: &Path, file: &str) -> Result<LocalProgram> {
    let path = project.join(file);
    let head = head(&path, "k3s.binary", "--k3s-binary")?;
    if let Some(why) = not_for_guest(&head) {
        return Err(Error::new(ErrorClass::Config, format!("{} is not a K3s program for the guest", path.display()))
            .because(why)
            .next("name the file `k3s` of a release for x86_64: k3s.binary in .k3s-vm/config.toml, or --k3s-binary"));
    }
    Ok(LocalProgram { digest: Sha256::of_file(&path)?, path })
}

/// The archive `file`, relative to `project`.
///
/// # Errors
/// A Config error if it does not exist or is not an archive that K3s reads.
pub(super) fn images(project: &Path, file: &str) -> Result<LocalImages> {
    let path = project.join(file);
    let head = head(&path, "k3s.images", "--k3s-images")?;
    let (compressed, name) = if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        (true, PLAIN_ARCHIVE)
    } else if head.starts_with(&[0x1f, 0x8b]) {
        (false, "k3s-airgap-images.tar.gz")
    } else if head.get(257..262) == Some(b"ustar") {
        (false, PLAIN_ARCHIVE)
    } else {
        return Err(Error::new(ErrorClass::Config, format!("{} is not an archive of container images", path.display()))
            .because("it is neither tar nor tar compressed with zstd or gzip")
            .next("name the file `k3s-airgap-images-amd64.tar.zst` of a release: k3s.images in .k3s-vm/config.toml, or --k3s-images"));
    };
    Ok(LocalImages { digest: Sha256::of_file(&path)?, path, compressed, name })
}

impl LocalImages {
    /// The content of the file in the guest.
    pub(super) fn content(&self) -> Content {
        if self.compressed { Content::Compressed(self.path.clone()) } else { Content::File(self.path.clone()) }
    }
}

impl LocalProgram {
    /// The version that it prints when it runs on this host, else the first one in its bytes, else "unknown".
    pub(super) fn version(&self) -> String {
        let said = Command::new(&self.path).arg("--version").deadline(VERSION_DEADLINE).run();
        said.ok()
            .and_then(|text| release_in(text.as_bytes()))
            .or_else(|| std::fs::read(&self.path).ok().and_then(|bytes| release_in(&bytes)))
            .unwrap_or_else(|| UNKNOWN.to_owned())
    }
}

/// The first bytes of the user's file. `key` and `flag` name it in an error.
fn head(path: &Path, key: &str, flag: &str) -> Result<Vec<u8>> {
    if !path.is_file() {
        return Err(Error::new(ErrorClass::Config, format!("{} does not exist", path.display()))
            .because(format!("{key} in .k3s-vm/config.toml or {flag} names it"))
            .next(format!("correct {key} or {flag}")));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(512).read_to_end(&mut bytes));
    read.map_err(|error| at_path("read", path, &error))?;
    Ok(bytes)
}

/// Why a program with these first bytes cannot run in an x86_64 guest (elf(5)). None if it can.
fn not_for_guest(head: &[u8]) -> Option<String> {
    let Some(rest) = head.strip_prefix(b"\x7fELF") else {
        return Some(match head {
            [] => "it is empty".to_owned(),
            [b'#', b'!', ..] => "it is a script, not a program".to_owned(),
            _ => "it is not a Linux program (ELF)".to_owned(),
        });
    };
    // e_ident has 16 bytes; e_type and e_machine follow, little-endian.
    let (class, kind, machine) = match (rest.first(), head.get(16..20)) {
        (Some(class), Some(&[kind, _, low, high])) => (*class, kind, u16::from_le_bytes([low, high])),
        _ => return Some("it ends within its own header".to_owned()),
    };
    match (class, kind, machine) {
        (2, 2 | 3, 62) => None,
        (2, 2 | 3, 183) => Some("it is for aarch64".to_owned()),
        (2, 2 | 3, other) => Some(format!("it is for another machine (ELF number {other})")),
        (1, ..) => Some("it is a 32-bit program".to_owned()),
        _ => Some("it is an ELF file, but not a program".to_owned()),
    }
}

/// The first version of a release in `bytes`.
fn release_in(bytes: &[u8]) -> Option<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b".+-".contains(byte);
    bytes.split(|byte| !is_part(byte)).filter(|word| word.starts_with(b"v") && word.len() < 32).find_map(|word| {
        let text = std::str::from_utf8(word).ok()?.trim_end_matches(['.', '-', '+']);
        is_release(text).then(|| text.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(class: u8, kind: u8, machine: u16) -> Vec<u8> {
        let mut head = b"\x7fELF".to_vec();
        head.extend([class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, kind, 0]);
        head.extend(machine.to_le_bytes());
        head
    }

    #[test]
    fn only_programs_of_the_guests_machine_are_taken() {
        for (head, expected) in [
            (elf(2, 2, 62), None),
            (elf(2, 3, 62), None),
            (elf(2, 2, 183), Some("it is for aarch64")),
            (elf(2, 2, 243), Some("it is for another machine (ELF number 243)")),
            (elf(1, 2, 3), Some("it is a 32-bit program")),
            (elf(2, 1, 62), Some("it is an ELF file, but not a program")),
            (b"\x7fELF\x02".to_vec(), Some("it ends within its own header")),
            (b"#!/bin/sh".to_vec(), Some("it is a script, not a program")),
            (b"Not Found".to_vec(), Some("it is not a Linux program (ELF)")),
            (Vec::new(), Some("it is empty")),
        ] {
            assert_eq!(not_for_guest(&head).as_deref(), expected);
        }
    }

    #[test]
    fn the_format_of_an_archive_is_found_by_its_content() {
        let directory = tempfile::tempdir().unwrap();
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (name, bytes, expected) in [
            ("a.zst", &[0x28, 0xb5, 0x2f, 0xfd, 0][..], Some((true, "k3s-airgap-images.tar"))),
            ("b", &[0x1f, 0x8b, 8], Some((false, "k3s-airgap-images.tar.gz"))),
            ("c.tar", &tar, Some((false, "k3s-airgap-images.tar"))),
            ("d.tar", b"<html>", None),
        ] {
            std::fs::write(directory.path().join(name), bytes).unwrap();
            let found = images(directory.path(), name).ok();
            assert_eq!(found.map(|found| (found.compressed, found.name)), expected, "{name}");
        }
        let error = images(directory.path(), "none").err().unwrap();
        assert_eq!(error.class(), ErrorClass::Config);
        assert!(error.what().ends_with("/none does not exist"));
    }

    #[test]
    fn a_version_is_found_in_output_or_in_bytes() {
        for (text, expected) in [
            ("k3s version v1.33.5+k3s1 (fab4a5c3)\ngo version go1.24.6\n", Some("v1.33.5+k3s1")),
            ("\0\0version=v1.34.0-rc1+k3s2.\0", Some("v1.34.0-rc1+k3s2")),
            ("v1.33.5 v2+k3s1 vvvv", None),
        ] {
            assert_eq!(release_in(text.as_bytes()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_program_that_prints_nothing_has_an_unknown_version() {
        let program = program(Path::new("/"), "bin/true");
        assert_eq!(program.unwrap().version(), UNKNOWN);
    }
}
