//! Reads `[[images]]`, the container images of a project.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::nearest;
use super::toml_value::{Mistakes, texts};
use super::values::{BuildSources, ContainerImage, ContainerImageSource};

const KEYS: [&str; 6] = ["name", "build", "sources", "archive", "files", "entrypoint"];

/// Reads the list and adds its mistakes to `mistakes`.
pub(super) fn read(list: &Spanned<DeValue<'_>>, mistakes: &mut Mistakes) -> Vec<ContainerImage> {
    let Some(entries) = list.get_ref().as_array() else {
        mistakes.push((list.span().start, "images is a list: [[images]]".to_owned()));
        return Vec::new();
    };
    let mut images = Vec::new();
    for entry in entries.iter() {
        match entry.get_ref().as_table() {
            Some(table) => images.extend(Reader { mistakes }.image(entry.span().start, table)),
            None => mistakes.push((entry.span().start, "an entry of images is a section: [[images]]".to_owned())),
        }
    }
    images
}

struct Reader<'a> {
    mistakes: &'a mut Mistakes,
}

impl Reader<'_> {
    fn image(&mut self, at: usize, table: &DeTable<'_>) -> Option<ContainerImage> {
        for name in table.keys().filter(|name| !KEYS.contains(&name.get_ref().as_ref())) {
            let known = nearest::hint(name.get_ref(), KEYS.into_iter());
            let mistake = format!("images.{}: there is no such key{known}", name.get_ref());
            self.mistakes.push((name.span().start, mistake));
        }
        let name = self.text(table, "name");
        let build = self.text(table, "build");
        let sources =
            self.typed(table, "sources", "a list of strings", texts).map(BuildSources::new).unwrap_or_default();
        let archive = self.text(table, "archive");
        let entrypoint = self.typed(table, "entrypoint", "a list of strings", texts);
        let files = self.typed(table, "files", "a table of strings", file_table).unwrap_or_default();
        let Some(name) = name else {
            if !table.contains_key("name") {
                self.mistakes.push((at, "an entry of images needs name".to_owned()));
            }
            return None;
        };
        let source = match (archive, files.is_empty()) {
            (Some(archive), true) => ContainerImageSource::Archive(archive),
            (None, false) => match entrypoint.filter(|words| !words.is_empty()) {
                Some(entrypoint) => ContainerImageSource::Files { files, entrypoint },
                None => {
                    self.mistakes.push((at, format!("image {name}: an image made of files needs entrypoint")));
                    return None;
                }
            },
            (Some(_), false) | (None, true) => {
                self.mistakes.push((at, format!("image {name}: needs either archive or files")));
                return None;
            }
        };
        if sources != BuildSources::default() && build.is_none() {
            self.mistakes.push((at, format!("image {name}: sources has no effect without build")));
            return None;
        }
        Some(ContainerImage { name, build, sources, source })
    }

    fn text(&mut self, table: &DeTable<'_>, key: &str) -> Option<String> {
        self.typed(table, key, "a string in quotes", |value| value.get_ref().as_str().map(str::to_owned))
    }

    fn typed<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        what: &str,
        read: impl Fn(&Spanned<DeValue<'_>>) -> Option<T>,
    ) -> Option<T> {
        let value = table.get(key)?;
        let read = read(value);
        if read.is_none() {
            self.mistakes.push((value.span().start, format!("images.{key} must be {what}")));
        }
        read
    }
}

fn file_table(value: &Spanned<DeValue<'_>>) -> Option<BTreeMap<String, String>> {
    let entries = value.get_ref().as_table()?.iter();
    entries.map(|(path, file)| Some((path.get_ref().to_string(), file.get_ref().as_str()?.to_owned()))).collect()
}
