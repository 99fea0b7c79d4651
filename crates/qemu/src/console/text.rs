//! Lines of the console: removes colours, control characters and time stamps, and reads systemd's status lines.

/// The most characters of a line that is shown.
const LONGEST: usize = 100;

/// A status line of systemd.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Systemd<'a> {
    /// A unit was started, a target reached.
    Started(&'a str),
    /// A unit failed.
    Failed(&'a str),
}

/// The line without escape sequences (ECMA-48), control characters and the kernel's time stamp.
pub(super) fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // A control sequence ends with a byte from 0x40 to 0x7e.
                Some('[') => while characters.next().is_some_and(|next| !('\u{40}'..='\u{7e}').contains(&next)) {},
                // An operating system command ends with BEL or ESC \.
                Some(']') => while characters.next().is_some_and(|next| !matches!(next, '\u{7}' | '\\')) {},
                _ => {}
            },
            '\t' => plain.push(' '),
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    without_time_stamp(plain.trim()).to_owned()
}

/// `[    1.234567] text` -> `text`.
fn without_time_stamp(line: &str) -> &str {
    let Some((stamp, rest)) = line.strip_prefix('[').and_then(|inner| inner.split_once(']')) else { return line };
    let stamp = stamp.trim_start();
    let is_time = stamp.contains('.') && stamp.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_time { rest.trim_start() } else { line }
}

/// Reads a plain line as a status line of systemd (`[  OK  ] Started ssh.service - OpenBSD Secure Shell server.`).
pub(super) fn systemd(line: &str) -> Option<Systemd<'_>> {
    let (status, message) = status_line(line)?;
    let message = message.trim_end_matches('.');
    let named = |verbs: &[&str]| verbs.iter().find_map(|verb| message.strip_prefix(verb));
    match status {
        "OK" => named(&["Started ", "Reached target ", "Finished "]).map(Systemd::Started),
        "FAILED" => named(&["Failed to start ", "Failed to mount "]).map(Systemd::Failed),
        _ => None,
    }
}

/// The part of a plain line that is worth showing while the user waits.
pub(super) fn progress(line: &str) -> Option<String> {
    let shown = status_line(line).map_or(line, |(_, message)| message).trim_end_matches('.');
    if shown.chars().filter(|character| character.is_alphabetic()).count() < 3 {
        return None;
    }
    Some(shown.chars().take(LONGEST).collect())
}

fn status_line(line: &str) -> Option<(&str, &str)> {
    let (status, message) = line.strip_prefix('[')?.split_once("] ")?;
    let status = status.trim();
    let known = matches!(status, "OK" | "FAILED" | "DEPEND" | "TIME") || status.chars().all(|part| part == '*');
    known.then(|| (status, message.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colours_and_time_stamps_are_removed() {
        for (line, expected) in [
            (
                "[\u{1b}[0;32m  OK  \u{1b}[0m] Started \u{1b}[0;1;39mssh.service\u{1b}[0m - OpenSSH.",
                "[  OK  ] Started ssh.service - OpenSSH.",
            ),
            ("[    0.123456] Linux version 6.12\r", "Linux version 6.12"),
            ("\u{1b}]0;title\u{7}login: ", "login:"),
            ("[drm] text", "[drm] text"),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(plain(line), expected);
        }
    }

    #[test]
    fn status_lines() {
        for (line, expected) in [
            ("[  OK  ] Started ssh.service - OpenSSH.", Some(Systemd::Started("ssh.service - OpenSSH"))),
            ("[  OK  ] Finished k3s-pki.service.", Some(Systemd::Started("k3s-pki.service"))),
            ("[FAILED] Failed to start kube.service.", Some(Systemd::Failed("kube.service"))),
            ("[ ***  ] Job kube.service/start running (1min / no limit)", None),
            ("Starting ssh.service...", None),
        ] {
            assert_eq!(systemd(line), expected, "{line}");
        }
    }

    #[test]
    fn only_words_are_worth_showing() {
        for (line, expected) in [
            (
                "[  OK  ] Reached target basic.target - Basic System.",
                Some("Reached target basic.target - Basic System"),
            ),
            ("[ ***  ] Job kube.service/start running (9s)", Some("Job kube.service/start running (9s)")),
            ("Starting ssh.service - OpenSSH...", Some("Starting ssh.service - OpenSSH")),
            ("----------", None),
            ("", None),
        ] {
            assert_eq!(progress(line).as_deref(), expected, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_left(line in "\\PC*|[\u{1b}\\[\\]0-9;a-z\r\t ]*") {
            prop_assert!(!plain(&line).chars().any(char::is_control));
        }
    }
}
