//! The files of an untrusted tar: their positions, and their bytes by position. Nothing is extracted, no link out of
//! the archive is followed, and nothing large is read at once.
//!
//! Formats: POSIX ustar and pax, and GNU's long names. Paths that lead out of the archive, two files of one name,
//! sparse files and excessive headers make the whole archive unfit.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use tar::{EntryType, Header, PaxExtensions};

/// Bytes of a block; a header is one block.
pub(crate) const BLOCK: u64 = 512;
/// The most bytes of long names and attributes before a file. A path or a link's target has at most 4096 bytes (Linux).
const LARGEST_EXTENSION: u64 = 64 << 10;
/// The longest path of a file in bytes; those in archives of images have about a hundred.
const LONGEST_PATH: usize = 1024;
/// The most headers. An image with the most layers that a kernel mounts (500) has a few thousand.
const MOST_HEADERS: usize = 65_536;
/// The longest chain of links.
const MOST_LINKS: usize = 8;

/// The files of a tar.
#[derive(Debug)]
pub(crate) struct TarFiles {
    file: File,
    /// Path -> position of the content.
    files: BTreeMap<String, Range<u64>>,
    /// Path -> target of the link.
    links: BTreeMap<String, String>,
}

/// The attributes of a file in the headers before its own.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl TarFiles {
    /// Reads the headers of `file`, which has `size` bytes.
    pub(crate) fn scan(file: File, size: u64) -> Result<Self, String> {
        let mut tar = TarFiles { file, files: BTreeMap::new(), links: BTreeMap::new() };
        let mut extensions = Extensions::default();
        let mut position = 0;
        for _ in 0..MOST_HEADERS {
            let Some(header) = tar.header(position, size)? else { return Ok(tar) };
            let kind = header.entry_type();
            let stated = header.entry_size().map_err(|_| damaged(position))?;
            let length = if has_content(kind) { extensions.size.unwrap_or(stated) } else { 0 };
            let (content, next) = place(position, length).ok_or_else(|| damaged(position))?;
            if content.end > size {
                let path = path_of(&header, &extensions).unwrap_or_else(|_| "a file".to_owned());
                return Err(format!("it is cut off in the middle of {path}"));
            }
            match kind {
                EntryType::GNULongName => extensions.path = Some(tar.extension(&content)?),
                EntryType::GNULongLink => extensions.link = Some(tar.extension(&content)?),
                EntryType::XHeader => extensions.read_pax(&tar.extension(&content)?)?,
                EntryType::XGlobalHeader => drop(tar.extension(&content)?),
                EntryType::GNUSparse => return Err("it has a sparse file".to_owned()),
                _ => tar.add(&header, &std::mem::take(&mut extensions), content)?,
            }
            position = next;
        }
        Err(format!("it has more than {MOST_HEADERS} files"))
    }

    /// The header at `position`; `None` at the end of the archive.
    fn header(&self, position: u64, size: u64) -> Result<Option<Header>, String> {
        if position >= size {
            return Ok(None);
        }
        let mut header = Header::new_old();
        if self.file.read_exact_at(header.as_mut_bytes(), position).is_err() {
            return Err(if position == 0 { damaged(0) } else { "it is cut off in the middle of a header".to_owned() });
        }
        let bytes = header.as_bytes();
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The checksum counts its own field as blanks.
        let sum: u32 = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        if header.cksum().ok() == Some(sum) { Ok(Some(header)) } else { Err(damaged(position)) }
    }

    fn extension(&self, content: &Range<u64>) -> Result<Vec<u8>, String> {
        if content.end - content.start > LARGEST_EXTENSION {
            return Err(format!("a header in it has more than {LARGEST_EXTENSION} bytes"));
        }
        self.bytes(content)
    }

    fn add(&mut self, header: &Header, extensions: &Extensions, content: Range<u64>) -> Result<(), String> {
        let kind = header.entry_type();
        let path = path_of(header, extensions)?;
        let new = match kind {
            // Old archives have directories as files with a slash at the end of the path.
            _ if path.is_empty() || kind.is_file() && is_directory(header, extensions) => true,
            _ if kind.is_file() => {
                self.files.insert(path.clone(), content).is_none() && !self.links.contains_key(&path)
            }
            EntryType::Symlink => {
                let target = extensions.link.clone().or_else(|| header.link_name_bytes().map(|name| name.into_owned()));
                let target = text(target.unwrap_or_default())?;
                self.links.insert(path.clone(), target).is_none() && !self.files.contains_key(&path)
            }
            // Directories and special files have no content.
            _ => true,
        };
        if new { Ok(()) } else { Err(format!("it has two files of the name {path}")) }
    }

    /// The position of a file's content, also through links inside of the archive; `None` where there is no such file.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Range<u64>>, String> {
        let mut at = normal("", path)?;
        for _ in 0..MOST_LINKS {
            if let Some(content) = self.files.get(&at) {
                return Ok(Some(content.clone()));
            }
            let Some(target) = self.links.get(&at) else { return Ok(None) };
            let directory = at.rsplit_once('/').map_or("", |(directory, _)| directory);
            at = normal(directory, target).map_err(|why| format!("the link {at}: {why}"))?;
        }
        Err(format!("{path} in it is a link through too many links"))
    }

    /// All bytes of a range, which the caller knows to be small.
    pub(crate) fn bytes(&self, range: &Range<u64>) -> Result<Vec<u8>, String> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(|error| error.to_string())?;
        let mut bytes = vec![0; length];
        match self.file.read_exact_at(&mut bytes, range.start) {
            Ok(()) => Ok(bytes),
            Err(error) => Err(format!("it cannot be read: {error}")),
        }
    }

    /// Reads bytes at `position` into the buffer and returns how many; 0 at the end of the file.
    pub(crate) fn some_at(&self, buffer: &mut [u8], position: u64) -> std::io::Result<usize> {
        self.file.read_at(buffer, position)
    }
}

