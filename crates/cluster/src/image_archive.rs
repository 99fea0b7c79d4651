//! Archives of container images (docker-archive and OCI image layout): what is in them, and the same archive with full
//! names for containerd's import.
//!
//! What the JSON files in an archive mean belongs to `image_layout`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use model::{Fault, FaultClass, Result};

use crate::image_layout::{self, Layout};
use crate::image_name::ImageName;

/// The JSON files of an archive are small; what is larger is a layer.
const LARGEST_JSON: u64 = 8 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;
const TAR_BLOCK: u64 = 512;

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// `docker save`: `manifest.json` with `RepoTags`.
    Docker,
    /// An OCI image layout: `index.json` with annotations. An archive that is both counts as this, as containerd has it.
    Oci,
}

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedImage {
    /// Its names, in full.
    pub names: Vec<ImageName>,
    /// The digest of its configuration, `sha256:…`: what `crictl images` calls the image's id, and a name that
    /// containerd's CRI plugin gives the image. Nothing for an index of several platforms.
    pub config_digest: Option<String>,
    /// The digest of its manifest, which `ctr images list` shows. Nothing in a docker archive, whose manifest
    /// containerd makes itself.
    pub target_digest: Option<String>,
}

/// An archive that was read once.
#[derive(Debug)]
pub struct ImageArchive {
    path: PathBuf,
    format: ArchiveFormat,
    images: Vec<ArchivedImage>,
    size: u64,
    /// Parts of the file that are written otherwise, by the place of their tar header.
    replaced: BTreeMap<u64, Replacement>,
    /// Removes the copy of a stream.
    spool: Option<tempfile::TempPath>,
}

#[derive(Debug)]
struct Replacement {
    /// Header, content and padding in the file.
    range: Range<u64>,
    /// What stands there instead.
    bytes: Vec<u8>,
}

impl ImageArchive {
    /// Opens an archive file. `name` names an image that has none in the archive.
    ///
    /// # Errors
    /// A Config fault where it is no archive of images, or an image has no name.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        Self::open_as(path, &path.display().to_string(), name)
    }

    /// Takes an archive from a stream: it is kept in a file in `folder`, removed when the value is dropped.
    ///
    /// # Errors
    /// As [`ImageArchive::open`], and a Host fault where the copy cannot be written.
    pub fn from_reader(reader: &mut dyn Read, folder: &Path, name: Option<&str>) -> Result<Self> {
        let shown = folder.display();
        let unwritable = |error: std::io::Error| {
            Fault::new(FaultClass::Host, format!("cannot keep the archive in {shown}")).because(error)
        };
        host::files::create_dir(folder)?;
        let mut spool = tempfile::NamedTempFile::new_in(folder).map_err(unwritable)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            host::interrupt::check()?;
            let count = reader.read(&mut chunk).map_err(|error| {
                Fault::new(FaultClass::Failed, "cannot read the archive from standard input").because(error)
            })?;
            if count == 0 {
                break;
            }
            spool.write_all(&chunk[..count]).map_err(unwritable)?;
        }
        let mut archive = Self::open_as(spool.path(), "standard input", name)?;
        archive.spool = Some(spool.into_temp_path());
        Ok(archive)
    }

    fn open_as(path: &Path, shown: &str, name: Option<&str>) -> Result<Self> {
        let unreadable =
            |error: std::io::Error| Fault::new(FaultClass::Config, format!("cannot read {shown}")).because(error);
        let no_archive = |why: String| {
            Fault::new(FaultClass::Config, format!("{shown} is no archive of container images")).because(why)
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        if let Some((format, program)) = compression(&mut file).map_err(unreadable)? {
            return Err(no_archive(format!("it is compressed with {format}"))
                .next(format!("{program} -dc FILE | k3s-vm load -")));
        }
        // The error of the tar library quotes the bytes that are no header.
        let entries = entries(&mut file).map_err(|_| no_archive("it is no tar file".to_owned()))?;
        if let Some((path, _)) = entries.iter().find(|(_, entry)| entry.content.end > size) {
            return Err(no_archive(format!("it is cut off in the middle of {path}")));
        }
        let mut read = |path: &str| -> Result<Option<Vec<u8>>, String> {
            let Some(entry) = entries.get(path) else { return Ok(None) };
            let length = entry.content.end - entry.content.start;
            if length > LARGEST_JSON {
                return Err(format!("{path} in it is too large to be read: {length} bytes"));
            }
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(entry.content.start))
                .and_then(|_| (&mut file).take(length).read_to_end(&mut bytes))
                .map_err(|error| format!("{path} in it cannot be read: {error}"))?;
            Ok(Some(bytes))
        };
        let Layout { format, images, files } = image_layout::read(&mut read, name).map_err(no_archive)?;
        let mut replaced = BTreeMap::new();
        for (path, bytes) in files {
            if let Some(entry) = entries.get(path) {
                let bytes = bytes.map(|bytes| tar_entry(path, &bytes)).unwrap_or_default();
                replaced.insert(entry.whole.start, Replacement { range: entry.whole.clone(), bytes });
            }
        }
        Ok(ImageArchive { path: path.to_owned(), format, images, size, replaced, spool: None })
    }

    /// The format.
    pub fn format(&self) -> ArchiveFormat {
        self.format
    }

    /// The images.
    pub fn images(&self) -> &[ArchivedImage] {
        &self.images
    }

    /// About how many bytes [`ImageArchive::write_normalized`] writes: the size of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes the archive with full names, for the standard input of `ctr -n k8s.io images import -`. All else is
    /// copied byte for byte.
    ///
    /// # Errors
    /// A Failed fault where reading or writing fails.
    pub fn write_normalized(&self, output: &mut dyn Write) -> Result<()> {
        let failed = |error: std::io::Error| {
            Fault::new(FaultClass::Failed, format!("cannot pass on {}", self.path.display())).because(error)
        };
        let mut file = File::open(&self.path).map_err(failed)?;
        let mut position = 0;
        for replacement in self.replaced.values() {
            copy(&mut file, position..replacement.range.start, output, failed)?;
            output.write_all(&replacement.bytes).map_err(failed)?;
            position = replacement.range.end;
        }
        copy(&mut file, position..self.size, output, failed)?;
        output.flush().map_err(failed)
    }
}

