//! A fake Nix: it records its calls, prints what the test says, and makes an image.
//!
//! It is a shell script with the name of Nix's program; files beside it say what it does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Files beside it: `version` has the output of `--version`; `stderr` and `code` have the output and the exit code of a
/// build; with `hangs` a build creates `begun` and never ends. The image is `store/image`.
const SCRIPT: &str = r#"#!/bin/sh
here=${0%/*}
printf '%s\n' "$*" >>"$here/calls"
if [ "$1" = --version ]; then cat "$here/version"; exit; fi
link=
while [ $# -gt 0 ]; do
    [ "$1" != --out-link ] || link=$2
    [ "$2" != settings ] || cp "$3" "$here/settings.json"
    [ "$2" != configuration ] || cp "$3" "$here/configuration.nix"
    shift
done
[ ! -e "$here/stderr" ] || cat "$here/stderr" >&2
if [ -e "$here/hangs" ]; then : >"$here/begun"; sleep 600 & wait; fi
code=$(cat "$here/code")
if [ "$code" = 0 ]; then
    ln -sfn "$here/store/image" "$link"
    printf '%s\n' "$here/store/image"
fi
exit "$code"
"#;

/// The header of an empty qcow2 image of 1 GiB (QEMU, docs/interop/qcow2).
fn empty_disk() -> Vec<u8> {
    let mut header = vec![0; 104];
    header[..4].copy_from_slice(b"QFI\xfb");
    for (place, number) in [(4, 3_u32), (20, 16), (96, 4), (100, 104)] {
        header[place..place + 4].copy_from_slice(&number.to_be_bytes());
    }
    header[24..32].copy_from_slice(&(1_u64 << 30).to_be_bytes());
    header
}

/// A fake Nix in a temporary directory.
#[derive(Debug)]
pub struct FakeNix(tempfile::TempDir);

impl FakeNix {
    /// A Nix of this version ("2.26.3"). Its builds succeed; the image has nearly empty files and this manifest.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn new(version: &str, manifest: &str) -> Self {
        let fake = FakeNix(tempfile::tempdir().expect("a directory"));
        fake.write("version", &format!("nix-build (Nix) {version}\n"));
        fake.write("code", "0");
        fs::create_dir_all(fake.directory().join("store/image")).expect("a directory");
        for (name, content) in Self::files() {
            fs::write(fake.directory().join("store/image").join(name), content).expect("a file of the image");
        }
        fake.write("store/image/manifest.json", manifest);
        // As in a Nix store.
        for entry in fs::read_dir(fake.directory().join("store/image")).expect("the image").flatten() {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o444)).expect("permissions");
        }
        fake.write("nix-build", SCRIPT);
        fs::set_permissions(fake.directory().join("nix-build"), fs::Permissions::from_mode(0o755))
            .expect("permissions");
        fake
    }

    /// The files of its image, whose digests a manifest has.
    pub fn files() -> [(&'static str, Vec<u8>); 3] {
        [("kernel", b"kernel".to_vec()), ("initrd", b"initrd".to_vec()), ("root.qcow2", empty_disk())]
    }

    /// The directory of its programs.
    pub fn directory(&self) -> &Path {
        self.0.path()
    }

    /// Makes builds print this on stderr and end with this exit code.
    pub fn says(&self, stderr: &str, code: i32) {
        self.write("stderr", stderr);
        self.write("code", &code.to_string());
    }

    /// Makes builds run until they are killed.
    pub fn hangs(&self) {
        self.write("hangs", "");
    }

    /// The file that a build creates before it hangs.
    pub fn begun(&self) -> PathBuf {
        self.directory().join("begun")
    }

    /// The arguments of each call, one line each.
    pub fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory().join("calls")).unwrap_or_default();
        text.lines().map(|line| line.replace(&self.directory().display().to_string(), "NIX")).collect()
    }

    /// An input of the last build: `settings.json` or `configuration.nix`.
    ///
    /// # Panics
    /// When it had none.
    pub fn given(&self, name: &str) -> String {
        fs::read_to_string(self.directory().join(name)).expect("a file that was given")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.directory().join(name), text).expect("a file of the fake");
    }
}
