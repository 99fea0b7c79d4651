//! `bin/k3s-vm` and `bin/kubectl` with a fake cargo: when they compile, what they run, and their errors.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const TOOLS: [&str; 11] = ["sh", "readlink", "find", "sed", "sort", "tail", "mkdir", "mv", "rm", "chmod", "sleep"];

/// A checkout with the real launchers and one source file, and a PATH with nothing but what the launchers need.
struct Checkout {
    directory: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        // Beside the repository, because hard links need one filesystem; copies that were just written can be busy
        // for a moment (ETXTBSY) when another test starts a process.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let checkout = Checkout { directory };
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for name in ["a b/bin", "a b/crates/x/src", "elsewhere", "path"] {
            fs::create_dir_all(checkout.path(name)).unwrap();
        }
        for name in ["k3s-vm", "kubectl"] {
            fs::hard_link(repository.join("bin").join(name), checkout.path("a b/bin").join(name)).unwrap();
        }
        for (name, text) in [
            ("Cargo.toml", "[workspace.package]\nrust-version = \"1.95\"\n"),
            ("Cargo.lock", ""),
            ("rust-toolchain.toml", ""),
            ("crates/x/src/main.rs", ""),
            ("crates/x/src/other.rs", ""),
        ] {
            fs::write(checkout.path("a b").join(name), text).unwrap();
        }
        for tool in TOOLS {
            symlink(which(tool), checkout.path("path").join(tool)).unwrap();
        }
        for fake in ["cargo", "cc"] {
            let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/launcher").join(fake);
            symlink(target, checkout.path("path").join(fake)).unwrap();
        }
        checkout
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path("elsewhere"))
            .env_clear()
            .env("PATH", self.path("path"))
            .env("CARGO_HOME", self.path("elsewhere"))
            .env("FAKE_CARGO_VERSION", "1.95.0")
            .env("FAKE_CARGO_LOG", self.path("cargo.log"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(&self.path("a b/bin/k3s-vm"), arguments).output().unwrap()
    }

    /// How often the program was compiled.
    fn builds(&self) -> usize {
        fs::read_to_string(self.path("cargo.log")).unwrap_or_default().lines().count()
    }

    /// Gives a file a time a little after the beginning of the last build.
    fn touch_after_build(&self, name: &str) {
        let stamp = fs::metadata(self.path("a b/target/launcher/k3s-vm.built")).unwrap().modified().unwrap();
        let file = fs::File::options().write(true).open(self.path("a b").join(name)).unwrap();
        file.set_modified(stamp + Duration::from_millis(5)).unwrap();
    }
}

fn which(tool: &str) -> PathBuf {
    std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|directory| directory.join(tool))
        .find(|candidate| candidate.exists())
        .unwrap_or_else(|| panic!("{tool} is not in PATH"))
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn compiles_once_and_passes_arguments_and_exit_code_on() {
    let checkout = Checkout::new();
    let home = fs::canonicalize(checkout.path("a b")).unwrap();
    for _ in 0..2 {
        let output = checkout.run(&["status", "-o", "two words", ""]);
        assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
        assert_eq!(
            text(&output.stdout),
            format!("home={}\nargument=status\nargument=-o\nargument=two words\nargument=\n", home.display()),
            "nothing but the program writes to stdout"
        );
    }
    let log = fs::read_to_string(checkout.path("cargo.log")).unwrap();
    assert_eq!(
        log,
        format!(
            "{0}: build --profile launcher --package k3s-vm --locked --target-dir {0}/target --quiet\n",
            home.display()
        )
    );
}