fn copy(
    file: &mut File,
    range: Range<u64>,
    output: &mut dyn Write,
    failed: impl Fn(std::io::Error) -> Fault,
) -> Result<()> {
    file.seek(SeekFrom::Start(range.start)).map_err(&failed)?;
    let mut source = file.take(range.end.saturating_sub(range.start));
    let mut chunk = vec![0; CHUNK];
    loop {
        host::interrupt::check()?;
        let count = source.read(&mut chunk).map_err(&failed)?;
        if count == 0 {
            return Ok(());
        }
        output.write_all(&chunk[..count]).map_err(&failed)?;
    }
}

/// Where an entry of the archive is.
struct Entry {
    /// Header, content and padding.
    whole: Range<u64>,
    content: Range<u64>,
}

/// The regular files of a tar, by path without a leading `./`.
fn entries(file: &mut File) -> std::io::Result<BTreeMap<String, Entry>> {
    file.seek(SeekFrom::Start(0))?;
    let mut archive = tar::Archive::new(file);
    let mut found = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").to_owned();
        let start = entry.raw_file_position();
        let content = start..start + entry.size();
        let whole = entry.raw_header_position()..content.end.next_multiple_of(TAR_BLOCK);
        found.insert(path, Entry { whole, content });
    }
    Ok(found)
}

fn tar_entry(path: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    // The paths replaced are a few short constants, which fit.
    let _ = header.set_path(path);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(TAR_BLOCK as usize), 0);
    bytes
}

/// The name of a compression and of the program that undoes it, by the file's first bytes.
fn compression(file: &mut File) -> std::io::Result<Option<(&'static str, &'static str)>> {
    let mut magic = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(6).read_to_end(&mut magic)?;
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Some(("gzip", "gzip")),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(("zstd", "zstd")),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Some(("xz", "xz")),
        [b'B', b'Z', b'h', ..] => Some(("bzip2", "bzip2")),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
