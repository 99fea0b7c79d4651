//! Files of the user that are in the way of a verb, or that a verb changes.

use std::fs;
use std::os::unix::fs::symlink;

use testkit::Script;

use crate::isolation::{isolated, mount};
use crate::process::state;
use crate::setup::Setup;

/// A kubeconfig of the user's own.
const FOREIGN: &str = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n";

#[test]
fn a_kubeconfig_of_the_users_own_is_refused_before_anything_is_built() {
    let setup = Setup::new(&Script::default());
    setup.project.write("web/.kube/config", FOREIGN);
    for verb in [&["start", "--no-wait"][..], &["reset", "--no-wait"]] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(setup.says(verb, 3), @r"
            Error: the web directory cannot take the kubeconfig
              PROJECT/web/.kube/config is not k3s-vm's: it has no clusters

            Next: mv PROJECT/web/.kube/config PROJECT/web/.kube/config.old
            ");
        }
        assert_eq!(setup.project.read("web/.kube/config"), FOREIGN);
        assert_eq!(state(&setup), "absent");
    }
}

#[test]
fn a_reset_that_is_refused_destroys_nothing() {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("config"), FOREIGN).unwrap();
    symlink(home.path(), setup.project.root().join("web/.kube")).unwrap();
    setup.says(&["reset", "--no-wait"], 3);
    assert_eq!(state(&setup), "running");
    assert_eq!(fs::read_to_string(home.path().join("config")).unwrap(), FOREIGN);
}

#[test]
fn variables_in_utf16_are_refused_before_anything_is_built() {
    let setup = Setup::new(&Script::default());
    let bytes: Vec<u8> = "\u{feff}A=1\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::create_dir_all(setup.project.root().join("web")).unwrap();
    fs::write(setup.project.root().join("web/.env"), &bytes).unwrap();
    insta::assert_snapshot!(setup.says(&["start", "--no-wait"], 2), @r"
    Error: PROJECT/web/.env cannot be read as text
      it is UTF-16, as some editors and shells of Windows save it

    Next: iconv -f UTF-16 -t UTF-8 PROJECT/web/.env > PROJECT/web/.env.utf8 && cat PROJECT/web/.env.utf8 > PROJECT/web/.env && rm PROJECT/web/.env.utf8
    ");
    assert_eq!(fs::read(setup.project.root().join("web/.env")).unwrap(), bytes);
    // Verbs that need no variables work.
    setup.says(&["status"], 0);
}

#[test]
fn a_configuration_that_is_a_mount_of_one_file_takes_a_forward() {
    isolated("user_files::a_configuration_that_is_a_mount_of_one_file_takes_a_forward", || {
        let setup = Setup::new(&Script::default());
        let elsewhere = setup.programs_path().join("config.toml");
        fs::write(&elsewhere, setup.project.read(".k3s-vm/config.toml")).unwrap();
        let config = setup.project.root().join(".k3s-vm/config.toml");
        mount(&["--bind", &elsewhere.display().to_string(), &config.display().to_string()]);
        setup.says(&["forward", "add", "5432:30432", "--save"], 0);
        assert!(fs::read_to_string(&elsewhere).unwrap().contains("5432:30432"));
        let left = fs::read_dir(setup.project.root().join(".k3s-vm")).unwrap();
        let left: Vec<_> = left
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name.to_string_lossy().ends_with("tmp"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    });
}
