//! Whether bytes are a text that can be edited line by line.

use std::fmt;

/// Why a `.env` file cannot be edited: a line added in ASCII would have another encoding than the rest, so that no
/// program could read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoText {
    /// UTF-16, with the encoding's name for iconv(1), which has the byte order if the file has no byte order mark.
    Utf16(&'static str),
    /// UTF-32, with the encoding's name for iconv(1).
    Utf32(&'static str),
    /// It has a NUL byte, on this line.
    Nul(usize),
}

impl NoText {
    /// The encoding's name for iconv(1), if it is known.
    pub fn encoding(self) -> Option<&'static str> {
        match self {
            NoText::Utf16(name) | NoText::Utf32(name) => Some(name),
            NoText::Nul(_) => None,
        }
    }
}

impl fmt::Display for NoText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoText::Utf16(_) => write!(f, "it is UTF-16, as some editors and shells of Windows save it"),
            NoText::Utf32(_) => write!(f, "it is UTF-32"),
            NoText::Nul(line) => write!(f, "line {line} has a NUL byte"),
        }
    }
}

/// Why `bytes` cannot be edited as text. Other bytes beyond ASCII (Latin-1, for instance) can.
pub(super) fn no_text(bytes: &[u8]) -> Option<NoText> {
    // The byte order mark of UTF-32LE begins with that of UTF-16LE.
    match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => return Some(NoText::Utf32("UTF-32")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Some(NoText::Utf16("UTF-16")),
        _ => {}
    }
    let first = bytes.iter().position(|byte| *byte == 0)?;
    // Without a mark, names and `=` show the byte order: every second byte of them is a NUL.
    let nuls_at = |odd: usize| bytes.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (nuls_at(0), nuls_at(1));
    let most = |count: usize, other: usize| bytes.len().is_multiple_of(2) && other == 0 && count * 4 > bytes.len();
    if most(odd, even) {
        return Some(NoText::Utf16("UTF-16LE"));
    }
    if most(even, odd) {
        return Some(NoText::Utf16("UTF-16BE"));
    }
    Some(NoText::Nul(1 + bytes[..first].iter().filter(|byte| **byte == b'\n').count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, mark: bool, big: bool) -> Vec<u8> {
        let mark = if mark { "\u{feff}" } else { "" };
        let units: Vec<u16> = mark.encode_utf16().chain(text.encode_utf16()).collect();
        units.iter().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    }

    #[test]
    fn encodings_of_two_and_four_bytes_are_told_from_text() {
        let text = "NAME=grün\r\nB=2\r\n";
        for (bytes, expected) in [
            (utf16(text, true, false), Some(NoText::Utf16("UTF-16"))),
            (utf16(text, true, true), Some(NoText::Utf16("UTF-16"))),
            (utf16(text, false, false), Some(NoText::Utf16("UTF-16LE"))),
            (utf16(text, false, true), Some(NoText::Utf16("UTF-16BE"))),
            (utf16("", true, false), Some(NoText::Utf16("UTF-16"))),
            (b"\xff\xfe\0\0A\0\0\0".to_vec(), Some(NoText::Utf32("UTF-32"))),
            (b"A=1\nB=\0\n".to_vec(), Some(NoText::Nul(2))),
            (b"A=1\nB=gr\xfcn\n".to_vec(), None),
            (b"A=\xff\xfe\n".to_vec(), None),
            (b"\xef\xbb\xbfA=1\n".to_vec(), None),
            (text.as_bytes().to_vec(), None),
            (Vec::new(), None),
        ] {
            assert_eq!(no_text(&bytes), expected, "{bytes:?}");
        }
    }
}
