//! `--dry-run` of `start`, `reset` and `clone`: the plan and its reasons, and nothing that was changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use testkit::Script;
use testkit::script::{AgentScript, Program};

use crate::process::{is_alive, pid, state};
use crate::setup::Setup;

/// A guest that can be suspended.
fn guest() -> Script {
    let sync = Program { command: "/bin/sync".to_owned(), ..Program::default() };
    Script { agent: AgentScript { programs: vec![sync], ..Default::default() }, ..Script::default() }
}

/// What a dry run prints.
fn plan(setup: &Setup, arguments: &[&str]) -> String {
    let output = setup.run(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the plan begins from, then the fallbacks.
fn ways(setup: &Setup, arguments: &[&str]) -> Vec<String> {
    let plan = setup.json(arguments);
    let ways = plan["ways"].as_array().unwrap();
    ways.iter().map(|way| way["from"].as_str().unwrap().to_owned()).collect()
}

/// All files and directories below `directory`.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.insert(path);
    }
    found
}

#[test]
fn a_project_that_was_never_started_would_boot_a_new_disk_and_has_no_new_file() {
    let setup = Setup::new(&Script::default());
    let before = files(setup.project.root());
    insta::assert_snapshot!(plan(&setup, &["start", "--no-wait", "--dry-run"]), @r"
    k3s-vm would begin from a new disk:

      1  Checking the host
      2  Preparing the guest image  kubernetes v1.0.0, built before
      3  Starting the VM
    ");
    assert_eq!(ways(&setup, &["start", "--dry-run", "-o", "json"]), ["new-disk"]);
    assert_eq!(ways(&setup, &["clone", "other", "--dry-run", "-o", "json"]), ["new-disk"]);
    assert_eq!(files(setup.project.root()), before);
}

#[test]
fn the_plan_follows_what_is_there() {
    let setup = Setup::new(&guest());
    setup.says(&["start", "--no-wait"], 0);
    assert_eq!(ways(&setup, &["start", "--dry-run", "-o", "json"]), ["running"]);
    setup.says(&["stop"], 0);
    assert_eq!(ways(&setup, &["start", "--dry-run", "-o", "json"]), ["suspended-ram", "disk"]);
    assert!(plan(&setup, &["start", "--dry-run"]).contains("would begin from its suspended RAM:"));
    assert_eq!(state(&setup), "suspended");
    let text = plan(&setup, &["start", "--dry-run", "--set", "vm.memory=3GiB"]);
    assert!(text.contains("would begin from its disk:"), "{text}");
    assert!(text.contains("\nNot used: the suspended RAM: "), "{text}");
    assert!(setup.vm_dir().join("suspended.json").exists(), "a dry run discarded the RAM");
}

#[test]
fn a_dry_run_of_reset_destroys_nothing() {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    let pid = pid(&setup);
    insta::assert_snapshot!(plan(&setup, &["reset", "--no-wait", "--dry-run"]), @r"
    k3s-vm would begin from a new disk:

      1  Checking the host
      2  Preparing the guest image    kubernetes v1.0.0, built before
      3  Destroying the old instance  its VM, disk and data
      4  Starting the VM
    ");
    assert!(is_alive(pid), "a dry run ended the VM");
    // What reset would refuse, it refuses.
    setup.project.write(".k3s-vm/config.toml", "ports.bind = \"::1\"\n");
    setup.says(&["reset", "--dry-run"], 2);
    assert!(is_alive(pid), "a refused dry run ended the VM");
}
