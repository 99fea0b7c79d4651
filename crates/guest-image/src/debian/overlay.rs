//! A tar archive of the files that are unpacked over a Debian tree: files of the repository and built programs.
//!
//! Owners and permissions do not come from the user's checkout: all files are root's, with 0755 for programs and
//! directories and 0644 for others.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use host::io_error::at_path;
use model::Result;
use tar::{Builder, EntryType, Header};

use crate::directory_entries::{Kind, entries};

const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

/// An archive under construction.
pub(crate) struct Overlay<'a> {
    path: &'a Path,
    /// Directories that the tree or this archive already has. They are not added again, since that would change the
    /// permissions of the tree's.
    present: BTreeSet<PathBuf>,
    tar: Builder<BufWriter<File>>,
}

impl<'a> Overlay<'a> {
    /// Creates an empty archive at `path` for a tree that has the directories `present`.
    pub(crate) fn create(path: &'a Path, present: BTreeSet<PathBuf>) -> Result<Self> {
        let file = File::create(path).map_err(|error| at_path("write", path, &error))?;
        Ok(Overlay { path, present, tar: Builder::new(BufWriter::new(file)) })
    }

    /// Adds everything in `directory`, which becomes the root of the guest.
    pub(crate) fn directory(&mut self, directory: &Path) -> Result<()> {
        for entry in entries(directory)? {
            let source = directory.join(&entry.relative);
            match entry.kind {
                // Added with its first file.
                Kind::Directory => {}
                Kind::Link => {
                    let target = std::fs::read_link(&source).map_err(|error| at_path("read", &source, &error))?;
                    self.link(&entry.relative, &target).map_err(|error| at_path("write", self.path, &error))?;
                }
                Kind::File { executable } => {
                    self.file(&source, &entry.relative, if executable { PROGRAM } else { FILE })?;
                }
            }
        }
        Ok(())
    }

    /// Adds a file; `to` is its path in the guest.
    pub(crate) fn file(&mut self, source: &Path, to: &Path, mode: u32) -> Result<()> {
        let file = File::open(source).map_err(|error| at_path("read", source, &error))?;
        let size = file.metadata().map_err(|error| at_path("read", source, &error))?.len();
        self.stream(&file, size, to, mode).map_err(|error| at_path("copy", source, &error))
    }

    /// Adds a file with this content.
    pub(crate) fn text(&mut self, text: &str, to: &Path, mode: u32) -> Result<()> {
        self.stream(text.as_bytes(), text.len() as u64, to, mode).map_err(|error| at_path("write", self.path, &error))
    }

    /// Adds a zstd file decompressed. It is read twice, since the archive has the size before the content.
    pub(crate) fn decompressed(&mut self, source: &Path, to: &Path, mode: u32) -> Result<()> {
        let open = || zstd::Decoder::new(File::open(source)?);
        let mut copy = || {
            let size = io::copy(&mut open()?, &mut io::sink())?;
            self.stream(open()?, size, to, mode)
        };
        copy().map_err(|error| at_path("decompress", source, &error))
    }

    fn stream(&mut self, content: impl Read, size: u64, to: &Path, mode: u32) -> io::Result<()> {
        let to = to.strip_prefix("/").unwrap_or(to);
        self.parents(to)?;
        let mut header = header(EntryType::Regular, mode);
        header.set_size(size);
        self.tar.append_data(&mut header, to, content)
    }

    /// Completes the archive.
    pub(crate) fn finish(self) -> Result<()> {
        let path = self.path;
        self.tar.into_inner().and_then(|mut file| file.flush()).map_err(|error| at_path("write", path, &error))
    }

    fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.parents(path)?;
        self.tar.append_link(&mut header(EntryType::Symlink, 0o777), path, target)
    }

    /// Adds the missing directories above `path`, outermost first.
    fn parents(&mut self, path: &Path) -> io::Result<()> {
        let mut missing: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .filter(|directory| !self.present.contains(*directory))
            .map(Path::to_owned)
            .collect();
        missing.reverse();
        for directory in missing {
            self.tar.append_data(&mut header(EntryType::Directory, PROGRAM), &directory, io::empty())?;
            self.present.insert(directory);
        }
        Ok(())
    }
}

fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn modes_and_owners_do_not_come_from_the_checkout_and_the_trees_directories_stay() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir_all(path("rootfs/etc")).unwrap();
        for (name, mode) in [("etc/secret", 0o600), ("etc/shared", 0o664), ("etc/run", 0o700)] {
            std::fs::write(path("rootfs").join(name), name).unwrap();
            std::fs::set_permissions(path("rootfs").join(name), std::fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("/dev/null", path("rootfs/etc/masked")).unwrap();
        let archive = path("overlay.tar");
        let mut overlay =
            Overlay::create(&archive, BTreeSet::from([PathBuf::new(), "etc".into(), "usr".into()])).unwrap();
        overlay.directory(&path("rootfs")).unwrap();
        overlay.file(&path("rootfs/etc/run"), Path::new("/usr/local/bin/run"), 0o755).unwrap();
        overlay.text("said", Path::new("/etc/new/text"), 0o600).unwrap();
        std::fs::write(path("packed"), zstd::encode_all(&b"unpacked"[..], 0).unwrap()).unwrap();
        overlay.decompressed(&path("packed"), Path::new("/etc/new/archive"), 0o644).unwrap();
        let error = overlay.decompressed(&path("rootfs/etc/run"), Path::new("/x"), 0o644).unwrap_err();
        assert!(error.what().starts_with("cannot decompress "), "{error}");
        overlay.finish().unwrap();
        let mut seen = Vec::new();
        for entry in tar::Archive::new(File::open(&archive).unwrap()).entries().unwrap() {
            let entry = entry.unwrap();
            let (header, path) = (entry.header(), entry.path().unwrap().display().to_string());
            let target = entry.link_name().unwrap().map(|target| format!(" -> {}", target.display()));
            let (mode, owner, size) = (header.mode().unwrap(), header.uid().unwrap(), entry.size());
            seen.push(format!("{mode:04o} {owner} {path} {size}{}", target.unwrap_or_default()));
        }
        insta::assert_snapshot!(seen.join("\n"), @r#"
        0777 0 etc/masked 0 -> /dev/null
        0755 0 etc/run 7
        0644 0 etc/secret 10
        0644 0 etc/shared 10
        0755 0 usr/local 0
        0755 0 usr/local/bin 0
        0755 0 usr/local/bin/run 7
        0755 0 etc/new 0
        0600 0 etc/new/text 4
        0644 0 etc/new/archive 8
        "#);
    }
}
