//! Archives of container images (docker-archive and OCI image layout), and the archive that containerd gets in their
//! place. That one is made anew of the files that the images need, each hashed while it is copied: containerd sees no
//! other file and no name of the archive.
//!
//! `layout` reads the JSON files of an archive, `tar_files` finds its files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use host::digest::Running;
use model::{Error, ErrorClass, Result};

use super::digest::ImageDigest;
use super::layout::{self, ArchivedImage, Blob, Layout};
use super::tar_files::{BLOCK, TarFiles};

const CHUNK: usize = 256 * 1024;

/// How large an archive may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeLimit {
    /// The limit in bytes.
    pub bytes: u64,
    /// The reason for the limit, for messages.
    pub why: String,
    /// The command that raises the limit, for messages.
    pub next: String,
}

/// An archive of container images. Opening it reads its headers and JSON files.
#[derive(Debug)]
pub struct ImageArchive {
    path: PathBuf,
    /// The archive's name in messages.
    shown: String,
    files: TarFiles,
    layout: Layout,
    /// The copy of a stream, removed on drop.
    spool: Option<tempfile::TempPath>,
}

impl ImageArchive {
    /// Opens an archive file. `name` names an image that has none in the archive.
    ///
    /// # Errors
    /// A Config error where the file is no archive of images, or an image has no name.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        Self::open_as(path, &path.display().to_string(), name)
    }

    /// Copies an archive from a stream into a file in `directory`, which is removed when the value is dropped.
    ///
    /// # Errors As [`ImageArchive::open`], and a Host error where the copy cannot be written, or the stream is longer
    /// than the limit.
    pub fn from_reader(reader: &mut dyn Read, directory: &Path, limit: &SizeLimit, name: Option<&str>) -> Result<Self> {
        let shown = directory.display();
        let unwritable = |error: io::Error| {
            Error::new(ErrorClass::Host, format!("cannot write the archive to {shown}")).because(error)
        };
        host::files::create_dir(directory)?;
        let mut spool = tempfile::NamedTempFile::new_in(directory).map_err(unwritable)?;
        let mut chunk = vec![0; CHUNK];
        let mut total: u64 = 0;
        loop {
            host::interrupt::check()?;
            let count = match reader.read(&mut chunk) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let failed = Error::new(ErrorClass::Failed, "cannot read the archive from standard input");
                    return Err(failed.because(error));
                }
            };
            if count == 0 {
                break;
            }
            total = total.saturating_add(count as u64);
            if total > limit.bytes {
                return Err(too_large("standard input", limit));
            }
            spool.write_all(&chunk[..count]).map_err(unwritable)?;
        }
        let mut archive = Self::open_as(spool.path(), "standard input", name)?;
        archive.spool = Some(spool.into_temp_path());
        Ok(archive)
    }

    fn open_as(path: &Path, shown: &str, name: Option<&str>) -> Result<Self> {
        let unreadable =
            |error: io::Error| Error::new(ErrorClass::Config, format!("cannot read {shown}")).because(error);
        let unfit = |why: String| unfit(shown, why);
        // Opening a pipe would wait for its writer, and a device may have no end.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(unfit("it is no file".to_owned()).next("k3s-vm load - < FILE    # takes a stream"));
        }
        let file = File::open(path).map_err(unreadable)?;
        if let Some((format, program)) = compression(&file).map_err(unreadable)? {
            return Err(
                unfit(format!("it is compressed with {format}")).next(format!("{program} -dc FILE | k3s-vm load -"))
            );
        }
        let size = file.metadata().map_err(unreadable)?.len();
        let files = TarFiles::scan(file, size).map_err(unfit)?;
        let layout = layout::read(&files, name).map_err(unfit)?;
        Ok(ImageArchive { path: path.to_owned(), shown: shown.to_owned(), files, layout, spool: None })
    }

    /// The images of the archive.
    pub fn images(&self) -> &[ArchivedImage] {
        &self.layout.images
    }

    /// The most bytes that [`ImageArchive::write_normalized`] writes.
    pub fn size(&self) -> u64 {
        let documents = self.layout.documents.iter().map(|(_, bytes)| bytes.len() as u64);
        let blobs = self.layout.blobs.iter().map(Blob::length);
        // Each file has a header and padding, and the archive two blocks at its end.
        documents.chain(blobs).fold(2 * BLOCK, |sum, length| sum.saturating_add(length).saturating_add(2 * BLOCK))
    }

    /// Checks that the archive is not larger than the limit.
    ///
    /// # Errors
    /// A Host error that says how large it may be.
    pub fn check_size(&self, limit: &SizeLimit) -> Result<()> {
        if self.size() > limit.bytes { Err(too_large(&self.shown, limit)) } else { Ok(()) }
    }

    /// Writes the archive for the standard input of `ctr -n k8s.io images import -`: the images with full names, their
    /// files byte for byte. After an error the output must not be used.
    ///
    /// # Errors
    /// A Config error where a file does not match its digest; a Failed error where reading or writing fails.
    pub fn write_normalized(&self, output: &mut dyn Write) -> Result<()> {
        let failed = |error: io::Error| {
            Error::new(ErrorClass::Failed, format!("cannot pass on {}", self.path.display())).because(error)
        };
        let mut archive = tar::Builder::new(output);
        for (path, bytes) in &self.layout.documents {
            archive.append_data(&mut header(bytes.len() as u64), path, bytes.as_slice()).map_err(failed)?;
        }
        for blob in &self.layout.blobs {
            let mut content = Content {
                files: &self.files,
                position: blob.content.start,
                end: blob.content.end,
                hash: Running::default(),
            };
            let added = archive.append_data(&mut header(blob.length()), &blob.path, &mut content);
            host::interrupt::check()?;
            added.map_err(failed)?;
            let found = ImageDigest::from(content.hash.finish());
            if let Some(digest) = blob.digest.filter(|digest| *digest != found) {
                return Err(unfit(&self.shown, format!("{} in it is not what it should be", blob.shown))
                    .because(format!("it has the digest {found}, expected is {digest}")));
            }
        }
        archive.into_inner().and_then(|output| output.flush()).map_err(failed)
    }
}

/// The content of a file of the archive, hashed while it is read.
struct Content<'a> {
    files: &'a TarFiles,
    position: u64,
    end: u64,
    hash: Running,
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The caller checks for the interrupt again and reports it.
        if host::interrupt::check().is_err() {
            return Err(io::Error::other("interrupted"));
        }
        let left = usize::try_from(self.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let count = self.files.some_at(&mut buffer[..wanted], self.position)?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter"));
        }
        self.hash.add(&buffer[..count]);
        self.position = self.position.saturating_add(count as u64);
        Ok(count)
    }
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header
}

fn unfit(shown: &str, why: String) -> Error {
    Error::new(ErrorClass::Config, format!("{shown} is no archive of container images")).because(why)
}

fn too_large(shown: &str, limit: &SizeLimit) -> Error {
    Error::new(ErrorClass::Host, format!("the archive from {shown} is larger than {}", ByteSize(limit.bytes)))
        .because(&limit.why)
        .next(limit.next.clone())
}

/// The name of the compression by the file's first bytes, and of the program that decompresses it.
fn compression(file: &File) -> io::Result<Option<(&'static str, &'static str)>> {
    let mut magic = Vec::new();
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
