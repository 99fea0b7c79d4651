//! NixOS guests with a fake Nix: when Nix is called, and which files of the project are the user's.

use std::process::{Command, Stdio};

use testkit::Script;
use testkit::fake_nix::FakeNix;

use crate::setup::Setup;

/// A project whose image Nix makes, and that Nix.
struct Nixos {
    setup: Setup,
    fake: FakeNix,
}

impl Nixos {
    fn new(version: &str, provider: &str) -> Self {
        let setup = Setup::new(&Script::default());
        let read = |name: &str| std::fs::read_to_string(setup.project.root().join(name)).unwrap();
        let fake = FakeNix::new(version, &read("image/manifest.json"));
        let image = format!("provider = \"{provider}\"\n");
        let config = read(".k3s-vm/config.toml").replace("provider = \"prebuilt\"\ndirectory = \"image\"\n", &image);
        setup.project.write(".k3s-vm/config.toml", &config);
        // The fake does not read the sources of the guest.
        for name in ["nixos/default.nix", "k3s/contract.json", "debian/rootfs/etc/hosts"] {
            setup.project.write(format!("checkout/guest/{name}"), "");
        }
        let call = format!("#!/bin/sh\nexec {}/nix-build \"$@\"\n", fake.directory().display());
        setup.program("nix-build", &call);
        Nixos { setup, fake }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.setup.command(arguments);
        command.env("K3S_VM_HOME", self.setup.project.root().join("checkout"));
        command
    }

    /// Runs the program, asserts the exit code and returns stderr.
    fn says(&self, arguments: &[&str], code: i32) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = self.setup.steady(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?} said:\n{text}");
        text
    }
}