#[test]
fn compiles_again_when_a_source_is_newer_or_gone() {
    let checkout = Checkout::new();
    checkout.run(&[]);
    assert_eq!(checkout.builds(), 1);
    for (builds, name) in [(2, "crates/x/src/main.rs"), (3, "Cargo.lock"), (4, "rust-toolchain.toml")] {
        checkout.touch_after_build(name);
        checkout.run(&[]);
        assert_eq!(checkout.builds(), builds, "{name}");
        let file = fs::File::options().write(true).open(checkout.path("a b").join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        checkout.run(&[]);
        assert_eq!(checkout.builds(), builds, "{name} is older now");
    }
    fs::remove_file(checkout.path("a b/crates/x/src/other.rs")).unwrap();
    checkout.run(&[]);
    assert_eq!(checkout.builds(), 5, "a source is gone");
    fs::remove_file(checkout.path("a b/target/launcher/k3s-vm")).unwrap();
    checkout.run(&[]);
    assert_eq!(checkout.builds(), 6, "the program is gone");
}

#[test]
fn works_through_links() {
    let checkout = Checkout::new();
    let link = checkout.path("elsewhere/vm");
    symlink("../a b/bin/k3s-vm", &link).unwrap();
    let output = checkout.command(&link, &[]).output().unwrap();
    let home = fs::canonicalize(checkout.path("a b")).unwrap();
    assert_eq!(text(&output.stdout), format!("home={}\n", home.display()));
}

#[test]
fn kubectl_passes_everything_on_untouched() {
    let checkout = Checkout::new();
    let link = checkout.path("elsewhere/kubectl");
    symlink(checkout.path("a b/bin/kubectl"), &link).unwrap();
    let output = checkout.command(&link, &["--debug", "exec", "pod", "--", "sh", "-c", "a 'b'"]).output().unwrap();
    let arguments: Vec<&str> = text(&output.stdout).lines().filter_map(|line| line.strip_prefix("argument=")).collect();
    assert_eq!(arguments, ["kubectl", "--", "--debug", "exec", "pod", "--", "sh", "-c", "a 'b'"]);
    assert_eq!(output.status.code(), Some(42));
}

#[test]
fn a_failed_build_is_reported_and_tried_again() {
    let checkout = Checkout::new();
    let program = checkout.path("a b/bin/k3s-vm");
    let output = checkout.command(&program, &[]).env("FAKE_CARGO_ERROR", "error: no such crate").output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    insta::assert_snapshot!(text(&output.stderr), @r"
    k3s-vm: compiling the program; the first time takes a few minutes
    error: no such crate
    Error: k3s-vm did not compile
      What cargo said stands above.
    ");
    assert_eq!(checkout.run(&[]).status.code(), Some(42));
    assert_eq!(checkout.builds(), 2);
    let left: Vec<_> =
        fs::read_dir(checkout.path("a b/target/launcher")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| Path::new(name).extension() != Some(OsStr::new("built")) && name != "k3s-vm"),
        "{left:?}"
    );
}

#[test]
fn says_how_to_get_a_compiler() {
    let checkout = Checkout::new();
    let program = checkout.path("a b/bin/k3s-vm");
    let old = checkout.command(&program, &[]).env("FAKE_CARGO_VERSION", "1.63.0").output().unwrap();
    insta::assert_snapshot!(text(&old.stderr), @r#"
    Error: Rust 1.63.0 is too old to compile k3s-vm
      Rust 1.95 or newer is needed; the one that Debian packages is older.
    Next: curl --proto "=https" --tlsv1.2 -sSf https://sh.rustup.rs | sh    # rustup, as https://rustup.rs says
    "#);
    let newer = checkout.command(&program, &[]).env("FAKE_CARGO_VERSION", "1.100.0-nightly").output().unwrap();
    assert_eq!(newer.status.code(), Some(42), "{}", text(&newer.stderr));

    fs::remove_dir_all(checkout.path("a b/target")).unwrap();
    fs::remove_file(checkout.path("path/cc")).unwrap();
    let no_linker = checkout.run(&[]);
    insta::assert_snapshot!(text(&no_linker.stderr), @r"
    Error: k3s-vm has to be compiled, and there is no C compiler and linker
    Next: apt-get install gcc libc6-dev    # or what your system calls them
    ");

    fs::remove_file(checkout.path("path/cargo")).unwrap();
    let no_rust = checkout.run(&[]);
    insta::assert_snapshot!(text(&no_rust.stderr), @r#"
    Error: k3s-vm has to be compiled, and Rust is not installed
      Rust 1.95 or newer is needed.
    Next: curl --proto "=https" --tlsv1.2 -sSf https://sh.rustup.rs | sh    # rustup, as https://rustup.rs says
    "#);
    for output in [old, no_linker, no_rust] {
        assert_eq!(output.status.code(), Some(69));
        assert_eq!(text(&output.stdout), "");
    }
}
