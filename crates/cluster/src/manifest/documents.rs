//! Splits a file of manifests into documents, each with the line on which it begins.
//!
//! Pure. As for kubectl, a `.json` file and a text that begins with `{` are a stream of JSON values; any other text is
//! YAML, split at lines of `---` so that a mistake in one document does not hide those of the others.

use serde_json::Value;
use serde_json::value::RawValue;

use super::strict_json::StrictJson;
use crate::yaml::{self, SyntaxMistake};

/// One document of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    /// Its content, null where it is empty.
    pub(crate) value: Value,
    /// The first line that has more than a comment, from 1.
    pub(crate) line: u64,
    /// The lines of the members of `items`.
    pub(crate) item_lines: Vec<u64>,
}

/// All documents of `text`, the content of `file`; each is read, or has a mistake of its own.
pub(crate) fn documents(file: &str, text: &str) -> Vec<Result<Document, SyntaxMistake>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if file.ends_with(".json") {
        // A truncated JSON file is often valid YAML, and an interrupted save leaves an empty file.
        return match json_documents(text) {
            documents if documents.is_empty() => {
                vec![Err(SyntaxMistake { line: 1, column: 1, message: "the file is empty".to_owned() })]
            }
            documents => documents,
        };
    }
    if text.trim_start().starts_with('{') {
        let documents = json_documents(text);
        // A YAML document may begin with a brace as well (`{a: 1}`).
        if documents.iter().any(Result::is_err)
            && let read @ [Ok(_), ..] = &yaml_documents(text)[..]
            && read.iter().all(Result::is_ok)
        {
            return read.to_vec();
        }
        return documents;
    }
    yaml_documents(text)
}

fn json_documents(text: &str) -> Vec<Result<Document, SyntaxMistake>> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<&RawValue>()
        .map(|raw| {
            let raw = raw.map_err(|error| json_mistake(&error))?;
            let line = line_of(text, raw.get());
            let StrictJson(mut value) = serde_json::from_str(raw.get()).map_err(|error| {
                let mistake = json_mistake(&error);
                SyntaxMistake { line: line - 1 + mistake.line, ..mistake }
            })?;
            yaml::integral_floats_to_integers(&mut value);
            Ok(Document { value, line, item_lines: json_item_lines(text, raw.get()) })
        })
        .collect()
}

fn json_item_lines(text: &str, document: &str) -> Vec<u64> {
    #[derive(serde::Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        items: Vec<&'a RawValue>,
    }
    serde_json::from_str::<List<'_>>(document)
        .map(|list| list.items.iter().map(|item| line_of(text, item.get())).collect())
        .unwrap_or_default()
}

/// The line of `part`, which is a slice of `text`.
fn line_of(text: &str, part: &str) -> u64 {
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    1 + text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() as u64
}

fn json_mistake(error: &serde_json::Error) -> SyntaxMistake {
    let message = error.to_string();
    // The place is reported apart from the message.
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned();
    SyntaxMistake { line: error.line().max(1) as u64, column: error.column().max(1) as u64, message }
}

fn yaml_documents(text: &str) -> Vec<Result<Document, SyntaxMistake>> {
    split_yaml(text)
        .into_iter()
        .map(|(before, part)| match yaml::read(part) {
            Ok(value) => {
                let item_lines = yaml::lines_of_items(part).into_iter().map(|line| before + line).collect();
                Ok(Document { value, line: before + first_line_of_content(part), item_lines })
            }
            Err(mistake) => Err(SyntaxMistake { line: before + mistake.line, ..mistake }),
        })
        .collect()
}

/// The parts of `text` that begin with a line of `---`, each with the number of lines before it. YAML allows `---` at
/// the beginning of a line nowhere else (YAML 1.2.2, 9.1.2), not even in quoted or block scalars.
fn split_yaml(text: &str) -> Vec<(u64, &str)> {
    let mut parts = Vec::new();
    let (mut start, mut lines_before, mut offset, mut line) = (0, 0, 0, 0);
    for content in text.split_inclusive('\n') {
        let marker = content
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if marker && offset > start {
            parts.push((lines_before, &text[start..offset]));
            (start, lines_before) = (offset, line);
        }
        offset += content.len();
        line += 1;
    }
    parts.push((lines_before, &text[start..]));
    // A part that has only directives and comments is no document.
    parts.retain(|(_, part)| part.lines().any(|line| !line.trim().is_empty() && !line.starts_with(['#', '%'])));
    parts
}

fn first_line_of_content(part: &str) -> u64 {
    let is_content = |line: &str| {
        let line = line.strip_prefix("---").unwrap_or(line).trim_start();
        !line.is_empty() && !line.starts_with('#')
    };
    part.lines().position(is_content).map_or(1, |index| index as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<u64> {
        documents("a.yaml", text).into_iter().map(|document| document.unwrap().line).collect()
    }

    #[test]
    fn documents_begin_where_their_content_begins() {
        for (text, expected) in [
            ("a: 1\n", &[1][..]),
            ("---\na: 1\n---\n# comment\nb: 2\n", &[2, 5]),
            ("# head\n%YAML 1.2\n---\na: 1\n", &[4]),
            ("--- {a: 1}\n--- # note\nb: 2", &[1, 3]),
            ("---\r\na: 1\r\n---\r\nb: 2\r\n", &[2, 4]),
            ("a: |\n  ---\n  x\n", &[1]),
            ("a: ---x\n", &[1]),
            ("{\"a\":1}\n{\"b\":2}\n\n{\"c\":3}", &[1, 2, 4]),
            ("{a: 1}\n---\n{b: 2}\n", &[1, 3]),
            ("\u{feff}a: 1\n", &[1]),
        ] {
            assert_eq!(lines(text), expected, "{text:?}");
        }
    }

    #[test]
    fn items_have_lines_in_json_and_in_later_yaml_documents() {
        let json = "{\n \"kind\": \"List\",\n \"items\": [\n  {\"a\": 1},\n  {\n   \"a\": 2}\n ]\n}";
        assert_eq!(documents("a.yaml", json)[0].as_ref().unwrap().item_lines, [4, 5]);
        let yaml = "a: 1\n---\nkind: List\nitems:\n- a: 1\n- a: 2\n";
        assert_eq!(documents("a.yaml", yaml)[1].as_ref().unwrap().item_lines, [5, 6]);
    }

    #[test]
    fn a_key_that_comes_twice_is_a_mistake_in_both_formats() {
        for (text, line) in [("{\"a\": 1}\n{\"a\": 1,\n\"a\": 2}", 3), ("a: 1\n---\na: 1\na: 2\n", 4)] {
            let read = documents("a.yaml", text);
            let mistake = read[1].as_ref().unwrap_err();
            assert_eq!((mistake.message.as_str(), mistake.line), ("duplicate mapping key: a", line), "{text}");
        }
    }

    #[test]
    fn a_mistake_does_not_hide_the_next_document() {
        let read = documents("a.yaml", "a: [\n---\nb: 2\n---\nc: }\n");
        let places: Vec<_> = read.iter().map(|one| one.as_ref().map(|d| d.line).map_err(|e| e.line)).collect();
        assert_eq!(places[1], Ok(3));
        assert!(matches!(places[0], Err(1..=3)), "{places:?}");
        assert_eq!(places[2], Err(5));
    }
}
