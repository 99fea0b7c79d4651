//! Foreign text (guest console, output of tools) made fit for a terminal: no control characters, no escape sequences.

/// One line without escape sequences (ECMA-48 CSI and OSC, two-character escapes) and control characters; a tab
/// becomes a blank.
pub(crate) fn printable(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => match characters.next() {
                Some('[') => {
                    characters.by_ref().find(|c| ('\x40'..='\x7e').contains(c));
                }
                Some(']') => {
                    let mut before = ' ';
                    characters.by_ref().find(|c| {
                        let end = *c == '\x07' || (before == '\x1b' && *c == '\\');
                        before = *c;
                        end
                    });
                }
                Some('(' | ')' | '#') => {
                    characters.next();
                }
                _ => {}
            },
            '\t' => shown.push(' '),
            control if control.is_control() => {}
            other => shown.push(other),
        }
    }
    shown.trim_end().to_owned()
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
}
