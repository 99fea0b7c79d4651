//! Names of guest images that were built more than once from the same inputs: `KEY`, then `KEY.2`, `KEY.3` and so on.
//!
//! A finished guest image is never replaced: it is the backing file of instances' disks, which name it by its path and
//! cannot be read without exactly the same bytes.

use std::path::Path;

use host::io_error::at_path;
use model::guest_image::GuestImage;
use model::paths::CachePaths;
use model::{ErrorClass, EventSink, Result};

use crate::integrity;
use crate::manifest::read_image;

/// The name of the newest finished guest image of `key`.
pub(crate) fn newest(images: &Path, key: &str) -> Result<Option<String>> {
    Ok(last(images, key)?.map(|number| name(key, number)))
}

/// The newest finished guest image of `key`, if it is undamaged.
pub(crate) fn newest_undamaged(cache: &CachePaths, key: &str, events: &dyn EventSink) -> Result<Option<GuestImage>> {
    match newest(&cache.images(), key)? {
        None => Ok(None),
        Some(name) => match undamaged(cache, name) {
            Ok(image) => Ok(Some(image)),
            Err(why) => {
                events.debug(why);
                Ok(None)
            }
        },
    }
}

/// The name for a new guest image of `key`, if [`newest_undamaged`] has found none. A damaged one stays under its name,
/// since instances' disks may use it; a warning explains the build, which takes minutes.
pub(crate) fn unused(cache: &CachePaths, key: &str, events: &dyn EventSink) -> Result<String> {
    // If another process has built it in the meantime, the store finds it.
    match newest(&cache.images(), key)? {
        None => Ok(key.to_owned()),
        Some(name) => match undamaged(cache, name.clone()) {
            Ok(_) => Ok(name),
            Err(why) => {
                events.warning(format!("{why}; a new one is built beside it"));
                next(&cache.images(), key)
            }
        },
    }
}

fn undamaged(cache: &CachePaths, name: String) -> Result<GuestImage, String> {
    let directory = cache.images().join(&name);
    let image = read_image(&directory, name, ErrorClass::Failed).map_err(|error| error.to_string())?;
    integrity::check(&image, cache)
        .map_err(|why| format!("the guest image {} is damaged: {why}", directory.display()))?;
    Ok(image)
}

/// The name of the next guest image of `key`.
pub(crate) fn next(images: &Path, key: &str) -> Result<String> {
    Ok(name(key, last(images, key)?.unwrap_or(0) + 1))
}

fn name(key: &str, number: u32) -> String {
    if number == 1 { key.to_owned() } else { format!("{key}.{number}") }
}

fn last(images: &Path, key: &str) -> Result<Option<u32>> {
    let entries = match std::fs::read_dir(images) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at_path("read the directory", images, &error)),
    };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter_map(|name| number(&name, key)).max())
}

fn number(name: &str, key: &str) -> Option<u32> {
    match name.strip_prefix(key)? {
        "" => Some(1),
        rest => rest.strip_prefix('.')?.parse().ok().filter(|number| *number > 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_image_was_used_again_by_the_build_that_should_replace_it() {
        use model::guest_image::file;
        use testkit::RecordingSink;

        let directory = tempfile::tempdir().unwrap();
        let (cache, events) = (CachePaths::new(directory.path()), RecordingSink::default());
        let found = || newest_undamaged(&cache, "k", &events).unwrap().map(|image| image.fingerprint);
        let unused = || unused(&cache, "k", &events).unwrap();
        assert_eq!((found(), unused()), (None, "k".to_owned()));
        let make = |name: &str| {
            let image = cache.images().join(name);
            std::fs::create_dir_all(&image).unwrap();
            for name in file::DESCRIBED {
                std::fs::write(image.join(name), name).unwrap();
            }
            crate::manifest::write(&image, crate::manifest::example()).unwrap();
            image
        };
        let image = make("k");
        assert_eq!((found(), unused()), (Some("k".to_owned()), "k".to_owned()));
        std::fs::write(image.join(file::ROOT_DISK), "").unwrap();
        assert_eq!((found(), unused()), (None, "k.2".to_owned()));
        let warnings = events.warnings().join("\n").replace(directory.path().to_str().unwrap(), "CACHE");
        insta::assert_snapshot!(warnings, @"the guest image CACHE/images/k is damaged: root.qcow2 has 0 bytes instead of 10; a new one is built beside it");
        std::fs::remove_file(image.join(file::MANIFEST)).unwrap();
        assert_eq!((found(), unused()), (None, "k.2".to_owned()), "without a manifest");
        make("k.2");
        assert_eq!((found(), unused()), (Some("k.2".to_owned()), "k.2".to_owned()));
        assert!(image.join(file::ROOT_DISK).exists(), "disks may use it");
    }

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
