//! Names of images that were built more than once from the same inputs: `KEY`, then `KEY.2`, `KEY.3` and so on.
//!
//! A finished image is never replaced: disks of instances, running ones too, name it by its path and are unreadable
//! without the very bytes that they were made on.

use std::path::Path;

use host::io_fault::at_path;
use model::Result;

/// The name of the newest finished image of `key`.
pub(crate) fn newest(images: &Path, key: &str) -> Result<Option<String>> {
    Ok(last(images, key)?.map(|generation| name(key, generation)))
}

/// The name of the next one.
pub(crate) fn next(images: &Path, key: &str) -> Result<String> {
    Ok(name(key, last(images, key)?.unwrap_or(0) + 1))
}

fn name(key: &str, generation: u32) -> String {
    if generation == 1 { key.to_owned() } else { format!("{key}.{generation}") }
}

fn last(images: &Path, key: &str) -> Result<Option<u32>> {
    let entries = match std::fs::read_dir(images) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at_path("read the folder", images, &error)),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter_map(|name| generation(&name, key)).max())
}

fn generation(name: &str, key: &str) -> Option<u32> {
    match name.strip_prefix(key)? {
        "" => Some(1),
        rest => rest.strip_prefix('.')?.parse().ok().filter(|number| *number > 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_finished_one_counts_and_the_next_gets_a_name_of_its_own() {
        let images = tempfile::tempdir().unwrap();
        let names = || {
            let (newest, next) = (newest(images.path(), "k").unwrap(), next(images.path(), "k").unwrap());
            format!("{} then {next}", newest.as_deref().unwrap_or("none"))
        };
        assert_eq!(names(), "none then k");
        for (made, expected) in [
            ("other", "none then k"),
            ("k.partial", "none then k"),
            ("k", "k then k.2"),
            ("k.2.partial", "k then k.2"),
            ("k.2", "k.2 then k.3"),
            ("k.10", "k.10 then k.11"),
            ("kk.20", "k.10 then k.11"),
        ] {
            std::fs::create_dir(images.path().join(made)).unwrap();
            assert_eq!(names(), expected, "after {made}");
        }
        assert_eq!(newest(&images.path().join("missing"), "k").unwrap(), None);
    }
}
