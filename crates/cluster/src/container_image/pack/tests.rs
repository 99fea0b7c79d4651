//! The archive has correct digests, is reproducible, and can be read by the reader of archives.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::container_image::archive::ImageArchive;

struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str, mode: u32| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("target/web", "program", 0o755);
        write("public/index.html", "<h1>", 0o640);
        write("public/css/a.css", "a {}", 0o644);
        write("other.html", "other", 0o600);
        for path in ["public", "public/css"] {
            let permissions = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(directory.path().join(path), permissions).unwrap();
        }
        std::os::unix::fs::symlink("index.html", directory.path().join("public/home.html")).unwrap();
        std::os::unix::fs::symlink("target/web", directory.path().join("web")).unwrap();
        Project { directory }
    }

    fn recipe(&self) -> ImageRecipe {
        let path = |name: &str| self.directory.path().join(name);
        ImageRecipe {
            name: ImageName::parse("local/web:dev").unwrap(),
            entrypoint: vec!["/app/web".to_owned()],
            files: BTreeMap::from([
                ("/app/web".to_owned(), path("web")),
                ("/app/public/".to_owned(), path("public")),
                ("/app/public/index.html".to_owned(), path("other.html")),
            ]),
            environment: vec!["PORT=80".to_owned()],
            architecture: "x86_64".to_owned(),
        }
    }

    fn pack(&self, name: &str) -> (PackedImage, Vec<u8>) {
        let destination = self.directory.path().join(name);
        let packed = self.recipe().pack(&destination).unwrap();
        let bytes = std::fs::read(&destination).unwrap();
        (packed, bytes)
    }
}

/// Path, kind, mode, owner, time and content of a tar's entries.
fn listing(tar: &[u8]) -> String {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let header = entry.header().clone();
        let mut content = String::new();
        if entry.size() < 20 {
            entry.read_to_string(&mut content).unwrap();
        }
        let link = header.link_name().unwrap().map(|link| format!(" -> {}", link.display())).unwrap_or_default();
        format!(
            "{:o} {}:{} {} {}{link} {content}\n",
            header.mode().unwrap(),
            header.uid().unwrap(),
            header.gid().unwrap(),
            header.mtime().unwrap(),
            entry.path().unwrap().display(),
        )
    });
    entries.collect()
}

fn blob(tar: &[u8], digest: &str) -> Vec<u8> {
    let wanted = format!("blobs/{}", digest.replacen(':', "/", 1));
    let mut archive = tar::Archive::new(tar);
    let mut entry = archive
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(|entry| entry.path().unwrap().as_os_str() == wanted.as_str())
        .unwrap();
    let mut content = Vec::new();
    entry.read_to_end(&mut content).unwrap();
    assert_eq!(ImageDigest::of(&content).to_string(), digest);
    content
}

#[test]
fn the_layer_has_the_files_sorted_with_their_modes() {
    let (_, tar) = Project::new().pack("a.tar");
    let index: Value = serde_json::from_slice(&{
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut entry = archive.entries().unwrap().map(Result::unwrap).nth(1).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        content
    })
    .unwrap();
    let manifest: Value =
        serde_json::from_slice(&blob(&tar, index["manifests"][0]["digest"].as_str().unwrap())).unwrap();
    let config: Value = serde_json::from_slice(&blob(&tar, manifest["config"]["digest"].as_str().unwrap())).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], manifest["layers"][0]["digest"]);
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["config"], json!({"Entrypoint": ["/app/web"], "Env": ["PORT=80"], "WorkingDir": "/"}));
    let layer = blob(&tar, manifest["layers"][0]["digest"].as_str().unwrap());
    assert_eq!(manifest["layers"][0]["size"], layer.len());
    insta::assert_snapshot!(listing(&layer), @r#"
    755 0:0 0 app/ 
    755 0:0 0 app/public/ 
    755 0:0 0 app/public/css/ 
    644 0:0 0 app/public/css/a.css a {}
    777 0:0 0 app/public/home.html -> index.html 
    600 0:0 0 app/public/index.html other
    755 0:0 0 app/web program
    "#);
}

#[test]
fn it_is_reproducible_and_a_changed_file_changes_the_digest() {
    let project = Project::new();
    let (first, bytes) = project.pack("a.tar");
    std::fs::write(project.directory.path().join("target/web"), "program").unwrap();
    let (second, again) = project.pack("b.tar");
    assert_eq!(first.config_digest, second.config_digest);
    assert!(bytes == again, "the same files give the same bytes");
    std::fs::write(project.directory.path().join("target/web"), "Program").unwrap();
    assert_ne!(project.pack("c.tar").0.config_digest, first.config_digest);
}

#[test]
fn the_reader_of_archives_reads_it() {
    let project = Project::new();
    let (packed, _) = project.pack("a.tar");
    let archive = ImageArchive::open(&packed.path, None).unwrap();
    assert_eq!(archive.images()[0].names, [ImageName::parse("local/web:dev").unwrap()]);
    assert_eq!(archive.images()[0].config_digest, Some(packed.config_digest));
}

#[test]
fn mistakes_are_named_and_leave_nothing_behind() {
    let project = Project::new();
    let mut messages = String::new();
    let destination = project.directory.path().join("out/a.tar");
    let without = |change: &dyn Fn(&mut ImageRecipe)| {
        let mut recipe = project.recipe();
        change(&mut recipe);
        recipe.pack(&destination).unwrap_err().to_string().replace(&project.directory.path().display().to_string(), "…")
    };
    let name = |path: &'static str| {
        move |recipe: &mut ImageRecipe| {
            recipe.files.insert(path.to_owned(), "/etc/passwd".into());
        }
    };
    for message in [
        without(&|recipe| recipe.entrypoint.clear()),
        without(&|recipe| recipe.architecture = "sparc".to_owned()),
        without(&|recipe| {
            recipe.files.insert("/gone".to_owned(), project.directory.path().join("gone"));
        }),
        without(&name("app")),
        without(&name("/")),
        without(&name("/a/../b")),
        without(&name("/a//b")),
    ] {
        messages += &format!("{message}\n");
    }
    insta::assert_snapshot!(messages, @r#"
    the image docker.io/local/web:dev has no entrypoint
    cannot make the image docker.io/local/web:dev: no architecture of container images is known for sparc
    cannot make the image docker.io/local/web:dev: cannot read …/gone: No such file or directory (os error 2)
    cannot make the image docker.io/local/web:dev: `app` is no path of a file in an image: it must begin with a slash and have neither `.`, `..` nor empty parts
    cannot make the image docker.io/local/web:dev: `/` is no path of a file in an image: it must begin with a slash and have neither `.`, `..` nor empty parts
    cannot make the image docker.io/local/web:dev: `/a/../b` is no path of a file in an image: it must begin with a slash and have neither `.`, `..` nor empty parts
    cannot make the image docker.io/local/web:dev: `/a//b` is no path of a file in an image: it must begin with a slash and have neither `.`, `..` nor empty parts
    "#);
    assert_eq!(std::fs::read_dir(project.directory.path().join("out")).unwrap().count(), 0);
}
