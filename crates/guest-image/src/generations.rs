//! Names of images that were built more than once from the same inputs: `KEY`, then `KEY.2`, `KEY.3` and so on.
//!
//! A finished image is never replaced: disks of instances, running ones too, name it by its path and are unreadable
//! without the very bytes that they were made on.

use std::path::Path;

use host::io_error::at_path;
use model::guest_image::GuestImage;
use model::paths::CachePaths;
use model::{ErrorClass, EventSink, Result};

use crate::manifest::read_image;
use crate::soundness;

/// The name of the newest finished image of `key`.
pub(crate) fn newest(images: &Path, key: &str) -> Result<Option<String>> {
    Ok(last(images, key)?.map(|generation| name(key, generation)))
}

/// The newest finished image of `key`, if it is whole.
pub(crate) fn newest_sound(cache: &CachePaths, key: &str, events: &dyn EventSink) -> Result<Option<GuestImage>> {
    match newest(&cache.images(), key)? {
        None => Ok(None),
        Some(name) => match sound(cache, name) {
            Ok(image) => Ok(Some(image)),
            Err(why) => {
                events.debug(why);
                Ok(None)
            }
        },
    }
}

/// The name for an image of `key` where [`newest_sound`] has found none. One that is damaged stays, and keeps its name:
/// disks of instances may lie on it. The user is told, since a build takes minutes.
pub(crate) fn unused(cache: &CachePaths, key: &str, events: &dyn EventSink) -> Result<String> {
    // Another process may have built it in the meantime, which the store finds by its lock.
    match newest(&cache.images(), key)? {
        None => Ok(key.to_owned()),
        Some(name) => match sound(cache, name.clone()) {
            Ok(_) => Ok(name),
            Err(why) => {
                events.warning(format!("{why}; it is built anew, beside it"));
                next(&cache.images(), key)
            }
        },
    }
}

fn sound(cache: &CachePaths, name: String) -> Result<GuestImage, String> {
    let directory = cache.images().join(&name);
    let image = read_image(&directory, name, ErrorClass::Failed).map_err(|error| error.to_string())?;
    soundness::check(&image, cache)
        .map_err(|why| format!("the guest image {} is damaged: {why}", directory.display()))?;
    Ok(image)
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
        Err(error) => return Err(at_path("read the directory", images, &error)),
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
    fn a_damaged_image_was_used_again_by_the_build_that_should_replace_it() {
        use model::guest_image::file;
        use testkit::RecordingSink;

        let directory = tempfile::tempdir().unwrap();
        let (cache, events) = (CachePaths::new(directory.path()), RecordingSink::default());
        let found = || newest_sound(&cache, "k", &events).unwrap().map(|image| image.fingerprint);
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
        insta::assert_snapshot!(warnings, @"the guest image CACHE/images/k is damaged: root.qcow2 has 0 bytes, built were 10; it is built anew, beside it");
        std::fs::remove_file(image.join(file::MANIFEST)).unwrap();
        assert_eq!((found(), unused()), (None, "k.2".to_owned()), "a manifest that is gone");
        make("k.2");
        assert_eq!((found(), unused()), (Some("k.2".to_owned()), "k.2".to_owned()));
        assert!(image.join(file::ROOT_DISK).exists(), "disks lie on it");
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
