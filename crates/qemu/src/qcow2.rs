//! The header of a qcow2 image: its backing file and its generation; and new, empty overlays.
//!
//! Source: docs/interop/qcow2 of QEMU. Data are the business of QEMU and qemu-img. A restore does not wait for qemu-img
//! here: an overlay costs one small write.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use host::files::{self, Mode};
use host::io_error::at_path;
use model::{Error, ErrorClass, Generation, Result};

const MAGIC: [u8; 4] = *b"QFI\xfb";
/// The size of a cluster of new overlays, QEMU's default.
const CLUSTER_BITS: u32 = 16;
const CLUSTER: u64 = 1 << CLUSTER_BITS;
/// The length of the header of version 3 without optional fields.
const HEADER: usize = 104;
/// The length of the header of version 2.
const OLD_HEADER: usize = 72;
/// The longest name of a backing file, in bytes.
const LONGEST_NAME: usize = 1023;
/// The largest table of the first level that QEMU opens, in bytes.
const LARGEST_TABLE: u64 = 32 << 20;
/// The header extension with the format of the backing file.
const BACKING_FORMAT: u32 = 0xe279_2aca;

/// The header extension with the generation. Programs preserve extensions that they do not know.
const GENERATION: u32 = 0x6b33_766d;
/// The extension that ends the list.
const END: u32 = 0;

/// The header of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The generation; `None` in an image that this tool did not make.
    pub generation: Option<Generation>,
    /// The size that the guest sees, in bytes.
    pub virtual_size: u64,
    /// The path of the backing file. As in QEMU, a relative name is relative to the directory of the image.
    pub backing_file: Option<PathBuf>,
}

/// Reads the header. The image may be in use.
///
/// # Errors
/// Failed when it is not a qcow2 image; an error that names the path.
pub fn header(image: &Path) -> Result<Header> {
    let file = File::open(image).map_err(|error| at_path("read the disk", image, &error))?;
    let place = Place::read(&file).map_err(|error| unreadable(image, &error))?;
    let name = place.name(&file).map_err(|error| unreadable(image, &error))?;
    let directory = image.parent().unwrap_or(Path::new("."));
    let backing_file = name.map(|name| directory.join(OsStr::from_bytes(&name)));
    let generation = place.generation(&file).map_err(|error| unreadable(image, &error))?;
    Ok(Header { generation, virtual_size: place.virtual_size, backing_file })
}

/// A new, unique generation.
pub fn new_generation() -> Generation {
    Generation::from_number(uuid::Uuid::new_v4().as_u128())
}

/// Writes the generation into the header of an image that no QEMU has open. It is on the disk when this returns. In an
/// image without one, the extensions and the name of the backing file are written anew; data are not moved.
///
/// # Errors
/// Failed when the header has no room for it; an error that names the path.
pub fn set_generation(image: &Path, generation: &Generation) -> Result<()> {
    let write = || -> io::Result<()> {
        let file = File::options().read(true).write(true).open(image)?;
        let place = Place::read(&file)?;
        match place.generation_offset(&file)? {
            Ok(offset) => file.write_all_at(generation.as_str().as_bytes(), offset)?,
            // Disks of earlier versions have none.
            Err(end) => place.insert_generation(&file, end, generation)?,
        }
        file.sync_all()
    };
    write()
        .map_err(|error| at_path("write", image, &error).context(format!("cannot mark the disk {}", image.display())))
}

/// Creates `overlay` atomically with mode 0600: an empty image of `size` bytes on `backing_file`, which is a qcow2 image
/// with an absolute path. The backing file is not opened: a running QEMU may use it.
///
/// # Errors
/// Failed when the path of the backing file is too long for the format; an error that names the path.
pub fn create_overlay(overlay: &Path, backing_file: &Path, size: u64) -> Result<()> {
    let told = |error: Error| error.context(format!("cannot make the disk {}", overlay.display()));
    let name = absolute_name(backing_file).map_err(told)?;
    let bytes = empty_overlay(name, size, &new_generation())
        .ok_or_else(|| told(Error::new(ErrorClass::Failed, format!("{size} bytes are too large for it"))))?;
    files::write_atomic(overlay, &bytes, Mode::Exactly(0o600)).map_err(told)
}

