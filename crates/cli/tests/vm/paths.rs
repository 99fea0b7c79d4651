//! Projects in directories with names that are hard to quote, look like options, or are too long for sockets.

use std::process::Command;

use testkit::Script;

use crate::isolation::{isolated, skip};
use crate::process::{pid, state};
use crate::setup::Setup;

/// What ssh(1) itself reads from the instance's configuration.
fn ssh_reads(setup: &Setup, key: &str) -> Option<String> {
    let config = setup.vm_dir().join("ssh.config");
    let output = Command::new("ssh").arg("-G").arg("-F").arg(config).arg("k3s-vm").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().find_map(|line| line.strip_prefix(&format!("{key} ")).map(str::to_owned))
}

#[test]
fn names_that_are_hard_to_quote() {
    isolated("paths::names_that_are_hard_to_quote", || {
        for name in [
            "two words",
            "a,b,,c",
            "it's \"quoted\"",
            "100% %h $HOME",
            "Größe-プロジェクト",
            "#hash;semi&",
            "-dash",
            "a:b",
        ] {
            let setup = Setup::named(name, &Script::default());
            for verb in
                [&["start", "--no-wait"][..], &["status"], &["stop"], &["start", "--no-wait"], &["reset", "--no-wait"]]
            {
                setup.says(verb, 0);
            }
            assert_eq!(state(&setup), "running", "{name}");
            let words = std::fs::read(format!("/proc/{}/cmdline", pid(&setup))).unwrap();
            let words: Vec<String> =
                words.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into()).collect();
            let key = setup.vm_dir().join("authorized_keys").display().to_string().replace(',', ",,");
            assert!(words.contains(&format!("name=opt/k3s-vm/authorized_keys,file={key}")), "{words:?}");
            match ssh_reads(&setup, "identityfile") {
                // The configuration of ssh writes `%` as `%%`.
                Some(file) => {
                    assert_eq!(file.replace("%%", "%"), setup.vm_dir().join("id_ed25519").display().to_string())
                }
                None => skip("what ssh(1) reads: ssh is not installed"),
            }
        }
    });
}

#[test]
fn a_path_that_is_longer_than_a_socket_name() {
    isolated("paths::a_path_that_is_longer_than_a_socket_name", || {
        // unix(7): 108 bytes.
        let setup = Setup::named(&format!("{}/{}", "d".repeat(120), "e".repeat(120)), &Script::default());
        assert!(setup.vm_dir().join("qmp.sock").as_os_str().len() > 2 * 108);
        setup.says(&["start", "--no-wait"], 0);
        assert_eq!(state(&setup), "running");
        // QMP was reached: the guest was asked, not killed.
        insta::assert_snapshot!(setup.says(&["stop"], 0), @r"
        Warning: it cannot be suspended: the guest did not write its data to the disk: `/bin/sync` in the guest failed: the guest agent refused guest-exec: Failed to execute child process “/bin/sync” (No such file or directory); powering off
        [1/1] Stopping the VM …: the guest powered off
        ");
    });
}

#[test]
fn a_line_break_cannot_be_carried() {
    let setup = Setup::named("two\nlines", &Script::default());
    let directory = setup.project.root().parent().unwrap().display().to_string();
    insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 2).replace(&directory, "DIRECTORY"), @r#"
    Error: the project cannot be in "DIRECTORY/two\nlines"
      QEMU's options and ssh's configuration carry no control characters, and only UTF-8

    Next: rename the directory
    "#);
}
