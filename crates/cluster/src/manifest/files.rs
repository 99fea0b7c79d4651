//! The files of manifests: which are read, and in which order. [`super::parse`] parses them.

use std::path::Path;

use model::{Error, ErrorClass, Result};

use super::text::ManifestText;

/// The file that is applied before all others.
pub const BASE: &str = "base.json";

/// The directory of manifests unless the configuration names others.
const DEFAULT: &str = ".k3s-vm/manifests";

const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// Reads the files of `directory` (`.json`, `.yaml`, `.yml`; not in subdirectories; hidden files are skipped):
/// `base.json` first, the others by name. A missing directory has no files. `shown` is the directory's name in
/// messages, usually relative to the project.
///
/// # Errors
/// A Config error that names the file that cannot be read.
pub fn read(directory: &Path, shown: &str) -> Result<Vec<ManifestText>> {
    let unreadable = |error: std::io::Error| {
        Error::new(ErrorClass::Config, format!("cannot read the directory {shown}")).because(error)
    };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        if let Ok(name) = entry.file_name().into_string()
            && is_manifest(&name)
            && !entry.path().is_dir()
        {
            names.push(name);
        }
    }
    names.sort_by(|one, other| (one != BASE, one).cmp(&(other != BASE, other)));
    names
        .into_iter()
        .map(|name| {
            let shown = format!("{}/{name}", shown.trim_end_matches('/'));
            read_file(&directory.join(&name), &shown)
        })
        .collect()
}

/// The texts of all `paths`, each a file or a directory relative to `root`, in their order. The default directory may
/// be missing; paths that the user named must exist.
///
/// # Errors
/// A Config error for a path that does not exist, and as [`read`].
pub fn read_all(root: &Path, paths: &[String]) -> Result<Vec<ManifestText>> {
    let mut texts = Vec::new();
    for shown in paths {
        let path = root.join(shown);
        if path.is_file() {
            texts.push(read_file(&path, shown)?);
        } else if path.is_dir() || shown == DEFAULT {
            texts.extend(read(&path, shown)?);
        } else {
            return Err(Error::new(ErrorClass::Config, format!("there are no manifests at {shown}"))
                .because("`manifests` of the configuration names it, and it does not exist")
                .next("correct `manifests` in .k3s-vm/config.toml"));
        }
    }
    Ok(texts)
}

fn read_file(path: &Path, shown: &str) -> Result<ManifestText> {
    let cannot = |why: &str| Error::new(ErrorClass::Config, format!("cannot read {shown}")).because(why);
    let bytes = host::files::read_optional(path)
        .map_err(|error| cannot(error.why().first().map_or(error.what(), String::as_str)))?
        .ok_or_else(|| cannot("there is no such file"))?;
    let text = String::from_utf8(bytes).map_err(|error| not_utf8(shown, error))?;
    Ok(ManifestText { file: shown.to_owned(), text })
}

fn is_manifest(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    !name.starts_with('.') && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}

fn not_utf8(shown: &str, error: std::string::FromUtf8Error) -> Error {
    let valid = error.utf8_error().valid_up_to();
    let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
    Error::new(ErrorClass::Config, format!("cannot read {shown}")).because(format!("line {line} is not valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{self, ManifestObject};

    fn read_objects(root: &Path, paths: &[String]) -> Result<Vec<ManifestObject>> {
        manifest::parse(&read_all(root, paths)?)
    }

    #[test]
    fn base_is_first_the_rest_by_name_and_other_files_are_ignored() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "base.json", "aa.json", ".hidden.yaml", "notes.txt", "b.yaml~", "base.yaml"] {
            std::fs::write(directory.path().join(name), "# nothing\n").unwrap();
        }
        std::fs::create_dir(directory.path().join("directory.yaml")).unwrap();
        let files: Vec<String> =
            read(directory.path(), "manifests/").unwrap().into_iter().map(|manifest| manifest.file).collect();
        assert_eq!(
            files,
            ["manifests/base.json", "manifests/a.yml", "manifests/aa.json", "manifests/b.yaml", "manifests/base.yaml"]
        );
    }

    #[test]
    fn no_directory_and_an_empty_file_have_no_objects() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(read_objects(directory.path(), &[DEFAULT.to_owned()]), Ok(Vec::new()));
        std::fs::write(directory.path().join("a.yaml"), "").unwrap();
        assert_eq!(read_objects(directory.path(), &["a.yaml".to_owned()]), Ok(Vec::new()));
        assert_eq!(read_objects(directory.path(), &[".".to_owned()]), Ok(Vec::new()));
    }

    #[test]
    fn files_and_directories_are_read_in_the_order_of_the_configuration() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("deploy")).unwrap();
        for name in ["z.yaml", "deploy/a.yaml"] {
            let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: n{}}}\n", name.len());
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let paths = ["z.yaml".to_owned(), "deploy".to_owned()];
        let names: Vec<String> =
            read_objects(directory.path(), &paths).unwrap().iter().map(|object| object.name().to_owned()).collect();
        assert_eq!(names, ["n6", "n13"]);
        let missing = read_objects(directory.path(), &["gone".to_owned()]).unwrap_err().to_string();
        insta::assert_snapshot!(missing, @"there are no manifests at gone: `manifests` of the configuration names it, and it does not exist");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), b"a: 1\nb: \xff\n").unwrap();
        insta::assert_snapshot!(read(directory.path(), "manifests").unwrap_err().to_string(), @"cannot read manifests/a.yaml: line 2 is not valid UTF-8");
        std::fs::write(directory.path().join("a.yaml"), "").unwrap();
        std::os::unix::fs::symlink("gone", directory.path().join("b.yaml")).unwrap();
        insta::assert_snapshot!(read(directory.path(), "manifests").unwrap_err().to_string(), @"cannot read manifests/b.yaml: there is no such file");
    }
}
