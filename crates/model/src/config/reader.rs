//! Reads the values of keys from all sources and collects the mistakes, so that the user sees all of them at once.
//!
//! It knows kinds of values, not what they are for.

use std::time::Duration;

use super::document::Document;
use super::key::{self, KEYS, Key, Kind};
use super::source::{self, Origin, Overrides, Raw, Sourced, WEB_PORT};
use crate::bind_address::BindAddress;
use crate::port::Port;
use crate::{Error, ErrorClass, Result};

const MIB: u64 = 1024 * 1024;

/// All sources, and the mistakes found so far.
pub(super) struct Reader<'a> {
    pub(super) overrides: &'a Overrides,
    pub(super) document: &'a Document,
    /// The value of `WEB_PORT` and the name of its file.
    pub(super) web_port: Option<(&'a str, &'a str)>,
    pub(super) mistakes: Vec<String>,
}

impl Reader<'_> {
    /// The value of a key, from the source that takes precedence.
    pub(super) fn sourced(&self, key: &Key) -> Option<Sourced> {
        let dot_env = || {
            let (text, file) = self.web_port.filter(|_| key.name == "ports.web")?;
            Some(Sourced { origin: Origin::DotEnv(file.to_owned()), raw: Raw::Text(text.to_owned()) })
        };
        self.overrides.get(key).or_else(|| self.document.get(key)).or_else(dot_env).or_else(|| source::default(key))
    }

    /// The name of a key in messages: that of the variable if the value comes from `.env`.
    pub(super) fn label(&self, name: &str) -> String {
        match find(name).and_then(|key| self.sourced(key)).map(|sourced| sourced.origin) {
            Some(Origin::DotEnv(_)) => WEB_PORT.to_owned(),
            _ => name.to_owned(),
        }
    }

    /// Whether no source has a value for a key.
    pub(super) fn is_unset(&self, name: &str) -> bool {
        find(name).is_none_or(|key| self.sourced(key).is_none())
    }

    pub(super) fn port(&mut self, name: &str) -> Option<Port> {
        self.parse(name, |text| Port::parse(text).ok_or_else(|| "not a port (1 to 65535)".to_owned()))
    }

    pub(super) fn count(&mut self, name: &str) -> Option<u32> {
        let (low, high) = match find(name).map(|key| key.kind) {
            Some(Kind::Count(low, high)) => (low, high),
            _ => (0, u32::MAX),
        };
        self.parse(name, |text| {
            let number = text.trim().parse().ok().filter(|number| (low..=high).contains(number));
            number.ok_or_else(|| match low == high {
                true => format!("must be {low}"),
                false => format!("must be a number from {low} to {high}"),
            })
        })
    }

    pub(super) fn size(&mut self, name: &str) -> Option<u64> {
        let least = match find(name).map(|key| key.kind) {
            Some(Kind::Size(least)) => least,
            _ => 0,
        };
        self.parse(name, |text| {
            let size =
                text.parse::<bytesize::ByteSize>().map_err(|_| "not a size such as \"4GiB\"".to_owned())?.as_u64();
            match size {
                _ if size < least => Err(format!("at least {} is needed", bytesize::ByteSize(least))),
                _ if size % MIB != 0 => Err("must be a whole number of MiB".to_owned()),
                _ => Ok(size),
            }
        })
    }

    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        self.parse(name, |text| match humantime::parse_duration(text) {
            // Only a lock can be requested without waiting.
            Ok(duration) if duration.is_zero() && name != "timeouts.lock" => Err("must be more than zero".to_owned()),
            Ok(duration) => Ok(duration),
            Err(_) => Err("not a duration such as \"90s\" or \"15m\"".to_owned()),
        })
    }

    pub(super) fn address(&mut self, name: &str) -> Option<BindAddress> {
        self.parse(name, BindAddress::parse)
    }

    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.parse(name, |text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            text => Err(match key::switch_word(text) {
                Some(switch) => format!("must be true or false: write {switch}"),
                None => "must be true or false".to_owned(),
            }),
        })
    }

    /// One of `choices`, which have the order of the key's words.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[T]) -> Option<T> {
        let words = match find(name).map(|key| key.kind) {
            Some(Kind::Choice(words)) => words,
            _ => &[],
        };
        self.parse(name, |text| {
            let place = words.iter().position(|word| *word == text).ok_or_else(|| {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("must be one of {}", quoted.join(", "))
            })?;
            choices.get(place).copied().ok_or_else(|| "is not known to this version".to_owned())
        })
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.parse(name, |text| match text {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        })
    }

    pub(super) fn list(&mut self, name: &str) -> Vec<String> {
        match find(name).and_then(|key| self.sourced(key)).map(|sourced| sourced.raw) {
            Some(Raw::List(texts)) => texts,
            Some(Raw::Text(_)) | None => Vec::new(),
        }
    }

    /// Reads each text of a list with `parse`.
    pub(super) fn parse_list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(Sourced { origin, .. }) = find(name).and_then(|key| self.sourced(key)) else { return Vec::new() };
        let mut values = Vec::new();
        for text in self.list(name) {
            match parse(&text) {
                Ok(value) => values.push(value),
                Err(why) => self.mistakes.push(mistake(name, &origin, &text, &why)),
            }
        }
        values
    }

    /// Reads the text of a key with `parse`.
    pub(super) fn parse<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let Sourced { origin, raw: Raw::Text(text) } = self.sourced(find(name)?)? else { return None };
        match parse(&text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.mistakes.push(mistake(name, &origin, &text, &why));
                None
            }
        }
    }

    /// Returns the value, or the error with all mistakes.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T> {
        let count = self.mistakes.len();
        let headline = match count {
            1 => "the configuration has a mistake".to_owned(),
            _ => format!("the configuration has {count} mistakes"),
        };
        match value {
            Some(value) if count == 0 => Ok(value),
            _ => {
                let error = Error::new(ErrorClass::Config, headline);
                let error = self.mistakes.into_iter().fold(error, Error::because);
                Err(error.next("correct it where it stands, then run the command again"))
            }
        }
    }
}

/// The key `name`, which is in the table unless there is a bug.
fn find(name: &str) -> Option<&'static Key> {
    let key = key::find(name);
    debug_assert!(key.is_some(), "{name} is none of the {} keys", KEYS.len());
    key
}

/// The message for an invalid value, which shows it as it is written at its origin.
fn mistake(name: &str, origin: &Origin, text: &str, why: &str) -> String {
    let quoted = match find(name).map(|key| key.kind) {
        Some(Kind::Port | Kind::Count(..) | Kind::Switch) => text.to_owned(),
        _ => format!("\"{text}\""),
    };
    match origin {
        Origin::Flag(flag) if flag == "--set" => format!("--set {name}={text}: {why}"),
        Origin::Flag(flag) => format!("{flag} {text}: {why}"),
        Origin::Variable(variable) => format!("{variable}={text}: {why}"),
        Origin::File(place) => format!("{place}: {name} = {quoted}: {why}"),
        Origin::DotEnv(file) => format!("{WEB_PORT}={text} in {file}: {why}"),
        Origin::Default => format!("the default of {name}, {quoted}: {why}"),
    }
}
