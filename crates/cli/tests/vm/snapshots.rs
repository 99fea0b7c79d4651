//! `snapshot` and `prune` without a guest: what is refused, what is listed and what is removed.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use testkit::Script;

use crate::isolation::isolated;
use crate::setup::Setup;

/// A snapshot of an older version that cannot be restored, with 1 MiB of RAM.
fn old_snapshot(setup: &Setup, name: &str) -> PathBuf {
    let directory = setup.project.root().join(".k3s-vm/snapshots").join(name);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("saved-state.json"), "{\"schema\": 0}").unwrap();
    std::fs::write(directory.join("ram"), vec![1; 1 << 20]).unwrap();
    directory
}

#[test]
fn a_vm_that_does_not_run_or_is_not_ready_cannot_be_saved() {
    isolated("snapshots::a_vm_that_does_not_run_or_is_not_ready_cannot_be_saved", || {
        let setup = Setup::new(&Script::default());
        insta::assert_snapshot!(setup.says(&["snapshot", "save", "seeded"], 3), @"
        Error: k3s-vm is not running

        Next: k3s-vm start
        ");
        setup.says(&["start", "--no-wait"], 0);
        insta::assert_snapshot!(setup.says(&["snapshot", "save", "seeded"], 3), @"
        Error: k3s-vm is not Ready
          /etc/kubernetes/admin.conf is not written yet

        Next: k3s-vm start    # waits until it is
        ");
    });
}

#[test]
fn a_taken_name_is_reported_with_both_remedies() {
    isolated("snapshots::a_taken_name_is_reported_with_both_remedies", || {
        let setup = Setup::new(&Script::default());
        setup.says(&["start", "--no-wait"], 0);
        old_snapshot(&setup, "seeded");
        insta::assert_snapshot!(setup.says(&["snapshot", "save", "seeded"], 3), @"
        Error: there is a snapshot seeded already

        Next: k3s-vm snapshot save seeded --replace
        Next: k3s-vm snapshot list    # which there are
        ");
    });
}

#[test]
fn a_snapshot_that_is_not_there_or_cannot_be_used_costs_nothing() {
    isolated("snapshots::a_snapshot_that_is_not_there_or_cannot_be_used_costs_nothing", || {
        let setup = Setup::new(&Script::default());
        setup.says(&["start", "--no-wait"], 0);
        let vm = crate::process::pid(&setup);
        insta::assert_snapshot!(setup.says(&["snapshot", "restore", "seeded"], 3), @"
        Error: there is no snapshot seeded
          the project has none

        Next: k3s-vm snapshot save seeded
        ");
        old_snapshot(&setup, "seeded");
        insta::assert_snapshot!(setup.says(&["snapshot", "restore", "seeded"], 3), @"
        Error: the snapshot seeded cannot be used
          it was made by another version of k3s-vm, or is damaged

        Next: k3s-vm snapshot rm seeded
        Next: k3s-vm snapshot list
        ");
        insta::assert_snapshot!(setup.says(&["snapshot", "restore", "seedy"], 3), @"
        Error: there is no snapshot seedy
          there are seeded

        Next: k3s-vm snapshot list
        ");
        assert!(crate::process::is_alive(vm), "the VM was given up for nothing");
    });
}

#[test]
fn what_cannot_be_used_is_listed_with_the_reason_and_removed() {
    let setup = Setup::new(&Script::default());
    let directory = old_snapshot(&setup, "seeded");
    old_snapshot(&setup, "other");
    let output = setup.run(&["snapshot", "list"]);
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stdout), @"
    SNAPSHOT  AGE  SIZE     RUNS  HOLDS  RESTORES
    other     -    1.0 MiB  -     -      no
    seeded    -    1.0 MiB  -     -      no

    other: it was made by another version of k3s-vm, or is damaged
    seeded: it was made by another version of k3s-vm, or is damaged
    ");
    let listed = setup.json(&["snapshot", "list", "-o", "json"]);
    assert_eq!(listed[0]["name"], "other");
    assert_eq!(listed[0]["fits"], false);
    // All of them, or none.
    insta::assert_snapshot!(setup.says(&["snapshot", "rm", "seeded", "third"], 3), @"
    Error: there is no snapshot third
      there are other, seeded

    Next: k3s-vm snapshot list
    ");
    assert!(directory.exists());
    let removed = setup.json(&["snapshot", "rm", "seeded", "other", "-o", "json"]);
    assert!(removed["bytes"].as_u64().unwrap() >= 2 << 20, "{removed}");
    assert!(!directory.exists());
    assert_eq!(setup.json(&["snapshot", "list", "-o", "json"]), serde_json::json!([]));
}

#[test]
fn a_name_that_is_none_is_a_mistake_of_usage() {
    let setup = Setup::new(&Script::default());
    for name in ["Seeded", "../seeded", ".hidden", ""] {
        let said = setup.says(&["snapshot", "save", name], 2);
        assert!(said.contains("a name begins with a lower-case letter"), "{said}");
    }
}

/// An image in the cache that was made some days ago, with notes of these users.
fn image(setup: &Setup, key: &str, days: u64, users: Option<&[(&Path, u64)]>) -> PathBuf {
    let directory = setup.programs_path().join("cache/k3s-vm/images").join(key);
    std::fs::create_dir_all(&directory).unwrap();
    for file in ["kernel", "initrd", "root.qcow2", "manifest.json"] {
        std::fs::copy(setup.project.root().join("image").join(file), directory.join(file)).unwrap();
    }
    let made = SystemTime::now() - Duration::from_secs(days * 86400);
    let old = |path: &Path| std::fs::File::options().write(true).open(path).unwrap().set_modified(made).unwrap();
    old(&directory.join("manifest.json"));
    for (number, (project, device)) in users.into_iter().flatten().enumerate() {
        std::fs::create_dir_all(directory.join("users")).unwrap();
        let note = directory.join("users").join(number.to_string());
        std::fs::write(&note, serde_json::json!({"project": project, "device": device}).to_string()).unwrap();
        old(&note);
    }
    directory
}

#[test]
fn only_what_nobody_can_use_is_pruned() {
    use std::os::unix::fs::MetadataExt;

    let setup = Setup::new(&Script::default());
    let state = setup.project.root().join(".k3s-vm");
    let device = state.metadata().unwrap().dev();
    let gone = setup.project.root().join("gone");
    let newest = image(&setup, "newest", 1, Some(&[(&gone, device)]));
    let unused = image(&setup, "unused", 2, Some(&[(&gone, device)]));
    let unmounted = image(&setup, "unmounted", 3, Some(&[(&gone, device), (&gone, device + 1)]));
    let before_notes = image(&setup, "before-notes", 4, None);
    let used = image(&setup, "used", 5, Some(&[(setup.project.root(), device)]));
    // The backing file of a disk of this project.
    std::fs::create_dir_all(setup.vm_dir()).unwrap();
    std::fs::write(setup.vm_dir().join("disk.qcow2"), overlay(&used.join("root.qcow2"))).unwrap();
    let template = state.join("templates/ready");
    std::fs::create_dir_all(&template).unwrap();
    std::fs::write(template.join("saved-state.json"), "{}").unwrap();
    let unfinished = state.join("snapshots/.x.unfinished");
    std::fs::create_dir_all(&unfinished).unwrap();
    let backing_file = state.join("disks/unused.qcow2");
    std::fs::create_dir_all(state.join("disks")).unwrap();
    std::fs::write(&backing_file, overlay(&used.join("root.qcow2"))).unwrap();
    let snapshot = old_snapshot(&setup, "seeded");
    let download = setup.programs_path().join("cache/k3s-vm/downloads/00ff-k3s");
    std::fs::create_dir_all(download.parent().unwrap()).unwrap();
    std::fs::write(&download, "old").unwrap();
    let file = std::fs::File::options().write(true).open(&download).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(40 * 86400)).unwrap();

    let useless = [&unused, &template, &unfinished, &backing_file, &download];
    let stays = [&newest, &unmounted, &before_notes, &used, &snapshot];
    let would = setup.json(&["prune", "--dry-run", "-o", "json"]);
    assert!(useless.iter().chain(&stays).all(|path| path.exists()), "a dry run removed something");
    let kinds = |report: &serde_json::Value| {
        let removed = report["removed"].as_array().unwrap();
        removed.iter().map(|removal| removal["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&would), ["template", "unfinished", "backing-files", "guest-image", "download"]);
    assert_eq!(would["kept"].as_array().unwrap().len(), 2, "{would}");
    assert!(would["bytes"].as_u64().unwrap() > 0);

    let did = setup.json(&["prune", "-o", "json"]);
    assert_eq!(kinds(&did), kinds(&would));
    assert_eq!(did["bytes"], would["bytes"]);
    for path in useless {
        assert!(!path.exists(), "{} is there", path.display());
    }
    for path in stays {
        assert!(path.exists(), "{} is gone", path.display());
    }
    assert_eq!(kinds(&setup.json(&["prune", "-o", "json"])), [""; 0]);
}

/// The header of an overlay.
fn overlay(backing_file: &Path) -> Vec<u8> {
    let name = backing_file.to_str().unwrap().as_bytes();
    let mut header = testkit::base_disk(1 << 30);
    header[8..16].copy_from_slice(&72_u64.to_be_bytes());
    header[16..20].copy_from_slice(&u32::try_from(name.len()).unwrap().to_be_bytes());
    header.extend_from_slice(name);
    header
}
