//! Edits the text of `.k3s-vm/config.toml`, preserving its comments and its layout.
//!
//! Pure: the caller reads and writes the file, and has checked before that the text is a valid configuration.

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::port_forward::PortForward;
use crate::{Error, ErrorClass, Result};

/// Returns the text with the list `ports.forwards` changed by `change`.
///
/// # Errors
/// A Config error if the text is not TOML, or `ports` or the list has another type.
pub fn change_forwards(text: &str, change: impl FnOnce(&mut Vec<PortForward>)) -> Result<String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Error::new(ErrorClass::Config, "the configuration cannot be changed").because(error.message())
    })?;
    let empty = text.is_empty();
    let ports = document.entry("ports").or_insert_with(|| {
        let mut table = Table::new();
        if !empty {
            table.decor_mut().set_prefix("\n");
        }
        Item::Table(table)
    });
    let unknown = || Error::new(ErrorClass::Config, "ports.forwards in .k3s-vm/config.toml is not a list");
    let ports = ports.as_table_like_mut().ok_or_else(unknown)?;
    let list = ports.entry("forwards").or_insert_with(|| Item::Value(Value::Array(Array::new())));
    let list = list.as_array_mut().ok_or_else(unknown)?;
    let read = |value: &Value| value.as_str().and_then(|text| PortForward::parse(text).ok());
    let before: Vec<PortForward> = list.iter().filter_map(read).collect();
    let mut after = before.clone();
    change(&mut after);
    list.retain(|value| read(value).is_none_or(|forward| after.contains(&forward)));
    for forward in after.iter().filter(|forward| !before.contains(forward)) {
        // If each entry has a line of its own, so does the new one. A comment after the last entry stays with it.
        let before_last = list.iter().last().and_then(|last| last.decor().prefix()?.as_str());
        let indent = before_last.and_then(|prefix| prefix.rsplit_once('\n')).map(|(_, indent)| indent.to_owned());
        match indent {
            Some(indent) => {
                let trailing = list.trailing().as_str().unwrap_or_default().to_owned();
                let (comment, end) = trailing.rsplit_once('\n').unwrap_or(("", ""));
                list.push_formatted(Value::from(forward.to_string()).decorated(format!("{comment}\n{indent}"), ""));
                list.set_trailing(format!("\n{end}"));
            }
            None => list.push(forward.to_string()),
        }
    }
    if list.is_empty() && !before.is_empty() {
        ports.remove("forwards");
    }
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(text: &str, forward: &str) -> String {
        change_forwards(text, |forwards| forwards.push(PortForward::parse(forward).unwrap())).unwrap()
    }

    fn remove(text: &str, forward: &str) -> String {
        let forward = PortForward::parse(forward).unwrap();
        change_forwards(text, |forwards| forwards.retain(|one| *one != forward)).unwrap()
    }

    #[test]
    fn a_forward_is_added_and_removed_and_the_rest_stays() {
        for (before, after) in [
            ("", "[ports]\nforwards = [\"8080:80\"]\n"),
            (
                "# mine\n\n[vm] # small\ncpus = 1\n",
                "# mine\n\n[vm] # small\ncpus = 1\n\n[ports]\nforwards = [\"8080:80\"]\n",
            ),
            (
                "[ports] # all\napi=7443 # API\n\n[vm]\ncpus = 1\n",
                "[ports] # all\napi=7443 # API\nforwards = [\"8080:80\"]\n\n[vm]\ncpus = 1\n",
            ),
            (
                "ports.api = 7443\n[vm]\ncpus = 1\n",
                "ports.api = 7443\nports.forwards = [\"8080:80\"]\n[vm]\ncpus = 1\n",
            ),
            ("ports = { api = 7443 }\n", "ports = { api = 7443 , forwards = [\"8080:80\"] }\n"),
        ] {
            assert_eq!(add(before, "8080:80"), after);
            let again = remove(after, "8080:80");
            assert!(!again.contains("forwards"), "{again}");
            assert_eq!(again.matches('#').count(), before.matches('#').count());
        }
    }

    #[test]
    fn other_forwards_keep_their_comments_and_lines() {
        let text = "[ports]\nforwards = [\n    # the database\n    \"5432:30432\",\n    \"9090:30090\", # metrics\n]\n";
        let more = add(text, "8080:80");
        assert_eq!(
            more,
            "[ports]\nforwards = [\n    # the database\n    \"5432:30432\",\n    \"9090:30090\", # metrics\n    \"8080:80\",\n]\n"
        );
        assert_eq!(add(&more, "8080:80"), more, "it is there already");
        assert_eq!(add("ports.forwards = [\"1:2\"]\n", "3"), "ports.forwards = [\"1:2\", \"3\"]\n");
        assert_eq!(remove("ports.forwards = [\"1:2\", \"3:4\"] # two\n", "3:4"), "ports.forwards = [\"1:2\"] # two\n");
    }

    #[test]
    fn a_value_that_is_not_a_list_is_an_error() {
        assert_eq!(change_forwards("ports = 1", |_| ()).unwrap_err().class(), ErrorClass::Config);
        assert_eq!(change_forwards("[[[", |_| ()).unwrap_err().class(), ErrorClass::Config);
    }
}
