//! The sources of values, by precedence: flag, variable, file, `.env`, default.

use std::fmt;

use serde::Serialize;

use super::key::{self, KEYS, Key};
use super::nearest;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "where", rename_all = "kebab-case")]
pub enum Origin {
    /// A flag, as typed: `--api-port`.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A place in the configuration file: `.k3s-vm/config.toml:7`.
    File(String),
    /// A variable of a `.env` file, with the file's name.
    DotEnv(String),
    /// The default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => write!(f, "{flag}"),
            Origin::Variable(name) => write!(f, "{name}"),
            Origin::File(place) => write!(f, "{place}"),
            Origin::DotEnv(file) => write!(f, "{WEB_PORT} in {file}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// The variable of `.env` with the web application's port.
pub const WEB_PORT: &str = "WEB_PORT";

/// A value as text, before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// A value with its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sourced {
    /// The source.
    pub(super) origin: Origin,
    /// The value.
    pub(super) raw: Raw,
}

/// A flag that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as typed: `--api-port`, or `--set`.
    pub shown: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// The sources that override the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The flags; the last one of a key wins.
    pub flags: Vec<Flag>,
    /// Environment variables that begin with [`key::VARIABLE_PREFIX`], without those that are no keys of the
    /// configuration.
    pub variables: Vec<(String, String)>,
}

impl Overrides {
    /// The value of a key from a flag or a variable.
    pub(super) fn get(&self, key: &Key) -> Option<Sourced> {
        if let Some(flag) = self.flags.iter().rev().find(|flag| flag.key == key.name) {
            return Some(sourced(Origin::Flag(flag.shown.clone()), key, &flag.value));
        }
        let variable = key.variable();
        // An empty variable is how CI systems say "not set".
        let (_, value) = self.variables.iter().find(|(name, value)| *name == variable && !value.is_empty())?;
        Some(sourced(Origin::Variable(variable), key, value))
    }

    /// Messages for flags and variables that name no key.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let flags = self.flags.iter().filter(|flag| key::find(&flag.key).is_none()).map(|flag| {
            let known = match key::current_name(&flag.key) {
                Some(key) => format!("; it is written {key}"),
                None => nearest::hint(&flag.key, KEYS.iter().map(|key| key.name)),
            };
            format!("{} {}={}: there is no such key{known}", flag.shown, flag.key, flag.value)
        });
        let names: Vec<String> = KEYS.iter().map(Key::variable).collect();
        let variables = self.variables.iter().filter(|(name, _)| !names.contains(name)).map(|(name, _)| {
            let known = match key::current_variable(name) {
                Some(now) => format!("; it is {now} now"),
                None => nearest::hint(name, names.iter().map(String::as_str)),
            };
            format!("{name} is set: there is no such variable{known}")
        });
        flags.chain(variables).collect()
    }
}

/// The default of a key.
pub(super) fn default(key: &Key) -> Option<Sourced> {
    key.default.map(|text| sourced(Origin::Default, key, text))
}

fn sourced(origin: Origin, key: &Key, text: &str) -> Sourced {
    let raw = match key.kind {
        key::Kind::List => {
            Raw::List(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        _ => Raw::Text(text.to_owned()),
    };
    Sourced { origin, raw }
}
