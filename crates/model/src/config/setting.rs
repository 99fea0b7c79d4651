//! Every key with its value and its origin, for whoever wants to see them.

use serde::Serialize;

use super::key::{IMAGES, Key};
use super::reader::Reader;
use super::source::{Origin, Raw};
use super::values::ContainerImage;

/// A key as it came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The name of the key.
    pub key: String,
    /// Its value as text or a list of texts; null where it has none.
    pub value: SettingValue,
    /// Where the value stands.
    pub origin: Origin,
}

/// A value as it stands at its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum SettingValue {
    /// No value.
    None,
    /// One text.
    One(String),
    /// Several.
    List(Vec<String>),
}

/// All keys in the order of the table, then the container images by their names.
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
