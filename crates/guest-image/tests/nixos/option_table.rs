//! Reads `options.tsv`, the options of NixOS that the guest may set, and checks values against their types.

use std::fmt::Write;

use serde_json::Value;

/// Matches any attribute name.
const ANY: &str = "<name>";

/// An option of the table.
struct Declared {
    path: Vec<&'static str>,
    kind: &'static str,
}

fn declared() -> Vec<Declared> {
    let lines = include_str!("options.tsv").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            let [name, kind, file] = columns[..] else { panic!("three columns: {line}") };
            assert!(file.starts_with("nixos/") && file.ends_with(".nix"), "{line}");
            Declared { path: name.split('.').collect(), kind }
        })
        .collect()
}

/// A definition. Without a type if the table has no such option.
struct Set<'a> {
    path: Vec<&'a str>,
    kind: Option<&'static str>,
    value: &'a Value,
}

/// The definitions of a configuration as lines `option = value`.
///
/// # Errors
/// A line for each definition without an option or of another type.
pub(crate) fn lines(definitions: &Value) -> Result<String, String> {
    let (mut text, mut mistakes) = (String::new(), String::new());
    for Set { path, kind, value } in set(&declared(), &[], definitions) {
        let name = path.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(".");
        let _ = match kind {
            None => writeln!(mistakes, "{name} is not in the table of options"),
            Some(kind) if !fits(kind, unwrapped(value)) => writeln!(mistakes, "{name} = {value}: not of type {kind}"),
            Some(_) => writeln!(text, "{name} = {value}"),
        };
    }
    if mistakes.is_empty() { Ok(text) } else { Err(mistakes) }
}

/// The options of the table that `definitions` does not set.
pub(crate) fn unused(definitions: &Value) -> Vec<String> {
    let table = declared();
    let used = set(&table, &[], definitions);
    let is_used = |option: &Declared| used.iter().any(|set| matches(&option.path, &set.path));
    table.iter().filter(|option| !is_used(option)).map(|option| option.path.join(".")).collect()
}

/// The definitions in `value` at `path`.
fn set<'a>(table: &[Declared], path: &[&'a str], value: &'a Value) -> Vec<Set<'a>> {
    let kind = table.iter().find(|option| matches(&option.path, path)).map(|option| option.kind);
    match value {
        Value::Object(attributes) if kind.is_none() => {
            attributes.iter().flat_map(|(name, value)| set(table, &[path, &[name.as_str()]].concat(), value)).collect()
        }
        _ => vec![Set { path: path.to_vec(), kind, value }],
    }
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(wanted, name)| *wanted == ANY || wanted == name)
}

fn quoted(name: &str) -> String {
    let plain = name.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character));
    if plain { name.to_owned() } else { format!("{name:?}") }
}

/// The value without `mkDefault` or `mkForce`.
fn unwrapped(value: &Value) -> &Value {
    value.get("mkDefault").or_else(|| value.get("mkForce")).unwrap_or(value)
}

fn fits(kind: &str, value: &Value) -> bool {
    let (outer, inner) = kind.split_once(' ').unwrap_or((kind, ""));
    match outer {
        "bool" => value.is_boolean(),
        "int" => value.is_i64(),
        "str" => value.is_string(),
        "path" => value.as_str().is_some_and(|text| text.starts_with("guest/")),
        "attrs" => value.is_object(),
        "package" => value.get("version").is_some() || value.get("command").is_some(),
        "enum" => value.as_str().is_some_and(|text| inner.split(' ').any(|word| word == text)),
        "listOf" => value.as_array().is_some_and(|list| list.iter().all(|value| fits(inner, value))),
        _ => panic!("options.tsv has the type {kind}, which this test does not know"),
    }
}

#[test]
fn unknown_options_and_values_of_another_type_are_errors() {
    let definitions = serde_json::json!({
        "services": { "k3s": { "enable": true, "rol": "server", "role": "master" } },
        "fileSystems": { "/": { "options": "noatime" } },
        "security": { "pam": { "services": { "sshd": { "startSession": { "mkForce": 0 } } } } },
    });
    insta::assert_snapshot!(lines(&definitions).unwrap_err(), @r#"
    services.k3s.rol is not in the table of options
    services.k3s.role = "master": not of type enum server agent
    fileSystems."/".options = "noatime": not of type listOf str
    security.pam.services.sshd.startSession = {"mkForce":0}: not of type bool
    "#);
}

#[test]
fn the_table_is_sorted_and_names_no_option_twice() {
    let names: Vec<String> = declared().iter().map(|option| option.path.join(".")).collect();
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(names, sorted);
}
