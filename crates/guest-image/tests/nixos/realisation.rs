//! Tests that Nix builds the guest image's derivation. Builder, structured attributes and discarded references are
//! real; NixOS is replaced by a stand-in.

use std::path::Path;
use std::process::Command;

use model::guest_image::{GuestImageManifest, file};
use model::paths::CachePaths;

use crate::nix::{program, repository};

/// A store of Nix in a temporary directory.
struct Store {
    directory: tempfile::TempDir,
}

impl Store {
    fn create() -> Self {
        Store { directory: tempfile::Builder::new().prefix("k3s-vm-store-").tempdir().expect("a directory") }
    }

    /// Runs a program of Nix with this store and returns its output without the last line feed.
    fn run(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program(name));
        for (variable, place) in [("STORE", "store"), ("STATE", "state"), ("LOG", "log"), ("CONF", "conf")] {
            command.env(format!("NIX_{variable}_DIR"), self.directory.path().join(place));
        }
        let config = "build-users-group =\nsandbox = false\nsubstitute = false\nbuild-hook =\n";
        command.env_remove("NIX_REMOTE").env("NIX_CONFIG", config).args(arguments);
        let output = command.output().expect("Nix: `cargo xtask nix` fetches one");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

impl Drop for Store {
    /// Nix makes its store read-only.
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(self.directory.path()).status();
    }
}

#[test]
#[ignore = "needs Nix (cargo xtask nix), mke2fs, fakeroot and qemu-img"]
fn nix_realises_a_directory_that_is_a_guest_image_and_refers_to_nothing() {
    let store = Store::create();
    let expression = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nixos/realise.nix").display().to_string();
    let guest = repository().join("guest").display().to_string();
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").expect("PATH"));
    let link = store.directory.path().join("result").display().to_string();
    let arguments = [&expression, "--argstr", "guest", &guest, "--argstr", "path", &path, "--out-link", &link];
    let built = store.run("nix-build", &arguments);

    assert_eq!(store.run("nix-store", &["--query", "--references", &built]), "");
    let cache = CachePaths::new(store.directory.path().join("cache"));
    let image = guest_image::open(Path::new(&link), &cache).expect("a guest image");
    let GuestImageManifest { provider, virtual_size, kernel_command_line, .. } = image.manifest;
    assert_eq!((provider.as_str(), virtual_size), ("nix", 4096 << 20));
    let init = kernel_command_line.split(' ').next().and_then(|word| word.strip_prefix("init=")).expect("init=");
    assert!(init.ends_with("-nixos-system/init") && Path::new(init).exists(), "{kernel_command_line}");
    assert_eq!(std::fs::read_to_string(Path::new(&link).join(file::KERNEL)).expect("a kernel"), "kernel\n");
    for name in [file::KERNEL, file::INITRD, file::ROOT_DISK, file::MANIFEST] {
        let metadata = std::fs::symlink_metadata(Path::new(&built).join(name)).expect(name);
        assert!(metadata.is_file(), "{name} is no file of its own");
    }
}
