//! Steps of the main job: hostile archives of container images are refused, and nothing of them gets into the guest.

use std::path::{Path, PathBuf};
use std::process::Command;

use host::digest::Sha256;
use serde_json::Value;

use crate::project::ExampleProject;
use crate::steps::Steps;

/// A digest that would run as a command if it were pasted into a script.
const ATTACK: &str = "sha256:'; touch /root/pwned; '";

/// Runs the steps; `archive` is one of the project's own images, in the OCI layout.
pub fn run(steps: &mut Steps, project: &ExampleProject, archive: &Path) {
    steps.run("an_archive_whose_digest_is_a_piece_of_a_script_ran_as_root_in_the_guest", || {
        let evil = Unpacked::of(archive);
        let mut manifest = evil.manifest();
        manifest["config"]["digest"] = ATTACK.into();
        evil.name_manifest(&serde_json::to_vec(&manifest).expect("JSON"));
        refused(project, &evil.pack(), "is no digest");
    });
    steps.run("a_layer_that_does_not_match_its_digest_is_refused", || {
        let evil = Unpacked::of(archive);
        let digest = evil.manifest()["layers"][0]["digest"].as_str().expect("a digest").replacen(':', "/", 1);
        let layer = evil.path(&format!("blobs/{digest}"));
        let mut content = std::fs::read(&layer).expect("the layer");
        let last = content.len() / 2;
        content[last] ^= 1;
        std::fs::write(&layer, content).expect("another layer");
        evil.name_manifest(&std::fs::read(evil.manifest_path()).expect("the manifest"));
        refused(project, &evil.pack(), "is not what it should be");
    });
}

/// `load` refuses the archive, and the guest is unchanged.
fn refused(project: &ExampleProject, archive: &Path, why: &str) {
    let guest = "ls -A /root /var/lib/k3s-vm/imported-images; PATH=$PATH:/usr/local/bin; ctr -n k8s.io images ls -q";
    let before = project.ok(&["ssh", "--", guest]);
    let (code, stderr) = project.code_and_stderr(&["load", &archive.display().to_string()]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(why), "{stderr}");
    let after = project.ok(&["ssh", "--", guest]);
    assert_eq!(after, before);
    assert!(!after.contains("pwned") && !after.contains("evil"), "{after}");
}

/// An unpacked archive, to be changed and packed again.
struct Unpacked {
    directory: tempfile::TempDir,
}

impl Unpacked {
    fn of(archive: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let content = directory.path().join("content");
        std::fs::create_dir(&content).expect("a directory");
        tar(&["-xf", &archive.display().to_string(), "-C", &content.display().to_string()]);
        Unpacked { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("content").join(name)
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("index.json")).expect("an index")).expect("JSON")
    }

    fn manifest_path(&self) -> PathBuf {
        let index = self.index();
        let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
        self.path(&format!("blobs/{}", digest.replacen(':', "/", 1)))
    }

    fn manifest(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.manifest_path()).expect("a manifest")).expect("JSON")
    }

    /// Makes the index name this manifest, and the image a name that the guest does not have.
    fn name_manifest(&self, manifest: &[u8]) {
        let digest = Sha256::of(manifest);
        std::fs::write(self.path(&format!("blobs/sha256/{digest}")), manifest).expect("the manifest");
        let mut index = self.index();
        let descriptor = &mut index["manifests"][0];
        descriptor["digest"] = format!("sha256:{digest}").into();
        descriptor["size"] = manifest.len().into();
        descriptor["annotations"] = serde_json::json!({"io.containerd.image.name": "local/evil:1"});
        std::fs::write(self.path("index.json"), index.to_string()).expect("the index");
    }

    fn pack(&self) -> PathBuf {
        let archive = self.directory.path().join("evil.tar");
        tar(&["-cf", &archive.display().to_string(), "-C", &self.path("").display().to_string(), "."]);
        archive
    }
}

fn tar(arguments: &[&str]) {
    let status = Command::new("tar").args(arguments).status().expect("tar");
    assert!(status.success(), "tar {arguments:?} ended with {status}");
}
