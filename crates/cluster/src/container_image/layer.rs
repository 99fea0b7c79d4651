//! The layer of an image that is made of files: one tar, sorted by path, with owner 0, time 0 and the modes of the
//! files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host::digest::Running;
use model::{Error, ErrorClass, Result};

use super::digest::ImageDigest;

/// A layer that was written.
pub(crate) struct Layer {
    /// The digest of the tar.
    pub(crate) digest: ImageDigest,
    /// The size of the tar in bytes.
    pub(crate) size: u64,
}

/// The source of a path of the image.
enum Source {
    /// A directory that only leads to other paths.
    Parent,
    /// A directory with the mode of one on the host.
    Directory(PathBuf),
    /// The content of a file, or of the file that a symlink refers to.
    File(PathBuf),
    /// A symlink, copied as one.
    Link(PathBuf),
}

type Sources = BTreeMap<String, Source>;

/// Writes the tar of `files` (absolute path in the image -> file or directory on the host) to `output`.
pub(crate) fn write(files: &BTreeMap<String, PathBuf>, output: &mut dyn Write) -> Result<Layer> {
    let mut archive = tar::Builder::new(Hashing { output, hasher: Running::default(), size: 0 });
    for (path, source) in &collect(files)? {
        host::interrupt::check()?;
        append(&mut archive, path, source).map_err(|error| {
            Error::new(ErrorClass::Config, format!("cannot put /{path} into the image")).because(error)
        })?;
    }
    let hashing = archive
        .into_inner()
        .map_err(|error| Error::new(ErrorClass::Host, "cannot write the image's layer").because(error))?;
    Ok(Layer { digest: ImageDigest::from(hashing.hasher.finish()), size: hashing.size })
}

fn collect(files: &BTreeMap<String, PathBuf>) -> Result<Sources> {
    let mut sources = Sources::new();
    let mut named = Sources::new();
    for (path, source) in files {
        let path = checked(path)?;
        // A symlink that the user names is followed; one inside a directory stays a symlink.
        if fs::metadata(source).map_err(|error| missing(source, &error))?.is_dir() {
            add_directory(&mut sources, &path, source)?;
        } else {
            named.insert(path, Source::File(source.clone()));
        }
    }
    // A file that the user names wins over one of a directory.
    sources.extend(named);
    let paths: Vec<String> = sources.keys().cloned().collect();
    for path in paths {
        for (at, _) in path.match_indices('/') {
            sources.entry(path[..at].to_owned()).or_insert(Source::Parent);
        }
    }
    Ok(sources)
}

/// The path without its leading slash.
fn checked(path: &str) -> Result<String> {
    let legal = path.starts_with('/')
        && path.len() > 1
        && path[1..].trim_end_matches('/').split('/').all(|part| !matches!(part, "" | "." | ".."));
    if legal {
        return Ok(path[1..].trim_end_matches('/').to_owned());
    }
    Err(Error::new(ErrorClass::Config, format!("`{path}` is no path of a file in an image"))
        .because("it must begin with a slash and have neither `.`, `..` nor empty parts"))
}

fn missing(source: &Path, error: &io::Error) -> Error {
    Error::new(ErrorClass::Config, format!("cannot read {}", source.display())).because(error)
}

fn add_directory(sources: &mut Sources, path: &str, directory: &Path) -> Result<()> {
    sources.insert(path.to_owned(), Source::Directory(directory.to_owned()));
    for entry in fs::read_dir(directory).map_err(|error| missing(directory, &error))? {
        let entry = entry.map_err(|error| missing(directory, &error))?;
        let source = entry.path();
        let unfit = |why: &str| {
            Err(Error::new(ErrorClass::Config, format!("cannot put {} into an image", source.display())).because(why))
        };
        let Ok(name) = entry.file_name().into_string() else { return unfit("its name is not UTF-8") };
        let path = format!("{path}/{name}");
        let kind = entry.file_type().map_err(|error| missing(&source, &error))?;
        if kind.is_dir() {
            add_directory(sources, &path, &source)?;
        } else if kind.is_symlink() {
            sources.insert(path, Source::Link(source));
        } else if kind.is_file() {
            sources.insert(path, Source::File(source));
        } else {
            return unfit("it is neither a file, a directory nor a link");
        }
    }
    Ok(())
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, source: &Source) -> io::Result<()> {
    let mode_of = |source: &Path| fs::metadata(source).map(|metadata| metadata.permissions().mode() & 0o7777);
    let mut directory =
        |mode| archive.append_data(&mut header(tar::EntryType::Directory, mode, 0), format!("{path}/"), io::empty());
    match source {
        Source::Parent => directory(0o755),
        Source::Directory(source) => directory(mode_of(source)?),
        Source::Link(source) => {
            let target = fs::read_link(source)?;
            archive.append_link(&mut header(tar::EntryType::Symlink, 0o777, 0), path, target)
        }
        Source::File(source) => {
            let file = File::open(source)?;
            let size = file.metadata()?.len();
            archive.append_data(&mut header(tar::EntryType::Regular, mode_of(source)?, size), path, file)
        }
    }
}

/// A header without a path: owner 0, time 0.
pub(crate) fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Counts and hashes what passes.
struct Hashing<'a> {
    output: &'a mut dyn Write,
    hasher: Running,
    size: u64,
}

impl Write for Hashing<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.output.write(buffer)?;
        self.hasher.add(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
