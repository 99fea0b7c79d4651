//! The builder of NixOS images (`guest/nixos/build-image.sh`), run with Debian's tools on a Debian tree: the image is
//! complete and boots. NixOS itself is not tested.
//!
//! The steps share one directory and one VM and run in this order.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use k3s_vm_tests_vm::contract::{self, Points};
use k3s_vm_tests_vm::project::{ExampleProject, repository};
use k3s_vm_tests_vm::steps::{Steps, eventually};
use serde_json::Value;
use testkit::fake_k3s;

const PATIENCE: Duration = Duration::from_secs(300);
/// Another size than that of the image the tree is from.
const SIZE_MIB: u64 = 6144;

fn main() -> ExitCode {
    let directory = tempfile::Builder::new().prefix("k3s-vm-test-").tempdir().expect("a temporary directory");
    // For the user nobody.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
    let image = directory.path().join("the image");
    let project = ExampleProject::copy();
    let mut steps = Steps::default();
    steps.run("the_builder_needs_no_privileges", || build(directory.path(), &image));
    steps.run("the_filesystem_is_clean_and_has_its_full_size", || {
        let raw = directory.path().join("root.raw");
        ok(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(image.join("root.qcow2")).arg(&raw));
        ok(Command::new("e2fsck").arg("-fn").arg(&raw));
        let head = ok(Command::new("dumpe2fs").arg("-h").arg(&raw));
        let blocks = format!("Block count:              {}", SIZE_MIB * 256);
        for line in ["Filesystem volume name:   k3s-vm-root", &blocks, "Block size:               4096"] {
            assert!(head.lines().any(|found| found == line), "{line} is not among\n{head}");
        }
        fs::remove_file(raw).expect("the raw image can be removed");
    });
    steps.run("a_guest_starts_from_it", || {
        let text = format!("[image]\nprovider = \"prebuilt\"\ndirectory = '{}'\n", image.display());
        project.write(".k3s-vm/config.toml", &text);
        project.ok(&["start", "--no-wait"]);
        let status: Value = serde_json::from_str(&project.ok(&["status", "-o", "json"])).expect("JSON");
        assert_eq!(status["distribution"], format!("k3s {}", fake_k3s::VERSION));
        eventually("ssh", PATIENCE, || project.k3s_vm(&["ssh", "--", "true"]).status.success().then_some(()));
    });
    steps.run("root_owns_every_file", || {
        let others = "find / -xdev -path /var -prune -o '(' ! -user root -o ! -group root ')' -print";
        assert_eq!(project.ok(&["ssh", "--", others]), "");
    });
    steps.run("the_machine_has_what_k3s_needs", || project.check_guest());
    steps.run("it_powers_off", || {
        let (code, stderr) = project.code_and_stderr(&["stop", "--power-off"]);
        assert!(code == Some(0) && stderr.contains("the guest powered off"), "{code:?}: {stderr}");
    });
    if steps.failed() {
        project.show_logs();
    } else {
        // Without point 4: the stand-in for K3s serves no API.
        contract::run(&mut steps, &contract::open(&image), &Points::of(&[1, 2, 3, 5, 6]));
    }
    steps.finish()
}

/// Unpacks a Debian guest and has the builder make an image of it.
fn build(directory: &Path, image: &Path) {
    let source = debian_image();
    let (tree, raw) = (directory.join("tree"), directory.join("source.raw"));
    fs::create_dir(&tree).expect("a directory");
    ok(Command::new("qemu-img").args(["convert", "-O", "raw"]).arg(source.join("root.qcow2")).arg(&raw));
    ok(Command::new("debugfs").arg("-R").arg("rdump / tree").arg(&raw).current_dir(directory));
    fs::remove_file(&raw).expect("the raw image can be removed");
    // As in a Nix store, everybody can read it.
    ok(Command::new("chmod").args(["-R", "a+rX"]).arg(&tree));
    let names = fs::read_dir(&tree).expect("the tree").map(|entry| entry.expect("an entry").file_name());
    let paths = names.filter(|name| name != "lost+found").map(|name| format!("/{}\n", name.display()));
    fs::write(directory.join("paths"), paths.collect::<String>()).expect("the list");
    for name in ["kernel", "initrd"] {
        fs::copy(source.join(name), directory.join(name)).expect("a file");
    }
    fs::write(directory.join("manifest.json"), manifest(&source)).expect("the manifest");

    let mut command = nobody(&repository().join("guest/nixos/build-image.sh"));
    command.current_dir(directory).args(["--label", "k3s-vm-root", "--size-mib", &SIZE_MIB.to_string()]);
    command.args(["--from", "tree", "--paths", "paths", "--kernel", "kernel", "--initrd", "initrd"]);
    command.args(["--manifest", "manifest.json", "--out"]).arg(image);
    ok(&mut command);
}

/// The directory of a Debian guest image with the stand-in for K3s; built if it is not in the cache.
fn debian_image() -> PathBuf {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home).expect("HOME or XDG_CACHE_HOME");
    let mut command = Command::new(env!("CARGO"));
    command.args([
        "run",
        "--quiet",
        "--locked",
        "--package",
        "k3s-vm-guest-image",
        "--example",
        "build_guest_image",
        "--",
    ]);
    command.arg(cache.join("k3s-vm")).env("K3S_BINARY", fake_k3s::program()).current_dir(repository());
    PathBuf::from(ok(&mut command).trim_end())
}

/// The source's manifest, changed to what Nix would have written.
fn manifest(source: &Path) -> String {
    let text = fs::read_to_string(source.join("manifest.json")).expect("a manifest");
    let mut manifest: Value = serde_json::from_str(&text).expect("JSON");
    manifest["provider"] = "nix".into();
    manifest["virtual_size"] = (SIZE_MIB << 20).into();
    // The builder adds its own files.
    manifest.as_object_mut().expect("an object").remove("files");
    manifest.to_string()
}

/// The command that runs `script` as an unprivileged user, as Nix does.
fn nobody(script: &Path) -> Command {
    // That user may not be able to read the script's directory, so its text is an argument.
    let text = fs::read_to_string(script).expect("the script");
    let words = ["sh", "-c", &text, "build-image.sh"];
    let mut command = if ok(Command::new("id").arg("-u")).trim() == "0" {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).args(words);
        command
    } else {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        command
    };
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Runs a program, which must succeed; its output.
fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} ended with {}: {said}", command.get_program(), output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
