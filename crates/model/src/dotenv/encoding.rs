//! Quotes and escapes of values.

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quote {
    Unquoted,
    Single,
    Double,
    Backtick,
}

/// The ways to write `value`, best first: in the quotes that are there already if they can carry it, then in quotes
/// that all libraries read alike, then in those that Node.js reads, last with escapes, of which few libraries know all.
pub(super) fn ways_to_write(value: &str, present: Quote) -> Vec<String> {
    let unquoted = value.bytes().all(is_plain).then(|| value.to_owned());
    // A backslash before the closing quote escapes it for some libraries.
    let single = (!value.contains(['\'', '\n', '\r']) && !value.ends_with('\\')).then(|| format!("'{value}'"));
    // Some libraries expand a dollar in double quotes.
    let double = (!value.contains(['"', '\\', '$', '\n', '\r'])).then(|| format!("\"{value}\""));
    let backtick = (!value.contains(['`', '\n', '\r']) && !value.ends_with('\\')).then(|| format!("`{value}`"));
    let escaped = Some(format!("\"{}\"", escape(value)));
    let order = match present {
        Quote::Unquoted => [unquoted, double, single, backtick, escaped],
        Quote::Single => [single, double, backtick, escaped, unquoted],
        Quote::Double => [double, single, backtick, escaped, unquoted],
        Quote::Backtick => [backtick, double, single, escaped, unquoted],
    };
    order.into_iter().flatten().collect()
}

/// Bytes that no library or shell treats specially.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-./:@%+,=~^".contains(&byte)
}

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len() + 8);
    for letter in value.chars() {
        match letter {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '"' | '\\' => escaped.extend(['\\', letter]),
            _ => escaped.push(letter),
        }
    }
    escaped
}

/// Undoes [`escape`]; a backslash before any other letter stands for itself.
pub(super) fn unescape(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            value.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some(escaped @ ('"' | '\\')) => value.push(escaped),
            Some(other) => value.extend(['\\', other]),
            None => value.push('\\'),
        }
    }
    value
}
