//! Converts values of the TOML file to texts, if they have the type that their key requires.

use toml::Spanned;
use toml::de::DeValue;

use super::key::{self, Key, Kind};
use super::source::Raw;

/// Mistakes with their positions in bytes, by which they are sorted.
pub(super) type Mistakes = Vec<(usize, String)>;

/// The message for a value of the wrong type, with the right spelling if it is known.
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

/// The value as text, if it has the type of `kind`.
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

/// The texts of a list, if all its values are strings.
pub(super) fn texts(value: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    value.get_ref().as_array()?.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect()
}
