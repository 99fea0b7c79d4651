//! Single values of the TOML file: as texts where they have the type of their key, else what is wrong with them.

use toml::Spanned;
use toml::de::DeValue;

use super::key::{self, Key, Kind};
use super::source::Raw;

/// Mistakes with the bytes at which they stand, to be told in the order of the file.
pub(super) type Mistakes = Vec<(usize, String)>;

/// What is wrong with a value of another type, and how it is written where that can be told.
pub(super) fn misfit(key: &Key, value: &Spanned<DeValue<'_>>) -> String {
    let mistake = format!("{} must be {}", key.name, key.kind.toml());
    match (key.kind, value.get_ref()) {
        (Kind::Switch, DeValue::String(text)) => match key::switch_word(text) {
            Some(switch) => format!("{mistake}: write {} = {switch}", key.name),
            None => mistake,
        },
        _ => mistake,
    }
}

/// The value as text, where it has the type of its kind.
pub(super) fn raw(kind: Kind, value: &Spanned<DeValue<'_>>) -> Option<Raw> {
    match (kind, value.get_ref()) {
        (Kind::Port | Kind::Count(..), DeValue::Integer(number)) => {
            let number = i128::from_str_radix(number.as_str(), number.radix()).ok()?;
            Some(Raw::Text(number.to_string()))
        }
        (Kind::Switch, DeValue::Boolean(switch)) => Some(Raw::Text(switch.to_string())),
        (Kind::List, DeValue::Array(_)) => texts(value).map(Raw::List),
        (Kind::Size(_) | Kind::Duration | Kind::Address | Kind::Choice(_) | Kind::Text, DeValue::String(text)) => {
            Some(Raw::Text(text.to_string()))
        }
        _ => None,
    }
}

/// The texts of a list that has nothing else.
pub(super) fn texts(value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    value.get_ref().as_array()?.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect()
}
