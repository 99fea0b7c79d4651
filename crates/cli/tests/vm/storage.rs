//! Disks that are full and directories that cannot be written.

use std::fs;
use std::path::Path;

use testkit::Script;

use crate::isolation::{isolated, mount};
use crate::process::{is_alive, pid, state, until};
use crate::setup::Setup;

/// Mounts a filesystem of 1 MiB at `.k3s-vm/`, with the files that were there.
fn small_disk(setup: &Setup) {
    let directory = setup.project.root().join(".k3s-vm");
    let config = setup.project.read(".k3s-vm/config.toml");
    mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs", &directory.display().to_string()]);
    setup.project.write(".k3s-vm/config.toml", &config);
    fs::create_dir(setup.vm_dir()).unwrap();
}

/// Fills the filesystem up to `left` blocks of 4 KiB, with a file that can be removed.
fn fill(directory: &Path, left: usize) -> std::path::PathBuf {
    use std::io::Write;
    let (ballast, rest) = (directory.join("ballast"), directory.join("rest"));
    fs::write(&rest, vec![0; left * 4096]).unwrap();
    let mut file = fs::File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    fs::remove_file(rest).unwrap();
    ballast
}

/// Makes a filesystem that the test has mounted read-only, except for open files.
fn read_only(directory: &Path) {
    let directory = directory.display().to_string();
    mount(&["--bind", &directory, &directory]);
    mount(&["-o", "remount,ro,bind", &directory]);
}

#[test]
fn a_full_disk_before_the_start() {
    isolated("storage::a_full_disk_before_the_start", || {
        let setup = Setup::new(&Script::default());
        small_disk(&setup);
        let ballast = fill(&setup.vm_dir(), 0);
        insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 69), @r"
        [1/3] Checking the host …: all tools are there
        [2/3] Preparing the guest image … skipped: kubernetes v1.0.0, built before
        [3/3] Starting the VM …
        Error: cannot make the disk PROJECT/.k3s-vm/vm/disk.qcow2
          cannot write PROJECT/.k3s-vm/vm/disk.qcow2
          No space left on device
          there is no space left in PROJECT/.k3s-vm/vm

        Next: free some space, then run the command again; `df -h PROJECT/.k3s-vm/vm` shows how much there is
        ");
        fs::remove_file(ballast).unwrap();
        setup.says(&["start", "--no-wait"], 0);
    });
}

#[test]
fn a_disk_that_fills_while_the_overlay_is_made_leaves_no_broken_disk() {
    isolated("storage::a_disk_that_fills_while_the_overlay_is_made_leaves_no_broken_disk", || {
        let setup = Setup::new(&Script::default());
        small_disk(&setup);
        let ballast = fill(&setup.vm_dir(), 16);
        insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 69), @r"
        [1/3] Checking the host …: all tools are there
        [2/3] Preparing the guest image … skipped: kubernetes v1.0.0, built before
        [3/3] Starting the VM …
        Error: cannot make the disk PROJECT/.k3s-vm/vm/disk.qcow2
          cannot write PROJECT/.k3s-vm/vm/disk.qcow2
          No space left on device
          there is no space left in PROJECT/.k3s-vm/vm

        Next: free some space, then run the command again; `df -h PROJECT/.k3s-vm/vm` shows how much there is
        ");
        assert_eq!(state(&setup), "absent", "a disk made half counts as a disk");
        fs::remove_file(ballast).unwrap();
        setup.says(&["start", "--no-wait"], 0);
        assert_eq!(state(&setup), "running");
    });
}

