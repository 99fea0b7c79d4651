//! The sources of container images: one digest of all that their builds depend on, so that a build of unchanged sources is
//! skipped. The sources are what `sources` of `[[images]]` names; contents count, not times.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use host::digest::Sha256;
use host::io_error::at_path;
use model::config::ContainerImage;
use model::{Error, ErrorClass, Result};

/// Checks that each source exists, before anything is started.
///
/// # Errors
/// A Config error that names the missing ones.
pub(crate) fn check(root: &Path, images: &[ContainerImage]) -> Result<()> {
    let missing = images.iter().flat_map(|image| {
        let sources = image.sources.paths.iter().filter(|source| fs::symlink_metadata(root.join(source)).is_err());
        sources.map(move |source| format!("{}: {source}", image.name))
    });
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Config, "sources of [[images]] are not there")
        .because(missing.join("; "))
        .next("correct `sources` in .k3s-vm/config.toml; paths begin in the project's directory"))
}

/// The digest of all sources; `None` where the configuration does not name the sources of an image.
///
/// # Errors
/// An error that names the path.
pub(crate) fn digest(root: &Path, images: &[ContainerImage]) -> Result<Option<String>> {
    if images.iter().any(|image| image.sources.paths.is_empty()) {
        return Ok(None);
    }
    let mut text = String::new();
    for image in images {
        let _ = writeln!(text, "{image:?}");
        let without: Vec<_> = image.sources.without.iter().map(|path| root.join(path)).collect();
        for source in &image.sources.paths {
            add(&mut text, &root.join(source), &without)?;
        }
    }
    Ok(Some(Sha256::of(text.as_bytes()).to_string()))
}

/// Adds what is at `path` to `text`: for a file its content and whether it is executable, for a symlink its target, for a
/// directory its entries in order.
fn add(text: &mut String, path: &Path, without: &[PathBuf]) -> Result<()> {
    if without.iter().any(|left_out| left_out == path) {
        return Ok(());
    }
    let failed = |error| at_path("read", path, &error);
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        let _ = writeln!(text, "{path:?} directory");
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        entries.iter().try_for_each(|entry| add(text, entry, without))?;
    } else if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(failed)?;
        let _ = writeln!(text, "{path:?} link {}", Sha256::of(target.as_os_str().as_bytes()));
    } else if metadata.is_file() {
        let is_program = metadata.permissions().mode() & 0o100 != 0;
        let _ = writeln!(text, "{path:?} {is_program} {}", Sha256::of_file(path)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use model::config::{BuildSources, ContainerImageSource};

    use super::*;

    fn image(sources: &[&str]) -> ContainerImage {
        ContainerImage {
            name: "local/web:dev".to_owned(),
            build: Some("make".to_owned()),
            sources: BuildSources::new(sources.iter().map(|source| (*source).to_owned())),
            source: ContainerImageSource::Archive("web.tar".to_owned()),
        }
    }

    #[test]
    fn a_change_of_anything_that_a_build_could_see_changes_the_digest() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("web/deep")).unwrap();
        fs::write(root.join("web/deep/a"), "1").unwrap();
        symlink("deep/a", root.join("web/link")).unwrap();
        let images = [image(&["web"])];
        let mut seen = vec![digest(root, &images).unwrap().unwrap()];
        let mut changed = |what: &str, change: &dyn Fn()| {
            change();
            let now = digest(root, &images).unwrap().unwrap();
            assert!(!seen.contains(&now), "{what}");
            assert_eq!(digest(root, &images).unwrap().unwrap(), now, "the same twice");
            seen.push(now);
        };
        changed("content", &|| fs::write(root.join("web/deep/a"), "2").unwrap());
        changed("a new file", &|| fs::write(root.join("web/b"), "").unwrap());
        changed("a name", &|| fs::rename(root.join("web/b"), root.join("web/c")).unwrap());
        changed("a program", &|| fs::set_permissions(root.join("web/c"), fs::Permissions::from_mode(0o755)).unwrap());
        changed("a link", &|| {
            fs::remove_file(root.join("web/link")).unwrap();
            symlink("c", root.join("web/link")).unwrap();
        });
        changed("an empty directory", &|| fs::create_dir(root.join("web/empty")).unwrap());
        let other = [ContainerImage { build: Some("make all".to_owned()), ..image(&["web"]) }];
        assert!(!seen.contains(&digest(root, &other).unwrap().unwrap()), "the build");
    }

    #[test]
    fn excluded_files_may_change() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("web")).unwrap();
        fs::write(directory.path().join("web/.env"), "A=1").unwrap();
        let digest = |sources: &[&str]| digest(directory.path(), &[image(sources)]).unwrap();
        let (whole, without) = (digest(&["web"]), digest(&["web", "!web/.env"]));
        fs::write(directory.path().join("web/.env"), "A=2").unwrap();
        assert_ne!(digest(&["web"]), whole);
        assert_eq!(digest(&["web", "!web/.env"]), without);
    }

    #[test]
    fn a_file_that_was_only_touched_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a");
        fs::write(&file, "1").unwrap();
        let images = [image(&["a"])];
        let before = digest(directory.path(), &images).unwrap();
        fs::File::open(&file).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(digest(directory.path(), &images).unwrap(), before);
    }

    #[test]
    fn an_image_without_named_sources_may_always_change() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "1").unwrap();
        assert_eq!(digest(directory.path(), &[image(&["a"]), image(&[])]).unwrap(), None);
        assert!(digest(directory.path(), &[]).unwrap().is_some(), "no image cannot change");
    }

    #[test]
    fn all_missing_sources_are_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), "1").unwrap();
        check(directory.path(), &[image(&["a"])]).unwrap();
        let error = check(directory.path(), &[image(&["a", "b"]), image(&["c"])]).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Config);
        insta::assert_snapshot!(error, @"sources of [[images]] are not there: local/web:dev: b; local/web:dev: c");
        assert!(digest(directory.path(), &[image(&["b"])]).is_err());
    }
}