/// Writes a new name of the backing file into `image`; the file must be the same. A running QEMU that has opened the image
/// for reading does not notice.
///
/// # Errors
/// As [`create_overlay`]; Failed when the image has no backing file.
pub fn rename_backing_file(image: &Path, backing_file: &Path) -> Result<()> {
    let told =
        |error: Error| error.context(format!("cannot write the backing file's name to the disk {}", image.display()));
    let name = absolute_name(backing_file).map_err(told)?;
    let write = || -> io::Result<()> {
        let permissions = image.metadata()?.permissions();
        // Backing files are write-protected. One that a crash leaves writable does no harm.
        std::fs::set_permissions(image, Permissions::from_mode(permissions.mode() | 0o200))?;
        let written = File::options().read(true).write(true).open(image).and_then(|file| {
            Place::read(&file)?.write_name(&file, name)?;
            file.sync_all()
        });
        std::fs::set_permissions(image, permissions)?;
        written
    };
    write().map_err(|error| told(at_path("write", image, &error)))
}

/// The place of the backing file's name and of the extensions in a header.
struct Place {
    virtual_size: u64,
    /// The offset of the extensions in bytes.
    header_length: u32,
    cluster: u64,
    /// The offset of the backing file's name; 0 without one.
    offset: u64,
    /// The length of the name.
    length: usize,
}

impl Place {
    fn read(file: &File) -> io::Result<Self> {
        let mut header = [0; OLD_HEADER];
        file.read_exact_at(&mut header, 0)?;
        let (version, cluster_bits) = (number_4(&header, 4), number_4(&header, 20));
        if header[..4] != MAGIC || !matches!(version, 2 | 3) || !(9..=21).contains(&cluster_bits) {
            return Err(io::Error::other("it is not a qcow2 image"));
        }
        let mut place = Place {
            virtual_size: number_8(&header, 24),
            header_length: OLD_HEADER as u32,
            cluster: 1 << cluster_bits,
            offset: number_8(&header, 8),
            length: number_4(&header, 16) as usize,
        };
        let end = place.offset.checked_add(place.length as u64);
        if place.offset > 0 && (place.length > LONGEST_NAME || end.is_none_or(|end| end > place.cluster)) {
            return Err(io::Error::other("its header is damaged"));
        }
        let mut length = [0; 4];
        if version == 3 && file.read_exact_at(&mut length, HEADER as u64 - 4).is_ok() {
            place.header_length = u32::from_be_bytes(length);
        }
        Ok(place)
    }

    fn name(&self, file: &File) -> io::Result<Option<Vec<u8>>> {
        if self.offset == 0 {
            return Ok(None);
        }
        let mut name = vec![0; self.length];
        file.read_exact_at(&mut name, self.offset)?;
        Ok(Some(name))
    }

    /// The offset of the generation's digits, or, without a generation, that of the extensions' end. Extensions follow the
    /// header, each with its length, and end before the name of the backing file.
    fn generation_offset(&self, file: &File) -> io::Result<Result<u64, u64>> {
        let mut offset = u64::from(self.header_length);
        let end = if self.offset > 0 { self.offset } else { self.cluster };
        while offset + 8 <= end {
            let mut head = [0; 8];
            match file.read_exact_at(&mut head, offset) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            let (kind, length) = (number_4(&head, 0), u64::from(number_4(&head, 4)));
            let content = offset + 8;
            match kind {
                END => break,
                GENERATION if length == Generation::LENGTH as u64 && content + length <= end => return Ok(Ok(content)),
                // Each is padded to a multiple of eight bytes.
                _ => offset = content + length.next_multiple_of(8),
            }
        }
        Ok(Err(offset))
    }

    /// Writes the extension after those that end at `end`, and then the name of the backing file, all in one write.
    fn insert_generation(&self, file: &File, end: u64, generation: &Generation) -> io::Result<()> {
        let name = self.name(file)?.ok_or_else(|| io::Error::other("it has no backing file"))?;
        if end > self.offset {
            return Err(io::Error::other("its header is damaged"));
        }
        let mut begin = vec![0; usize::try_from(end).map_err(io::Error::other)?];
        file.read_exact_at(&mut begin, 0)?;
        begin.extend_from_slice(&extension_of(generation));
        begin.extend_from_slice(&[0; 8]);
        let offset = begin.len() as u64;
        begin[8..16].copy_from_slice(&offset.to_be_bytes());
        begin.extend_from_slice(&name);
        if begin.len() as u64 > self.cluster {
            return Err(io::Error::other("its header has no room for a generation"));
        }
        file.write_all_at(&begin, 0)
    }

    fn generation(&self, file: &File) -> io::Result<Option<Generation>> {
        let Ok(offset) = self.generation_offset(file)? else { return Ok(None) };
        let mut digits = [0; Generation::LENGTH];
        file.read_exact_at(&mut digits, offset)?;
        Ok(std::str::from_utf8(&digits).ok().and_then(|text| Generation::parse(text).ok()))
    }