#[test]
fn a_disk_that_fills_before_the_state_file_is_written_starts_nothing() {
    isolated("storage::a_disk_that_fills_before_the_state_file_is_written_starts_nothing", || {
        let setup = Setup::new(&Script::default());
        small_disk(&setup);
        setup.says(&["start", "--no-wait"], 0);
        setup.says(&["stop"], 0);
        // There is room to replace existing files one at a time; the state file is a new one.
        let fits = (0..40).find(|left| {
            let ballast = fill(&setup.vm_dir(), *left);
            let output = setup.run(&["start", "--no-wait"]);
            let text = setup.steady(&String::from_utf8_lossy(&output.stderr));
            let started = output.status.success();
            setup.says(&["status"], 0);
            if !started {
                assert_eq!(output.status.code(), Some(69), "{text}");
                assert!(text.to_lowercase().contains("no space left") && text.contains("df -h"), "{text}");
                // If QEMU runs already when the last write fails, it is known.
                assert!(["stopped", "running"].contains(&state(&setup).as_str()), "with {left} blocks: {text}");
                setup.says(&["stop"], 0);
            }
            fs::remove_file(ballast).unwrap();
            started
        });
        assert!(fits.is_some(), "no space was enough");
    });
}

#[test]
fn a_vm_on_a_full_disk_is_seen_and_stopped() {
    isolated("storage::a_vm_on_a_full_disk_is_seen_and_stopped", || {
        let setup = Setup::new(&Script::default());
        small_disk(&setup);
        setup.says(&["start", "--no-wait"], 0);
        let vm = pid(&setup);
        fill(&setup.vm_dir(), 0);
        assert_eq!(state(&setup), "running");
        setup.says(&["stop"], 0);
        assert!(!is_alive(vm));
    });
}

#[test]
fn a_project_that_cannot_be_written() {
    isolated("storage::a_project_that_cannot_be_written", || {
        let setup = Setup::new(&Script::default());
        small_disk(&setup);
        fs::set_permissions(setup.vm_dir(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        read_only(&setup.project.root().join(".k3s-vm"));
        assert_eq!(state(&setup), "absent");
        insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 69), @r"
        Error: cannot open the lock PROJECT/.k3s-vm/vm/lock
          Read-only file system

        Next: `findmnt -T PROJECT/.k3s-vm/vm` shows the mount; make it writable or work in another directory
        ");
        insta::assert_snapshot!(setup.says(&["stop"], 69), @r"
        Error: cannot open the lock PROJECT/.k3s-vm/vm/lock
          Read-only file system

        Next: `findmnt -T PROJECT/.k3s-vm/vm` shows the mount; make it writable or work in another directory
        ");
        insta::assert_snapshot!(setup.says(&["reset", "--no-wait"], 69), @r"
        Error: cannot open the lock PROJECT/.k3s-vm/vm/lock
          Read-only file system

        Next: `findmnt -T PROJECT/.k3s-vm/vm` shows the mount; make it writable or work in another directory
        ");
    });
}

#[test]
fn a_running_vm_in_a_project_that_became_read_only_is_still_seen() {
    isolated("storage::a_running_vm_in_a_project_that_became_read_only_is_still_seen", || {
        let setup = Setup::new(&Script::default());
        small_disk(&setup);
        setup.says(&["start", "--no-wait"], 0);
        // The last file that the VM's supervisor opens to write: nothing can be mounted over what is being written.
        until(|| Script::calls(&setup.vm_dir()).iter().any(|call| call == "set-action"));
        read_only(&setup.project.root().join(".k3s-vm"));
        assert_eq!(state(&setup), "running");
        setup.program("ssh", "#!/bin/sh\necho the guest\n");
        assert_eq!(String::from_utf8_lossy(&setup.run(&["ssh"]).stdout), "the guest\n");
        setup.says(&["logs"], 0);
    });
}

#[test]
fn a_cache_and_a_home_that_cannot_be_written_are_not_needed_for_an_image_that_is_there() {
    isolated("storage::a_cache_and_a_home_that_cannot_be_written_are_not_needed_for_an_image_that_is_there", || {
        let setup = Setup::new(&Script::default());
        let home = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "tmpfs", &home.path().display().to_string()]);
        read_only(home.path());
        for verb in [&["start", "--no-wait"][..], &["status"], &["reset", "--no-wait"], &["stop"]] {
            let mut command = setup.command(verb);
            let output = command.env("HOME", home.path()).env("XDG_CACHE_HOME", home.path()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    });
}
