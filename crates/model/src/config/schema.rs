//! The JSON Schema of `.k3s-vm/config.toml`, for editors (Draft 2020-12).

use serde_json::{Map, Value, json};

use super::key::{IMAGES, KEYS, Key, Kind};
use crate::bind_address::BindAddress;

/// The JSON Schema of the configuration file.
pub fn schema() -> Value {
    let mut properties = Map::new();
    for key in KEYS {
        match key.name.split_once('.') {
            None => {
                properties.insert(key.name.to_owned(), property(key));
            }
            Some((section, name)) => {
                let section = properties.entry(section).or_insert_with(|| object(Map::new()));
                section["properties"][name] = property(key);
            }
        }
    }
    properties.insert(IMAGES.to_owned(), images());
    let mut schema = object(properties);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("k3s-vm: .k3s-vm/config.toml");
    schema
}

fn object(properties: Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(key: &Key) -> Value {
    let mut property = match key.kind {
        Kind::Port => json!({ "type": "integer", "minimum": 1, "maximum": 65535 }),
        Kind::Count(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Size(_) => json!({ "type": "string", "pattern": "^\\s*[0-9.]+\\s*[kKmMgGtT][iI]?[bB]?\\s*$" }),
        Kind::Duration => json!({ "type": "string", "pattern": "[0-9]+\\s*[a-z]+" }),
        Kind::Address => json!({ "type": "string", "format": "ipv4", "pattern": BindAddress::PATTERN }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::List => json!({ "type": "array", "items": { "type": "string" } }),
    };
    property["description"] = json!(format!("{} (variable {})", key.about, key.variable()));
    if let Some(text) = key.default {
        property["default"] = default(key.kind, text);
    }
    property
}

/// A default as a TOML value.
fn default(kind: Kind, text: &str) -> Value {
    match kind {
        Kind::Port | Kind::Count(..) => text.parse::<u32>().map_or(Value::Null, Value::from),
        Kind::Switch => json!(text == "true"),
        Kind::List => json!(text.split(',').filter(|part| !part.is_empty()).collect::<Vec<_>>()),
        Kind::Size(_) | Kind::Duration | Kind::Address | Kind::Choice(_) | Kind::Text => json!(text),
    }
}

fn images() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    json!({
        "type": "array",
        "description": "Container images that are loaded before the manifests are applied",
        "items": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name"],
            "dependentRequired": { "sources": ["build"] },
            "oneOf": [{ "required": ["archive"] }, { "required": ["files", "entrypoint"] }],
            "properties": {
                "name": text("The image's name as manifests use it, for example local/web:dev"),
                "build": text("A shell command that makes the archive or the files; it runs in the project's directory"),
                "sources": {
                    "type": "array",
                    "description": "All files and directories that build depends on: while they are unchanged, build does not run; !PATH excludes one",
                    "items": { "type": "string" }
                },
                "archive": text("A docker or OCI archive, relative to the project"),
                "files": {
                    "type": "object",
                    "description": "Path in the image -> file or directory of the project",
                    "minProperties": 1,
                    "additionalProperties": { "type": "string" }
                },
                "entrypoint": {
                    "type": "array",
                    "description": "The program of an image made of files",
                    "minItems": 1,
                    "items": { "type": "string" }
                }
            }
        }
    })
}
