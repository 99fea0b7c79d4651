//! Writes initial RAM disks: cpio archives of the "newc" format
//! (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! Pure and deterministic: owners are root, times are 0, inode numbers count from 1.

use std::io::Write;

use cpio::newc;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive under construction. Paths are relative to the root, without a leading slash; a directory comes before
/// what is in it.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a directory.
    pub fn directory(&mut self, path: &str) {
        self.entry(path, DIRECTORY, (0, 0), &[]);
    }
    /// Adds a file that can be executed.
    pub fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }
    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE, (0, 0), content);
    }
    /// Adds a character device that root may use.
    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[]);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        // Memory takes whatever is written to it, here and below.
        let _ = newc::trailer(&mut self.bytes);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.entries += 1;
        let entry = newc::Builder::new(path)
            .ino(self.entries)
            .mode(mode)
            .nlink(if mode == DIRECTORY { 2 } else { 1 })
            .rdev_major(device.0)
            .rdev_minor(device.1);
        let mut writer = entry.write(&mut self.bytes, content.len() as u32);
        let _ = writer.write_all(content).and_then(|()| writer.finish().map(drop));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    struct Read {
        path: String,
        mode: u32,
        device: (u32, u32),
        content: Vec<u8>,
    }

    /// A reader written from the format's description, independent of the writer.
    fn read(bytes: &[u8]) -> Vec<Read> {
        let mut at = 0;
        let mut found = Vec::new();
        loop {
            assert_eq!(&bytes[at..at + 6], b"070701");
            let field = |index: usize| {
                let begin = at + 6 + index * 8;
                u32::from_str_radix(std::str::from_utf8(&bytes[begin..begin + 8]).unwrap(), 16).unwrap()
            };
            let (mode, size, device, name_size) = (field(1), field(6) as usize, (field(9), field(10)), field(11));
            let name = at + 110;
            let name_end = name + name_size as usize;
            assert_eq!(bytes[name_end - 1], 0);
            let path = String::from_utf8(bytes[name..name_end - 1].to_vec()).unwrap();
            let content = name_end.next_multiple_of(4);
            at = (content + size).next_multiple_of(4);
            if path == "TRAILER!!!" {
                assert_eq!(at, bytes.len());
                return found;
            }
            found.push(Read { path, mode, device, content: bytes[content..content + size].to_vec() });
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(files in proptest::collection::vec(("[a-z]{1,9}", any::<Vec<u8>>()), 0..8)) {
            let mut archive = Archive::default();
            for (path, content) in &files {
                archive.file(path, content);
            }
            let found = read(&archive.finish());
            let found: Vec<_> = found.into_iter().map(|entry| (entry.path, entry.content)).collect();
            prop_assert_eq!(found, files);
        }
    }

    #[test]
    fn kinds_have_their_modes() {
        let mut archive = Archive::default();
        archive.directory("dev");
        archive.character_device("dev/console", 5, 1);
        archive.program("init", b"#!");
        let found = read(&archive.finish());
        let seen: Vec<_> = found.iter().map(|entry| (entry.path.as_str(), entry.mode, entry.device)).collect();
        assert_eq!(
            seen,
            [("dev", 0o040_755, (0, 0)), ("dev/console", 0o020_600, (5, 1)), ("init", 0o100_755, (0, 0)),]
        );
        assert_eq!(found[2].content, b"#!");
    }
}
