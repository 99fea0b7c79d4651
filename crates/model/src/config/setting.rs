//! Every key with its value and its origin, for `config show`.

use serde::Serialize;

use super::key::{IMAGES, Key};
use super::reader::Reader;
use super::source::{Origin, Raw};
use super::values::ContainerImage;

/// A key with its value and origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The name of the key.
    pub key: String,
    /// Its value: a text, a list of texts, or none.
    pub value: SettingValue,
    /// The source of the value.
    pub origin: Origin,
}

/// A value as written at its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// No value.
    None,
    /// A text.
    One(String),
    /// A list of texts.
    List(Vec<String>),
}

/// All keys in the order of the table, then the names of the container images.
pub(super) fn all(reader: &Reader<'_>, keys: &[Key]) -> Vec<Setting> {
    let mut settings: Vec<Setting> = keys
        .iter()
        .map(|key| {
            let (value, origin) = match reader.sourced(key) {
                None => (SettingValue::None, Origin::Default),
                Some(sourced) => match sourced.raw {
                    Raw::Text(text) => (SettingValue::One(text), sourced.origin),
                    Raw::List(texts) => (SettingValue::List(texts), sourced.origin),
                },
            };
            Setting { key: key.name.to_owned(), value, origin }
        })
        .collect();
    let (origin, images): (Origin, &[ContainerImage]) = match &reader.document.images {
        Some((origin, images)) => (origin.clone(), images),
        None => (Origin::Default, &[]),
    };
    let names = images.iter().map(|image| image.name.clone()).collect();
    settings.push(Setting { key: IMAGES.to_owned(), value: SettingValue::List(names), origin });
    settings
}
