//! Copies sparse files: as a reflink if the filesystem can (btrfs, XFS), else the data without the holes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, copy_file_range, ftruncate, ioctl_ficlone, seek};
use rustix::io::Errno;

/// Bytes that are copied at once.
const CHUNK: u64 = 64 << 20;

/// How a copy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copied {
    /// As a reflink: both files share the data.
    ByReference,
    /// The number of bytes that were copied.
    Bytes(u64),
}

/// Copies `from` to the empty file `to`.
///
/// # Errors
/// Errors of reading and writing.
pub fn copy(from: &File, to: &File) -> io::Result<Copied> {
    if refer(from, to) {
        return Ok(Copied::ByReference);
    }
    let size = from.metadata()?.len();
    ftruncate(to, size)?;
    let (mut begin, mut copied) = (0, 0);
    while let Some(extent) = extent_from(from, begin)? {
        copy_range(from, to, extent.start, extent.end)?;
        copied += extent.end - extent.start;
        begin = extent.end;
    }
    Ok(Copied::Bytes(copied))
}

/// The next range of data at or after `at`, up to the next hole. `None` if only holes follow.
///
/// # Errors
/// Errors of lseek(2).
pub fn extent_from(file: &File, at: u64) -> io::Result<Option<Range<u64>>> {
    let data = match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data,
        // There is no more data (lseek(2)).
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(Some(data..seek(file, SeekFrom::Hole(data))?))
}

/// Makes the empty file `to` a reflink of `from`. Returns whether the filesystem can do that.
pub fn refer(from: &File, to: &File) -> bool {
    ioctl_ficlone(to, from).is_ok()
}

fn copy_range(from: &File, to: &File, begin: u64, end: u64) -> io::Result<()> {
    let (mut read, mut written) = (begin, begin);
    while read < end {
        let wanted = usize::try_from((end - read).min(CHUNK)).unwrap_or(usize::MAX);
        match copy_file_range(from, Some(&mut read), to, Some(&mut written), wanted) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            // Not possible between these filesystems or on this kernel.
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return through_memory(from, to, read, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn through_memory(from: &File, to: &File, mut begin: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    while begin < end {
        let wanted = usize::try_from(end - begin).unwrap_or(usize::MAX).min(buffer.len());
        from.read_exact_at(&mut buffer[..wanted], begin)?;
        to.write_all_at(&buffer[..wanted], begin)?;
        begin += wanted as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// A file of 4 MiB with data at its begin and in its middle.
    fn sparse() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        file.write_all_at(&[1; 70_000], 0).unwrap();
        file.write_all_at(&[2; 5000], 2 << 20).unwrap();
        file
    }

    fn content(file: &File) -> Vec<u8> {
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn content_and_holes_are_the_same() {
        let from = sparse();
        let to = tempfile::tempfile().unwrap();
        copy(&from, &to).unwrap();
        assert!(content(&from) == content(&to));
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20);
    }

    #[test]
    fn copies_through_memory_and_files_without_data() {
        let (from, to) = (sparse(), tempfile::tempfile().unwrap());
        to.set_len(4 << 20).unwrap();
        through_memory(&from, &to, 1000, 3 << 20).unwrap();
        assert!(content(&to)[..1000] == [0; 1000]);
        assert!(content(&to)[1000..] == content(&from)[1000..]);
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(8192).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(to.metadata().unwrap().len(), 8192);
    }
}
