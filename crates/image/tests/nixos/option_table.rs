//! `options.tsv`: the options of NixOS that the guest sets, and whether what it sets is of their types.

use std::fmt::Write;

use serde_json::Value;

/// What stands for any attribute's name.
const ANY: &str = "<name>";

/// An option.
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

/// The definitions of a configuration as lines `option = value`; what is no option or not of its type is told instead.
pub(crate) fn lines(definitions: &Value) -> Result<String, String> {
    let (table, mut text, mut mistakes) = (declared(), String::new(), String::new());
    walk(&table, &mut Vec::new(), definitions, &mut |path, kind, value| {
        let name = path.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(".");
        let _ = match kind {
            None => writeln!(mistakes, "{name} is not in the table of options"),
            Some(kind) if !fits(kind, unwrapped(value)) => writeln!(mistakes, "{name} = {value}: not of type {kind}"),
            Some(_) => writeln!(text, "{name} = {value}"),
        };
    });
    if mistakes.is_empty() { Ok(text) } else { Err(mistakes) }
}

/// The options of the table that `definitions` does not set.
pub(crate) fn unused(definitions: &Value) -> Vec<String> {
    let table = declared();
    let mut used = Vec::new();
    walk(&table, &mut Vec::new(), definitions, &mut |path, _, _| used.push(path.to_vec()));
    let is_used = |option: &Declared| used.iter().any(|path| matches(&option.path, path));
    table.iter().filter(|option| !is_used(option)).map(|option| option.path.join(".")).collect()
}

/// Calls `visit` for every option that is set, and for what is set without being one.
fn walk(
    table: &[Declared],
    path: &mut Vec<String>,
    value: &Value,
    visit: &mut dyn FnMut(&[String], Option<&'static str>, &Value),
) {
    if let Some(option) = table.iter().find(|option| matches(&option.path, path)) {
        visit(path, Some(option.kind), value);
    } else if let Value::Object(attributes) = value {
        for (name, value) in attributes {
            path.push(name.clone());
            walk(table, path, value, visit);
            path.pop();
        }
    } else {
        visit(path, None, value);
    }
}

fn matches(pattern: &[&str], path: &[String]) -> bool {
    pattern.len() == path.len() && pattern.iter().zip(path).all(|(wanted, name)| *wanted == ANY || wanted == name)
}

fn quoted(name: &str) -> String {
    let plain = name.chars().all(|character| character.is_ascii_alphanumeric() || "_-".contains(character));
    if plain { name.to_owned() } else { format!("{name:?}") }
}

/// The value without its priority.
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
fn what_is_no_option_and_what_is_of_another_type_is_told() {
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
