//! YAML in and out: the one module that uses the YAML library. Reads scalars as kubectl's parser does.
//!
//! Pure.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Number, Value};
use serde_saphyr::{Options, Spanned};

/// Why a document cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxMistake {
    /// From 1.
    pub(crate) line: u64,
    /// From 1.
    pub(crate) column: u64,
    /// The parser's message.
    pub(crate) message: String,
}

/// Reads one document; an empty one is null.
pub(crate) fn read(text: &str) -> Result<Value, SyntaxMistake> {
    let mut value: Value = deserialize(text)?;
    integral_floats_to_integers(&mut value);
    Ok(value)
}

/// The lines, from 1, on which the members of the top-level list `items` begin; empty where there is no such list.
pub(crate) fn lines_of_items(text: &str) -> Vec<u64> {
    #[derive(serde::Deserialize)]
    struct Document {
        items: Vec<Spanned<IgnoredAny>>,
    }
    deserialize::<Document>(text)
        .map(|document| document.items.iter().map(|item| item.referenced.line()).collect())
        .unwrap_or_default()
}

/// Writes a document in block style, keys in their order.
pub(crate) fn write(value: &Value) -> String {
    // Base64 on one plain line, as kubectl writes it; the default folds what is long.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let mut text = String::new();
    match serde_saphyr::to_fmt_writer_with_options(&mut text, value, options) {
        Ok(()) => text,
        // JSON is YAML. Writing to a string does not fail.
        Err(_) => value.to_string(),
    }
}

fn deserialize<T: DeserializeOwned>(text: &str) -> Result<T, SyntaxMistake> {
    let options: Options = serde_saphyr::options! {
        // `defaultMode: 0644` is 420 for kubectl (YAML 1.1 octal).
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let (line, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
        SyntaxMistake { line, column, message: bare_message(&error.without_snippet().to_string()) }
    })
}

/// The parser's message without the place, which is reported apart, and without advice for programmers.
fn bare_message(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    message.split_once(", set DuplicateKeyPolicy").map_or(message, |(message, _)| message).to_owned()
}

/// `1e3` and `1.0` are floats here and integers for kubectl, whose numbers pass through Go's JSON encoding.
pub(crate) fn integral_floats_to_integers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
                // 2^53: a larger float stands for several integers.
                if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
                    *value = Value::Number(Number::from(float as i64));
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(integral_floats_to_integers),
        Value::Object(members) => members.values_mut().for_each(integral_floats_to_integers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of kubectl's parser (sigs.k8s.io/yaml 1.6.0).
    #[test]
    fn scalars_mean_what_they_mean_to_kubectl() {
        for (scalar, expected) in [
            ("yes", "true"),
            ("no", "false"),
            ("on", "true"),
            ("off", "false"),
            ("true", "true"),
            ("y", "true"),
            ("n", "false"),
            ("~", "null"),
            ("null", "null"),
            ("1_000", "1000"),
            ("0x1F", "31"),
            ("0644", "420"),
            ("0o17", "15"),
            ("08", "8"),
            ("1e3", "1000"),
            ("1.0", "1"),
            ("0.5", "0.5"),
            ("-3", "-3"),
            ("1.30", "1.3"),
            ("0b11", "3"),
            ("+5", "5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0o644", "420"),
            ("-0644", "-420"),
            ("\"0644\"", "\"0644\""),
            ("'yes'", "\"yes\""),
            ("100m", "\"100m\""),
            ("1Gi", "\"1Gi\""),
            ("30080", "30080"),
            ("2026-11-23", "\"2026-11-23\""),
            ("12:30:45", "\"12:30:45\""),
            ("!!binary aGVsbG8=", "\"hello\""),
            ("!!str 5", "\"5\""),
        ] {
            let value = read(&format!("key: {scalar}\n")).unwrap_or_else(|error| panic!("{scalar}: {error:?}"));
            assert_eq!(value["key"].to_string(), expected, "{scalar}");
        }
    }

    #[test]
    fn keys_are_strings_whatever_they_look_like() {
        let value = read("data:\n  1: a\n  true: b\n  \"x\": c\n").unwrap();
        let keys: Vec<&str> = value["data"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["1", "true", "x"]);
    }

    #[test]
    fn anchors_and_merges_are_expanded() {
        let value = read("base: &base {a: 1}\nuse:\n  <<: *base\n  b: 2\n").unwrap();
        assert_eq!(value["use"], serde_json::json!({"a": 1, "b": 2}));
    }

    #[test]
    fn an_empty_document_is_null() {
        for text in ["", "# only a comment\n", "---\n", "---\n# comment\n"] {
            assert_eq!(read(text), Ok(Value::Null), "{text:?}");
        }
    }

    #[test]
    fn a_mistake_has_its_place() {
        let mistake = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        insta::assert_snapshot!(format!("{}:{}: {}", mistake.line, mistake.column, mistake.message), @"3:2: illegal placement of ':' indicator");
        let mistake = read("a: 1\na: 2\n").unwrap_err();
        insta::assert_snapshot!(format!("{}:{}: {}", mistake.line, mistake.column, mistake.message), @"2:1: duplicate mapping key: a");
    }

    #[test]
    fn items_have_their_lines() {
        assert_eq!(lines_of_items("kind: List\nitems:\n- a: 1\n\n- a: 2\n  b: 3\n"), [3, 5]);
        assert_eq!(lines_of_items("kind: List\nitems: {}\n"), Vec::<u64>::new());
    }

    #[test]
    fn awkward_strings_are_read_back_as_written() {
        for text in [
            "",
            " ",
            "yes",
            "on",
            "null",
            "~",
            "0644",
            "1e3",
            "1_000",
            "-",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "'",
            "\"",
            "\\",
            "\n",
            "a\nb",
            "a\nb\n",
            "a\n\nb\n\n",
            "\ta",
            "a\t",
            " a",
            "a ",
            "@a",
            "`a",
            "%a",
            "!a",
            "&a",
            "*a",
            "|",
            ">",
            "{a}",
            "[a]",
            ",",
            "?",
            "? a",
            ":",
            "::",
            "---",
            "...",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "é",
            "🦀",
            "\0",
            "\r",
            "a\r\nb",
            "\u{1b}[0m",
            "0x1F",
            "2026-11-23",
            "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJlRENDQVIrZ0F3SUJBZ0lCQURBS0JnZ3Foa2pPUFFRREFqQWtNU0l3SUFZRFZRUUREQmxyTTNNdGMyVnlkbVZ5TFdOaFFERTNNREF3TURBd01EQXdIaGNO",
        ] {
            let value = serde_json::json!({"key": text, "list": [text]});
            assert_eq!(read(&write(&value)), Ok(value), "{text:?}");
        }
    }
}