#[test]
fn nix_builds_once_and_no_other_verb_calls_it() {
    let nixos = Nixos::new("2.26.3", "auto");
    insta::assert_snapshot!(nixos.says(&["start", "--no-wait"], 0), @r"
    [1/3] Checking the host …: all tools are there
    Note: created .k3s-vm/vm/configuration.nix: what you add there becomes a part of the guest
    [2/3] Preparing the guest image …: kubernetes v1.0.0
    [3/3] Starting the VM …: QEMU 7.2.22 under tcg, pid PID
    ");
    assert_eq!(nixos.fake.calls().len(), 2, "its version and one build: {:?}", nixos.fake.calls());
    for verb in [&["status"][..], &["logs"], &["stop", "--timeout", "1s"], &["status"], &["start", "--no-wait"]] {
        nixos.says(verb, 0);
        assert_eq!(nixos.fake.calls().len(), 2, "{verb:?}: {:?}", nixos.fake.calls());
    }
    nixos.command(&["ssh", "--", "true"]).output().unwrap();
    assert_eq!(nixos.fake.calls().len(), 2, "{:?}", nixos.fake.calls());
    let configuration = nixos.setup.vm_dir().join("configuration.nix");
    let text = std::fs::read_to_string(&configuration).unwrap();
    // A reset without a change finds the image in the cache, and leaves the user's files alone.
    nixos.says(&["reset", "--no-wait"], 0);
    assert_eq!(nixos.fake.calls().len(), 2, "{:?}", nixos.fake.calls());
    assert_eq!(std::fs::read_to_string(&configuration).unwrap(), text);
    // A start reports a change, and a reset builds it.
    std::fs::write(&configuration, "{ ... }: { }\n").unwrap();
    assert!(nixos.says(&["start", "--no-wait"], 0).contains("the guest image has changed"));
    assert_eq!(nixos.fake.calls().len(), 2, "{:?}", nixos.fake.calls());
    nixos.says(&["reset", "--no-wait"], 0);
    assert_eq!(nixos.fake.calls().len(), 3, "{:?}", nixos.fake.calls());
    assert_eq!(nixos.fake.given("configuration.nix"), "{ ... }: { }\n");
    assert_eq!(std::fs::read_to_string(&configuration).unwrap(), "{ ... }: { }\n");
}

#[test]
fn an_interrupted_build_leaves_nothing_half_done() {
    let nixos = Nixos::new("2.26.3", "nix");
    nixos.fake.hangs();
    let child = nixos.command(&["start", "--no-wait"]).stderr(Stdio::piped()).spawn().unwrap();
    crate::process::until(|| nixos.fake.begun().exists());
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    insta::assert_snapshot!(nixos.setup.steady(&String::from_utf8_lossy(&output.stderr)), @r"
    [1/3] Checking the host …: all tools are there
    Note: created .k3s-vm/vm/configuration.nix: what you add there becomes a part of the guest
    [2/3] Preparing the guest image …
    Error: interrupted while preparing the guest image
      interrupted while `nix-build` ran
      k3s-vm has no VM and no disk

    Next: k3s-vm start
    ");
    let images = std::fs::read_dir(nixos.setup.programs_path().join("cache/k3s-vm/images")).unwrap();
    assert_eq!(images.count(), 0);
    assert!(!nixos.setup.vm_dir().join("result").exists());
}

#[test]
fn a_nix_that_is_too_old_is_an_error_where_it_was_ordered() {
    let nixos = Nixos::new("2.8.0", "nix");
    insta::assert_snapshot!(nixos.says(&["start", "--no-wait"], 69), @r"
    [1/3] Checking the host …
    Error: Nix 2.8.0 is too old: nixpkgs needs 2.18 or newer
      PROGRAMS/nix-build is the one in your PATH or profile

    Next: nix upgrade-nix    # or as your system does it
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}

#[test]
fn a_failed_build_is_reported_with_the_end_of_its_log() {
    let nixos = Nixos::new("2.26.3", "nix");
    nixos.fake.says(include_str!("../../../guest-image/src/nix/recorded/builder-failed-2.26.log"), 100);
    insta::assert_snapshot!(nixos.says(&["start", "--no-wait"], 1), @r"
    [1/3] Checking the host …: all tools are there
    Note: created .k3s-vm/vm/configuration.nix: what you add there becomes a part of the guest
    [2/3] Preparing the guest image …
    Error: the build of fail failed
      its builder ended with exit code 3

    End of PROJECT/.k3s-vm/nix-build.log:
      | l 11
      | l 12
      | l 13
      | l 14
      | l 15
      | l 16
      | l 17
      | l 18
      | l 19
      | l 20
      | l 21
      | l 22
      | l 23
      | l 24
      | l 25
      | l 26
      | l 27
      | l 28
      | l 29
      | error: builder for '/nix/store/fb4513wdyaifsshwn16n98yc2iiyh04c-fail.drv' failed with exit code 3

    Next: nix-store --read-log /nix/store/fb4513wdyaifsshwn16n98yc2iiyh04c-fail.drv    # its whole output
    Next: less PROJECT/.k3s-vm/nix-build.log    # the whole output of Nix
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}

#[test]
fn an_unreachable_cache_stops_the_build_and_names_debian() {
    let nixos = Nixos::new("2.26.3", "auto");
    let recorded = include_str!("../../../guest-image/src/nix/recorded/cache-unreachable-2.26.log");
    nixos.fake.says(&recorded.replace("this derivation will be built:", "these 2113 derivations will be built:"), 0);
    nixos.fake.hangs();
    insta::assert_snapshot!(nixos.says(&["start", "--no-wait"], 69), @r"
    [1/3] Checking the host …: all tools are there
    Note: created .k3s-vm/vm/configuration.nix: what you add there becomes a part of the guest
    [2/3] Preparing the guest image …
    Error: 2113 derivations would have to be compiled for the guest image
      no binary cache of Nix that has them can be reached
      https://cache.nixos.org: Could not connect to server (7) Failed to connect to 127.0.0.1 port 9 after 0 ms: Could not connect to server

    Next: export https_proxy=http://HOST:PORT    # if your network has a proxy; the daemon of Nix needs it, too
    Next: k3s-vm start --provider debian    # a Debian guest, made without Nix
    ");
}