    /// Writes the name of the backing file, with the header, in one write. The rest of the first cluster is free for it.
    fn write_name(&self, file: &File, name: &[u8]) -> io::Result<()> {
        if self.offset == 0 || self.offset + name.len() as u64 > self.cluster {
            return Err(io::Error::other("its header has no room for the name"));
        }
        let mut begin = vec![0; usize::try_from(self.offset).map_err(io::Error::other)?];
        file.read_exact_at(&mut begin, 0)?;
        begin[16..20].copy_from_slice(&length_of(name).to_be_bytes());
        begin.extend_from_slice(name);
        file.write_all_at(&begin, 0)
    }
}

/// The header extension with the generation; its length is a multiple of eight bytes.
fn extension_of(generation: &Generation) -> Vec<u8> {
    let length = Generation::LENGTH as u32;
    [&GENERATION.to_be_bytes()[..], &length.to_be_bytes(), generation.as_str().as_bytes()].concat()
}

/// The clusters of an image without data: header, table of reference counts, its one block, and the table of the first
/// level, of which every entry refers to the backing file.
fn empty_overlay(name: &[u8], size: u64, generation: &Generation) -> Option<Vec<u8>> {
    // An entry of the first level stands for a cluster with entries of the second level, eight bytes each.
    let entries = size.div_ceil(CLUSTER * (CLUSTER / 8)).max(1);
    let table = entries * 8;
    if table > LARGEST_TABLE {
        return None;
    }
    let clusters = 3 + table.div_ceil(CLUSTER);
    let mut extensions = [BACKING_FORMAT.to_be_bytes(), 5_u32.to_be_bytes()].concat();
    extensions.extend_from_slice(b"qcow2\0\0\0");
    extensions.extend_from_slice(&extension_of(generation));
    extensions.extend_from_slice(&[END.to_be_bytes(), [0; 4]].concat());
    let mut image = Vec::with_capacity(usize::try_from(clusters * CLUSTER).ok()?);
    let put_4 = |image: &mut Vec<u8>, number: u32| image.extend_from_slice(&number.to_be_bytes());
    let put_8 = |image: &mut Vec<u8>, number: u64| image.extend_from_slice(&number.to_be_bytes());
    image.extend_from_slice(&MAGIC);
    put_4(&mut image, 3); // version
    put_8(&mut image, (HEADER + extensions.len()) as u64); // offset of the backing file's name
    put_4(&mut image, length_of(name));
    put_4(&mut image, CLUSTER_BITS);
    put_8(&mut image, size);
    put_4(&mut image, 0); // no encryption
    put_4(&mut image, u32::try_from(entries).ok()?);
    put_8(&mut image, 3 * CLUSTER); // table of the first level
    put_8(&mut image, CLUSTER); // table of reference counts
    put_4(&mut image, 1); // its clusters
    put_4(&mut image, 0); // no internal snapshots
    put_8(&mut image, 0);
    for _ in 0..3 {
        put_8(&mut image, 0); // no incompatible, compatible, autoclear features
    }
    put_4(&mut image, 4); // reference counts of 1 << 4 bits
    put_4(&mut image, u32::try_from(HEADER).ok()?);
    image.extend_from_slice(&extensions);
    image.extend_from_slice(name);
    let at = |cluster: u64| usize::try_from(cluster * CLUSTER);
    image.resize(at(1).ok()?, 0);
    put_8(&mut image, 2 * CLUSTER);
    image.resize(at(2).ok()?, 0);
    for _ in 0..clusters {
        image.extend_from_slice(&1_u16.to_be_bytes());
    }
    image.resize(at(clusters).ok()?, 0);
    Some(image)
}

fn absolute_name(backing_file: &Path) -> Result<&[u8]> {
    let name = backing_file.as_os_str().as_bytes();
    let refused = |why: String| Err(Error::new(ErrorClass::Failed, why));
    match name.len() {
        length if length > LONGEST_NAME => refused(format!(
            "the path {} has {length} bytes, a disk can name {LONGEST_NAME} at most",
            backing_file.display()
        )),
        _ if backing_file.is_relative() => refused(format!("{} is not absolute", backing_file.display())),
        _ => Ok(name),
    }
}

/// The length as the header has it; [`absolute_name`] has checked it.
fn length_of(name: &[u8]) -> u32 {
    u32::try_from(name.len()).unwrap_or(u32::MAX)
}

fn number_4(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn number_8(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn unreadable(image: &Path, error: &io::Error) -> Error {
    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
    let why = if cut { "it is not a qcow2 image".to_owned() } else { host::io_error::text(error) };
    Error::new(ErrorClass::Failed, format!("cannot read the disk {}", image.display())).because(why)
}

#[cfg(test)]
mod tests;
