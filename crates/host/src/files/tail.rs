//! Reads the end of a log file, whatever its size.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const BLOCK: u64 = 16 * 1024;

/// The most bytes to read; a longer line lacks its begin.
const MOST: u64 = 1024 * 1024;

/// The last `count` lines of a file, with invalid UTF-8 replaced and carriage returns at the end of lines removed.
/// Empty if the file does not exist or cannot be read, because the tail of a log only accompanies another message.
pub fn tail(path: &Path, count: usize) -> Vec<String> {
    let Ok(mut file) = File::open(path) else { return Vec::new() };
    let Ok(end) = file.seek(SeekFrom::End(0)) else { return Vec::new() };
    last_lines(&read_end(&mut file, end, count), count)
}

fn read_end(file: &mut (impl Read + Seek), end: u64, count: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    let mut begin = end;
    while begin > 0 && end - begin < MOST {
        let from = begin.saturating_sub(BLOCK);
        let mut block = Vec::new();
        if file.seek(SeekFrom::Start(from)).is_err() || file.take(begin - from).read_to_end(&mut block).is_err() {
            break;
        }
        block.extend_from_slice(&taken);
        (taken, begin) = (block, from);
        // One more newline than lines: the last line usually ends with one, too.
        if taken.iter().filter(|byte| **byte == b'\n').count() > count {
            break;
        }
    }
    taken
}

/// The last `count` lines of `bytes`.
pub(crate) fn last_lines(bytes: &[u8], count: usize) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<String> = bytes
        .rsplit(|byte| *byte == b'\n')
        .take(count)
        .map(|line| String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned())
        .collect();
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &[u8], count: usize) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        tail(file.path(), count)
    }

    #[test]
    fn takes_the_last_lines() {
        assert_eq!(of(b"one\ntwo\nthree\n", 2), ["two", "three"]);
        assert_eq!(of(b"one\ntwo\nthree", 2), ["two", "three"]);
        assert_eq!(of(b"one\r\n\r\ntwo\r\n", 3), ["one", "", "two"]);
        assert_eq!(of(b"one\n", 5), ["one"]);
        assert_eq!(of(b"bad \xff byte\n", 1), ["bad \u{fffd} byte"]);
        assert!(of(b"", 5).is_empty());
        assert!(of(b"one\n", 0).is_empty());
        assert!(tail(Path::new("/nonexistent/log"), 5).is_empty());
    }

    #[test]
    fn reads_across_blocks_as_the_whole_file_would_be_read() {
        let content: Vec<u8> = (0..20_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        for count in [1, 100, 1500, 5000] {
            assert_eq!(of(&content, count), last_lines(&content, count), "{count}");
        }
    }

    #[test]
    fn an_endless_line_is_cut() {
        let lines = of(&vec![b'x'; 3 * 1024 * 1024], 5);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [1024 * 1024]);
    }
}
