//! `.k3s-vm/k3s.lock`: the release of a requested version or channel and the digests of its files, the same for
//! everybody who works on the project.

use std::collections::BTreeMap;
use std::path::Path;

use host::digest::Sha256;
use host::files::{self, Mode};
use model::config::k3s::is_release;
use model::{Error, ErrorClass, Result};
use serde::Deserialize;

use super::published::{self, Release};

/// The version of the file format.
const VERSION: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    requested: String,
    release: String,
    sha256: BTreeMap<String, String>,
}

/// Reads the release from the lock file at `path`. None if there is no file or if it was written for another request.
///
/// # Errors
/// A Config error if the file cannot be parsed, since the release must not be guessed.
pub(super) fn read(path: &Path, requested: &str) -> Result<Option<Release>> {
    let Some(text) = files::read_text_optional(path)? else { return Ok(None) };
    let unusable = |why: String| {
        let shown = path.display();
        Error::new(ErrorClass::Config, format!("{shown} cannot be used"))
            .because(why.trim_end())
            .next(format!("rm {}    # the next start writes a new one", host::command::quote(path.as_os_str())))
            .next("or restore the one in your version control")
    };
    let document: Document = toml::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    if document.version != VERSION {
        return Err(unusable(format!("it has version {}, this k3s-vm reads version {VERSION}", document.version)));
    }
    if document.requested != requested {
        return Ok(None);
    }
    if !is_release(&document.release) {
        return Err(unusable(format!("{:?} is not a release", document.release)));
    }
    let digest = |name: &str| {
        let text = document.sha256.get(name).ok_or_else(|| unusable(format!("it has no digest of {name}")))?;
        Sha256::parse(text).ok_or_else(|| unusable(format!("{text:?} is not a SHA-256")))
    };
    let (program, images) = (digest(published::PROGRAM)?, digest(published::IMAGES)?);
    Ok(Some(Release { version: document.release.clone(), program, images }))
}

/// Writes the lock file.
pub(super) fn write(path: &Path, requested: &str, release: &Release) -> Result<()> {
    files::write_atomic(path, render(requested, release).as_bytes(), Mode::Keep)
}

fn render(requested: &str, release: &Release) -> String {
    format!(
        "# Written by k3s-vm: the K3s release of this project. Commit it, and everybody gets the same; delete it, and the\n\
         # next start looks for a newer one.\n\
         version = {VERSION}\n\
         requested = \"{requested}\"\n\
         release = \"{}\"\n\
         \n\
         [sha256]\n\
         \"{}\" = \"{}\"\n\
         \"{}\" = \"{}\"\n",
        release.version,
        published::PROGRAM,
        release.program,
        published::IMAGES,
        release.images,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> Release {
        Release { version: "v1.33.5+k3s1".to_owned(), program: Sha256::of(b"k3s"), images: Sha256::of(b"images") }
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k3s.lock");
        assert_eq!(read(&path, "stable").unwrap(), None);
        write(&path, "stable", &release()).unwrap();
        assert_eq!(read(&path, "stable").unwrap(), Some(release()));
        assert_eq!(read(&path, "v1.33").unwrap(), None, "another request has no release yet");
        insta::assert_snapshot!(render("stable", &release()), @r#"
        # Written by k3s-vm: the K3s release of this project. Commit it, and everybody gets the same; delete it, and the
        # next start looks for a newer one.
        version = 1
        requested = "stable"
        release = "v1.33.5+k3s1"

        [sha256]
        "k3s" = "86bd33ebf64e01aaafb7dab419436ac025d04abd933bbbb124ddb25c30b59dd7"
        "k3s-airgap-images-amd64.tar.zst" = "21b2eed1e328a2c62fe4c17d51188bdea73450f29956dc5c8c95429313ddd72c"
        "#);
    }

    #[test]
    fn a_file_that_cannot_be_parsed_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k3s.lock");
        let good = render("stable", &release());
        let mut told = Vec::new();
        for (from, to) in [
            ("version = 1", "version = 2"),
            ("v1.33.5+k3s1", "v1.33.5/../x"),
            ("\"k3s\" =", "\"other\" ="),
            (&release().images.to_string()[..60], "zz"),
            ("requested", "<<<<<<< HEAD\nrequested"),
        ] {
            std::fs::write(&path, good.replace(from, to)).unwrap();
            let error = read(&path, "stable").unwrap_err();
            assert_eq!(error.class(), ErrorClass::Config);
            assert!(error.what().ends_with("k3s.lock cannot be used") && error.next_steps()[0].starts_with("rm "));
            told.push(error.why().join("; "));
        }
        insta::assert_snapshot!(told.join("\n"), @r#"
        it has version 2, this k3s-vm reads version 1
        "v1.33.5/../x" is not a release
        it has no digest of k3s
        "zzd72c" is not a SHA-256
        TOML parse error at line 4, column 9
          |
        4 | <<<<<<< HEAD
          |         ^
        key with no value, expected `=`
        "#);
    }
}
