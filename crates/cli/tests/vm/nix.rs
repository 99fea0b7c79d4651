//! A NixOS guest by a fake Nix: when Nix is called, and what of the project's files is whose.

use std::path::PathBuf;

use testkit::Script;
use testkit::fake_nix::FakeNix;

use crate::setup::Setup;

/// A project whose image Nix makes, and that Nix.
fn nixos(version: &str, provider: &str) -> (Setup, FakeNix) {
    let setup = Setup::new(&Script::default());
    let manifest = std::fs::read_to_string(setup.project.root().join("image/manifest.json")).unwrap();
    let fake = FakeNix::new(version, &manifest);
    let config = std::fs::read_to_string(setup.project.root().join(".k3s-vm/config.toml")).unwrap();
    let image = format!("provider = \"{provider}\"\n");
    let config = config.replace("provider = \"prebuilt\"\nfolder = \"image\"\n", &image);
    setup.project.write(".k3s-vm/config.toml", &config);
    // Its own folder, since it is called by that path.
    setup.program("nix-build", &format!("#!/bin/sh\nexec {}/nix-build \"$@\"\n", fake.folder().display()));
    (setup, fake)
}

/// The instance's disk says that it lies on the image that the cache has.
fn describe_disk(setup: &Setup) {
    let images = setup.programs_path().join("cache/k3s-vm/images");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(images).unwrap().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let disk = folders[0].join("root.qcow2");
    let info = std::fs::read_to_string(setup.programs_path().join("info.json")).unwrap();
    let mut info: serde_json::Value = serde_json::from_str(&info).unwrap();
    info["full-backing-filename"] = serde_json::json!(disk);
    info["backing-filename"] = serde_json::json!(disk);
    std::fs::write(setup.programs_path().join("info.json"), info.to_string()).unwrap();
}

#[test]
fn nix_builds_once_and_no_other_verb_calls_it() {
    let (setup, fake) = nixos("2.26.3", "auto");
    insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 0), @"");
    describe_disk(&setup);
    assert_eq!(fake.calls().len(), 2, "its version and one build: {:?}", fake.calls());
    for verb in [&["status"][..], &["logs"], &["stop", "--timeout", "1s"], &["status"], &["start", "--no-wait"]] {
        setup.says(verb, 0);
        assert_eq!(fake.calls().len(), 2, "{verb:?}: {:?}", fake.calls());
    }
    setup.run(&["ssh", "--", "true"]);
    let configuration = setup.vm_dir().join("configuration.nix");
    let text = std::fs::read_to_string(&configuration).unwrap();
    // A reset without a change finds the image in the cache, and keeps what is the user's.
    setup.says(&["reset", "--no-wait"], 0);
    assert_eq!(fake.calls().len(), 2, "{:?}", fake.calls());
    assert_eq!(std::fs::read_to_string(&configuration).unwrap(), text);
    // A change is told by a start and taken by a reset, also while there is another instance's file beside it.
    std::fs::write(&configuration, "{ ... }: { }\n").unwrap();
    assert!(setup.says(&["start", "--no-wait"], 0).contains("the guest image has changed"));
    assert_eq!(fake.calls().len(), 2, "{:?}", fake.calls());
    setup.says(&["reset", "--no-wait"], 0);
    assert_eq!(fake.calls().len(), 3, "{:?}", fake.calls());
    assert_eq!(fake.given("configuration.nix"), "{ ... }: { }\n");
    assert_eq!(std::fs::read_to_string(&configuration).unwrap(), "{ ... }: { }\n");
}

#[test]
fn an_interrupted_build_leaves_nothing_half_done() {
    let (setup, fake) = nixos("2.26.3", "nix");
    fake.hangs();
    let child = setup.command(&["start", "--no-wait"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    crate::process::until(|| fake.begun().exists());
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    insta::assert_snapshot!(setup.steady(&String::from_utf8_lossy(&output.stderr)), @"");
    let images = std::fs::read_dir(setup.programs_path().join("cache/k3s-vm/images")).unwrap();
    assert_eq!(images.count(), 0);
    assert!(!setup.vm_dir().join("result").exists());
}

#[test]
fn a_nix_that_is_too_old_is_an_error_where_it_was_ordered() {
    let (setup, _fake) = nixos("2.8.0", "nix");
    insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 69), @"");
}

#[test]
fn a_failed_build_is_told_with_the_end_of_its_log() {
    let (setup, fake) = nixos("2.26.3", "nix");
    fake.says(include_str!("../../../image/src/nix/recorded/builder-failed-2.26.jsonl"), 100);
    insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 1), @"");
}

#[test]
fn an_unreachable_cache_stops_the_build_and_names_debian() {
    let (setup, fake) = nixos("2.26.3", "auto");
    let recorded = include_str!("../../../image/src/nix/recorded/cache-unreachable-2.26.jsonl");
    fake.says(&recorded.replace("this derivation will be built:", "these 2113 derivations will be built:"), 0);
    fake.hangs();
    insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 69), @"");
}
