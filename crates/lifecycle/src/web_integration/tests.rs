//! What is written into a web folder, whatever its files look like before, and what is refused.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use testkit::recording::RecordingSink;

use super::*;

struct Web {
    _holder: tempfile::TempDir,
    folder: PathBuf,
    events: RecordingSink,
}

impl Web {
    fn new() -> Self {
        let holder = tempfile::tempdir().unwrap();
        let folder = holder.path().join("web");
        fs::create_dir(&folder).unwrap();
        Web { _holder: holder, folder, events: RecordingSink::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self) -> Result<()> {
        write(&WebPaths::new(&self.folder), &Access { kubeconfig: "apiVersion: v1\n", primary: "e30=" }, &self.events)
    }

    /// A text with the folder's name replaced.
    fn shown(&self, text: impl std::fmt::Display) -> String {
        text.to_string().replace(&self.folder.display().to_string(), "WEB")
    }

    fn refusal(&self) -> String {
        let fault = check(&WebPaths::new(&self.folder)).unwrap_err();
        assert_eq!(fault.class(), FaultClass::State);
        self.shown(format!("{fault}\n{}", fault.next_steps().join("\n")))
    }
}

#[test]
fn only_the_two_variables_change_however_the_file_is_written() {
    for (before, after) in [
        (&b""[..], &b"KUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY=e30=\n"[..]),
        (b"A=1", b"A=1\nKUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY=e30=\n"),
        (b"A=1\r\n", b"A=1\r\nKUBECONFIG=./kubeconfig.yaml\r\nKUBECONFIG_PRIMARY=e30=\r\n"),
        (
            b"export KUBECONFIG = '/old' # mine\nKUBECONFIG_PRIMARY=\"x\"\nB=2",
            b"export KUBECONFIG = './kubeconfig.yaml' # mine\nKUBECONFIG_PRIMARY=\"e30=\"\nB=2",
        ),
        (
            b"KUBECONFIG=a\nKUBECONFIG=b\nKUBECONFIG_PRIMARY: old\n",
            b"KUBECONFIG=a\nKUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY: e30=\n",
        ),
        (
            b"KEY=\"line one\nKUBECONFIG=no\nline three\"\n",
            b"KEY=\"line one\nKUBECONFIG=no\nline three\"\nKUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY=e30=\n",
        ),
        (
            b"BAD=\xff\xfe\nKUBECONFIG=\nKUBECONFIG_PRIMARY=\n",
            b"BAD=\xff\xfe\nKUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY=e30=\n",
        ),
        (b"OPEN=\"never closed\n", b"OPEN=\"never closed\nKUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY=e30=\n"),
    ] {
        let web = Web::new();
        fs::write(web.path(".env"), before).unwrap();
        web.write().unwrap();
        let written = fs::read(web.path(".env")).unwrap();
        assert_eq!(written, after, "{}", String::from_utf8_lossy(before));
        web.write().unwrap();
        assert_eq!(fs::read(web.path(".env")).unwrap(), after, "writing twice is writing once");
    }
}

#[test]
fn a_mode_and_a_link_are_kept() {
    let web = Web::new();
    let elsewhere = web.path("shared.env");
    fs::write(&elsewhere, "A=1\n").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("shared.env", web.path(".env")).unwrap();
    web.write().unwrap();
    assert_eq!(fs::read_link(web.path(".env")).unwrap(), PathBuf::from("shared.env"));
    assert!(fs::read_to_string(&elsewhere).unwrap().starts_with("A=1\nKUBECONFIG=./kubeconfig.yaml\n"));
    assert_eq!(fs::metadata(&elsewhere).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_holds_a_secret_is_private() {
    let web = Web::new();
    web.write().unwrap();
    for (name, expected) in [(".env", 0o600), (".kube", 0o700), (".kube/config", 0o600)] {
        assert_eq!(fs::metadata(web.path(name)).unwrap().permissions().mode() & 0o777, expected, "{name}");
    }
    assert_eq!(fs::read_link(web.path("kubeconfig.yaml")).unwrap(), PathBuf::from(".kube/config"));
}

#[test]
fn a_missing_dot_env_begins_as_its_example() {
    let web = Web::new();
    fs::write(web.path(".env.example"), "# yours\nKUBECONFIG=\n").unwrap();
    web.write().unwrap();
    assert_eq!(
        fs::read_to_string(web.path(".env")).unwrap(),
        "# yours\nKUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY=e30=\n"
    );
    insta::assert_snapshot!(web.shown(web.events.notes().join("\n")), @"WEB/.env did not exist: made it from WEB/.env.example");
}

#[test]
fn a_link_that_pointed_elsewhere_is_told() {
    let web = Web::new();
    symlink("/etc/other.yaml", web.path("kubeconfig.yaml")).unwrap();
    check(&WebPaths::new(&web.folder)).unwrap();
    web.write().unwrap();
    assert_eq!(fs::read_link(web.path("kubeconfig.yaml")).unwrap(), PathBuf::from(".kube/config"));
    insta::assert_snapshot!(web.shown(web.events.notes().join("\n")), @"WEB/kubeconfig.yaml pointed to /etc/other.yaml; it points to .kube/config now");
}

#[test]
fn a_kubeconfig_of_the_users_own_is_kept() {
    let web = Web::new();
    fs::write(web.path("kubeconfig.yaml"), "mine").unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web folder cannot take the kubeconfig: WEB/kubeconfig.yaml is a file of yours; it has to be a link to .kube/config
    mv WEB/kubeconfig.yaml WEB/kubeconfig.yaml.old
    ");
    web.write().unwrap_err();
    assert_eq!(fs::read_to_string(web.path("kubeconfig.yaml")).unwrap(), "mine");
}

#[test]
fn everything_in_the_way_is_told_at_once() {
    let web = Web::new();
    fs::create_dir(web.path("kubeconfig.yaml")).unwrap();
    fs::write(web.path(".env"), "A=1\n").unwrap();
    fs::set_permissions(web.path(".env"), fs::Permissions::from_mode(0o444)).unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web folder cannot take the kubeconfig: WEB/kubeconfig.yaml is a file of yours; it has to be a link to .kube/config: WEB/.env is read-only; KUBECONFIG and KUBECONFIG_PRIMARY have to be set in it
    mv WEB/kubeconfig.yaml WEB/kubeconfig.yaml.old
    chmod u+w WEB/.env
    ");
}

#[test]
fn a_web_folder_that_is_none_is_told() {
    let web = Web::new();
    fs::remove_dir(&web.folder).unwrap();
    check(&WebPaths::new(&web.folder)).unwrap();
    fs::write(&web.folder, "").unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web folder cannot take the kubeconfig: WEB is no folder
    mv WEB WEB.old    # or name the web folder: web.folder in .k3s-vm/config.toml
    ");
}
