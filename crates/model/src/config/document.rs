//! Parses `.k3s-vm/config.toml` into values with their lines, and reports mistakes of form.
//!
//! It knows the keys and the TOML types of their values, not which values are valid.

use toml::de::DeTable;

use super::key::{self, Key};
use super::source::{Origin, Sourced};
use super::toml_value::{Mistakes, misfit, raw};
use super::values::ContainerImage;
use super::{container_image, nearest};

/// The parsed file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Document {
    values: Vec<(&'static str, Sourced)>,
    /// The container images, and where the first one stands.
    pub(super) images: Option<(Origin, Vec<ContainerImage>)>,
    /// Mistakes of form: syntax, unknown keys, values of another type.
    pub(super) mistakes: Vec<String>,
}

impl Document {
    /// Parses `text`; `shown` is the file's name in messages.
    pub(super) fn parse(shown: &str, text: &str) -> Self {
        let place = Place { shown, text };
        let mut document = Document::default();
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            // The values of a file with syntax errors are guesswork.
            document.mistakes = errors
                .iter()
                .map(|error| {
                    format!("{}: {}", place.column(error.span().map_or(0, |span| span.start)), error.message())
                })
                .collect();
            return document;
        }
        let mut mistakes = Mistakes::new();
        document.section(&place, "", table.get_ref(), &mut mistakes);
        mistakes.sort_by_key(|(byte, _)| *byte);
        document.mistakes =
            mistakes.into_iter().map(|(byte, mistake)| format!("{}: {mistake}", place.line(byte))).collect();
        document
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &Key) -> Option<Sourced> {
        self.values.iter().find(|(name, _)| *name == key.name).map(|(_, value)| value.clone())
    }

    fn section(&mut self, place: &Place<'_>, section: &str, table: &DeTable<'_>, mistakes: &mut Mistakes) {
        for (name, value) in table {
            let path =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            let at = name.span().start;
            let origin = || Origin::File(place.line(at));
            if path == key::IMAGES {
                let images = container_image::read(value, mistakes);
                self.images = Some((origin(), images));
            } else if let Some(key) = key::find(&path) {
                match raw(key.kind, value) {
                    Some(raw) => self.values.push((key.name, Sourced { origin: origin(), raw })),
                    None => mistakes.push((at, misfit(key, value))),
                }
            } else if section.is_empty() && !key::names_in(&path).is_empty() {
                match value.get_ref().as_table() {
                    Some(table) => self.section(place, &path, table, mistakes),
                    None => mistakes.push((at, format!("{path} is a section: [{path}]"))),
                }
            } else {
                let known = match key::current_name(&path) {
                    Some(key) => format!("; it is written {key}"),
                    None => nearest::hint(name.get_ref(), key::names_in(section).into_iter()),
                };
                mistakes.push((at, format!("{path}: there is no such key{known}")));
            }
        }
    }
}

/// Formats places in the file for messages.
struct Place<'a> {
    shown: &'a str,
    text: &'a str,
}

impl Place<'_> {
    /// `FILE:LINE` of a byte.
    fn line(&self, byte: usize) -> String {
        format!("{}:{}", self.shown, self.before(byte).matches('\n').count() + 1)
    }

    /// `FILE:LINE:COLUMN` of a byte.
    fn column(&self, byte: usize) -> String {
        let before = self.before(byte);
        let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        format!("{}:{}", self.line(byte), before[begin..].chars().count() + 1)
    }

    fn before(&self, byte: usize) -> &str {
        self.text.get(..byte).unwrap_or(self.text)
    }
}
