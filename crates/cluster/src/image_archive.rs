//! Archives of container images (docker-archive and OCI image layout): what is in them, and the archive that containerd
//! gets in their place. That one is made anew, of the files that the images need, each of which is hashed on the way: what
//! an archive holds beside them, and how it names it, reaches nobody.
//!
//! What the JSON files in an archive mean belongs to `image_layout`, where its files are to `image_tar`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use host::digest::Running;
use model::{Error, ErrorClass, Result};

use crate::image_digest::ImageDigest;
use crate::image_layout::{self, Blob, Layout};
use crate::image_name::ImageName;
use crate::image_tar::{BLOCK, TarFiles};

const CHUNK: usize = 256 * 1024;

/// One image of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedImage {
    /// Its names, in full.
    pub names: Vec<ImageName>,
    /// The digest of its configuration: what `crictl images` calls the image's id, and a name that containerd's CRI
    /// plugin gives the image. Nothing for an index of several platforms.
    pub config_digest: Option<ImageDigest>,
    /// The digest of its manifest, which `ctr images list` shows. Nothing in a docker archive, whose manifest
    /// containerd makes itself.
    pub target_digest: Option<ImageDigest>,
}

/// How large an archive may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeLimit {
    /// Bytes.
    pub bytes: u64,
    /// Where the number is from, for people.
    pub why: String,
    /// What gives more room.
    pub next: String,
}

/// An archive that was read once.
#[derive(Debug)]
pub struct ImageArchive {
    path: PathBuf,
    /// The file's name for people.
    shown: String,
    files: TarFiles,
    layout: Layout,
    /// Removes the copy of a stream.
    spool: Option<tempfile::TempPath>,
}

impl ImageArchive {
    /// Opens an archive file. `name` names an image that has none in the archive.
    ///
    /// # Errors
    /// A Config error where it is no archive of images, or an image has no name.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        Self::open_as(path, &path.display().to_string(), name)
    }

    /// Takes an archive from a stream: it is kept in a file in `directory`, removed when the value is dropped.
    ///
    /// # Errors
    /// As [`ImageArchive::open`], and a Host error where the copy cannot be written, or the stream is longer than the limit.
    pub fn from_reader(reader: &mut dyn Read, directory: &Path, limit: &SizeLimit, name: Option<&str>) -> Result<Self> {
        let shown = directory.display();
        let unwritable = |error: io::Error| {
            Error::new(ErrorClass::Host, format!("cannot keep the archive in {shown}")).because(error)
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
        // To open a pipe would wait for its other end, and a device has no end.
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
        let layout = image_layout::read(&files, name).map_err(unfit)?;
        Ok(ImageArchive { path: path.to_owned(), shown: shown.to_owned(), files, layout, spool: None })
    }

    /// The images.
    pub fn images(&self) -> &[ArchivedImage] {
        &self.layout.images
    }

    /// How many bytes [`ImageArchive::write_normalized`] writes at most.
    pub fn size(&self) -> u64 {
        let documents = self.layout.documents.iter().map(|(_, bytes)| bytes.len() as u64);
        let blobs = self.layout.blobs.iter().map(Blob::length);
        // The header, the padding, and the end.
        documents.chain(blobs).fold(2 * BLOCK, |sum, length| sum.saturating_add(length).saturating_add(2 * BLOCK))
    }

    /// That it is not larger than the limit.
    ///
    /// # Errors
    /// A Host error that says how large it may be.
    pub fn check_size(&self, limit: &SizeLimit) -> Result<()> {
        if self.size() > limit.bytes { Err(too_large(&self.shown, limit)) } else { Ok(()) }
    }

    /// Writes the archive that containerd is to get: the images with full names for the standard input of
    /// `ctr -n k8s.io images import -`, their files byte for byte. What was written must not be used after an error.
    ///
    /// # Errors
    /// A Config error where a file is not what its digest says; a Failed error where reading or writing fails.
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

impl Blob {
    fn length(&self) -> u64 {
        self.content.end.saturating_sub(self.content.start)
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
        // The caller asks for the reason.
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

/// The name of a compression and of the program that undoes it, by the file's first bytes.
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
