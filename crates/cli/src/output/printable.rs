//! Makes untrusted text (guest console, output of tools, answers of the API) safe for a terminal: without control
//! characters, escape sequences and characters that change the direction of text.
//!
//! Everything that is written to a terminal goes through [`for_terminal`].

use std::iter::Peekable;
use std::str::Chars;

/// An incomplete line of a log is shown when it is longer than this, in bytes.
const LONGEST_LINE: usize = 64 << 10;
/// The parameters of the colors that `style` writes (Select Graphic Rendition of ECMA-48).
const OWN_COLORS: [&str; 7] = ["0", "1", "2", "31", "32", "1;31", "1;33"];

/// One line without escape sequences (ECMA-48 CSI and OSC, two-character escapes) and control characters; a tab
/// becomes a blank.
pub(crate) fn printable(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => skip_escape(&mut characters),
            '\t' => shown.push(' '),
            other if controls_terminal(other) => {}
            other => shown.push(other),
        }
    }
    shown.trim_end().to_owned()
}

/// Text that does nothing to a terminal but add characters, lines and the colors of this program.
pub(crate) fn for_terminal(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => match own_color(characters.clone()) {
                Some((color, rest)) => {
                    shown.push_str(&format!("\x1b[{color}m"));
                    characters = rest;
                }
                None => skip_escape(&mut characters),
            },
            '\n' | '\t' => shown.push(character),
            other if controls_terminal(other) => {}
            other => shown.push(other),
        }
    }
    shown
}

/// JSON with the characters that control a terminal escaped, which does not change its value: outside of strings, line
/// ends are the only such characters.
pub(crate) fn escaped_json(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut escaped, character| {
        if controls_terminal(character) && character != '\n' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
        escaped
    })
}

/// Cuts a log that comes in pieces into lines.
#[derive(Default)]
pub(crate) struct LogText {
    /// The beginning of an incomplete line.
    pending: Vec<u8>,
}

impl LogText {
    /// Adds bytes, and returns the lines that are complete.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> String {
        let mut shown = String::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.pending.len() > LONGEST_LINE {
                shown.push_str(&self.end());
            }
        }
        shown
    }

    /// The rest, when no more bytes come.
    pub(crate) fn end(&mut self) -> String {
        let line = std::mem::take(&mut self.pending);
        if line.is_empty() { String::new() } else { printable(&String::from_utf8_lossy(&line)) + "\n" }
    }
}

/// Whether the character controls a terminal: control characters (C0, DEL, C1), characters that change the direction of
/// the text after them (Unicode, UAX 9), and the line ends of Unicode.
fn controls_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A color of this program after the escape character, and what follows it.
fn own_color(mut characters: Peekable<Chars<'_>>) -> Option<(String, Peekable<Chars<'_>>)> {
    if characters.next() != Some('[') {
        return None;
    }
    let mut color = String::new();
    while color.len() < 5 {
        match characters.next()? {
            'm' => return OWN_COLORS.contains(&color.as_str()).then_some((color, characters)),
            part @ ('0'..='9' | ';') => color.push(part),
            _ => return None,
        }
    }
    None
}

/// Skips an escape sequence after its escape character.
fn skip_escape(characters: &mut Peekable<Chars<'_>>) {
    match characters.next() {
        Some('[') => {
            characters.find(|c| ('\x40'..='\x7e').contains(c) || *c == '\n');
        }
        // Texts for the terminal: OSC, DCS, SOS, PM, APC.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let mut before = ' ';
            characters.find(|c| {
                let end = matches!(*c, '\x07' | '\n' | '\u{9c}') || (before == '\x1b' && *c == '\\');
                before = *c;
                end
            });
        }
        Some('(' | ')' | '#' | '%' | '*' | '+' | '-' | '.' | '/' | ' ') => {
            characters.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_text_and_drops_what_steers_a_terminal() {
        for (raw, shown) in [
            ("plain ümlaut …", "plain ümlaut …"),
            ("\x1b[32m  OK  \x1b[0m] Started\r", "  OK  ] Started"),
            ("\x1b]0;title\x07text", "text"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Bx\x1bcy", "xy"),
            ("a\tb\x08\x00c  ", "a bc"),
            ("cut \x1b[", "cut"),
            ("cut \x1b", "cut"),
        ] {
            assert_eq!(printable(raw), shown, "{raw:?}");
        }
    }

    #[test]
    fn a_guest_that_writes_escape_sequences_did_steer_the_users_terminal() {
        for attack in [
            "\x1b[2J",
            "\x1b]52;c;aGk=\x07",
            "\x1bP$qm\x1b\\",
            "\u{9b}2J",
            "\u{9d}0;x\u{9c}",
            "\u{202e}",
            "\x1b[8m",
            "\x07",
            "\r",
            "\x7f",
        ] {
            let text = format!("before {attack}after\n");
            let mut log = LogText::default();
            for shown in [printable(&text), for_terminal(&text), log.take(text.as_bytes())] {
                assert!(shown.starts_with("before "), "{shown:?}");
                assert!(!shown.trim_end_matches('\n').chars().any(controls_terminal), "{attack:?} gave {shown:?}");
            }
            let json = serde_json::to_string(&text).unwrap();
            let escaped = escaped_json(&json);
            assert!(!escaped.chars().any(controls_terminal), "{escaped:?}");
            assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        }
    }

    #[test]
    fn own_colors_stay() {
        for color in OWN_COLORS {
            let text = format!("\x1b[{color}mtext\n\tmore");
            assert_eq!(for_terminal(&text), text);
        }
    }

    #[test]
    fn an_escape_sequence_may_come_in_pieces() {
        let mut log = LogText::default();
        assert_eq!(log.take(b"a\x1b"), "");
        assert_eq!(log.take("[31mb\r\nü".as_bytes().get(..8).unwrap()), "ab\n");
        assert_eq!(log.take(b"\xbc"), "");
        assert_eq!(log.end(), "ü\n");
        assert_eq!(log.end(), "");
        assert_eq!(log.take(&vec![b'x'; LONGEST_LINE + 1]).len(), LONGEST_LINE + 2);
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_steers_gets_through(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut log = LogText::default();
            let shown = log.take(&bytes) + &log.end();
            proptest::prop_assert!(shown.chars().all(|c| c == '\n' || !controls_terminal(c)));
            let shown = for_terminal(&String::from_utf8_lossy(&bytes));
            let without = OWN_COLORS.iter().fold(shown, |text, color| text.replace(&format!("\x1b[{color}m"), ""));
            proptest::prop_assert!(without.chars().all(|c| matches!(c, '\n' | '\t') || !controls_terminal(c)));
        }
    }
}