impl Extensions {
    fn read_pax(&mut self, bytes: &[u8]) -> Result<(), String> {
        let unfit = || "a header in it is damaged".to_owned();
        for extension in PaxExtensions::new(bytes) {
            let extension = extension.map_err(|_| unfit())?;
            match extension.key_bytes() {
                b"path" => self.path = Some(extension.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(extension.value_bytes().to_vec()),
                b"size" => {
                    let size = extension.value().ok().and_then(|value| value.parse().ok());
                    self.size = Some(size.ok_or_else(unfit)?);
                }
                key if key.starts_with(b"GNU.sparse") => return Err("it has a sparse file".to_owned()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether content of the header's size follows the header.
fn has_content(kind: EntryType) -> bool {
    !matches!(
        kind,
        EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo
    )
}

/// The position of the content after a header, and that of the next header.
fn place(header: u64, length: u64) -> Option<(Range<u64>, u64)> {
    let start = header.checked_add(BLOCK)?;
    let end = start.checked_add(length)?;
    Some((start..end, end.checked_next_multiple_of(BLOCK)?))
}

fn is_directory(header: &Header, extensions: &Extensions) -> bool {
    extensions.path.as_deref().unwrap_or(&header.path_bytes()).ends_with(b"/")
}

fn path_of(header: &Header, extensions: &Extensions) -> Result<String, String> {
    let bytes = extensions.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
    let path = text(bytes)?;
    // The target of a link may lead up, a file's own path may not.
    if path.split('/').any(|part| part == "..") {
        return Err(format!("the path {path} in it leads out of it"));
    }
    normal("", &path)
}

fn text(mut bytes: Vec<u8>) -> Result<String, String> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.len() > LONGEST_PATH {
        return Err(format!("a path in it has more than {LONGEST_PATH} bytes"));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err("a path in it is no text".to_owned()),
    }
}

/// `path` relative to `directory`, with `.` and `..` resolved.
fn normal(directory: &str, path: &str) -> Result<String, String> {
    let leads_out = || format!("the path {path} in it leads out of it");
    if path.starts_with('/') {
        return Err(leads_out());
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or_else(leads_out)?),
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

fn damaged(position: u64) -> String {
    match position {
        0 => "it is no tar file".to_owned(),
        _ => format!("its header at byte {position} is damaged"),
    }
}
