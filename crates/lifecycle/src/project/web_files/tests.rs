//! What is written into a web directory, and which existing files are refused.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use testkit::kubeconfig::OF_THE_PROGRAM as OURS;
use testkit::recording::RecordingSink;

use super::*;

/// A kubeconfig of the user for another cluster.
const FOREIGN: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: prod, cluster: {server: 'https://prod.example.com'}}]
contexts: [{name: prod, context: {cluster: prod, user: me}}]
current-context: prod
users: [{name: me, user: {token: secret}}]
";

struct Place {
    holder: tempfile::TempDir,
    directory: PathBuf,
    events: RecordingSink,
}

impl Place {
    fn new() -> Self {
        let holder = tempfile::tempdir().unwrap();
        let directory = holder.path().join("web");
        fs::create_dir(&directory).unwrap();
        fs::create_dir(holder.path().join("vm")).unwrap();
        Place { holder, directory, events: RecordingSink::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn write(&self) -> Result<()> {
        let access = Access { name: &InstanceName::default(), kubeconfig: OURS, primary: "e30=" };
        let (paths, scratch) = (WebPaths::new(&self.directory), self.scratch());
        Web { paths: &paths, scratch: &scratch }.write(&access, &self.events)
    }

    fn check(&self) -> Result<()> {
        check(&WebPaths::new(&self.directory), &InstanceName::default())
    }

    fn scratch(&self) -> PathBuf {
        self.holder.path().join("vm")
    }

    /// The names in the web directory, hidden ones too.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A text with the directory's name replaced.
    fn shown(&self, text: impl std::fmt::Display) -> String {
        let text = text.to_string().replace(&self.directory.display().to_string(), "WEB");
        text.replace(&self.holder.path().display().to_string(), "TEMP")
    }

    fn refusal(&self) -> String {
        let error = self.check().unwrap_err();
        assert_eq!(error.class(), ErrorClass::State);
        self.shown(format!("{error}\n{}", error.next_steps().join("\n")))
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
        let web = Place::new();
        fs::write(web.path(".env"), before).unwrap();
        web.write().unwrap();
        let written = fs::read(web.path(".env")).unwrap();
        assert_eq!(written, after, "{}", String::from_utf8_lossy(before));
        web.write().unwrap();
        assert_eq!(fs::read(web.path(".env")).unwrap(), after, "writing twice is writing once");
    }
}

#[test]
fn a_mode_and_a_link_stay() {
    let web = Place::new();
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
fn files_with_secrets_are_private() {
    let web = Place::new();
    web.write().unwrap();
    for (name, expected) in [(".env", 0o600), (".kube", 0o700), (".kube/config", 0o600)] {
        assert_eq!(fs::metadata(web.path(name)).unwrap().permissions().mode() & 0o777, expected, "{name}");
    }
    assert_eq!(fs::read_link(web.path("kubeconfig.yaml")).unwrap(), PathBuf::from(".kube/config"));
}

#[test]
fn a_missing_dot_env_begins_as_its_example() {
    let web = Place::new();
    fs::write(web.path(".env.example"), "# yours\nKUBECONFIG=\n").unwrap();
    web.write().unwrap();
    assert_eq!(
        fs::read_to_string(web.path(".env")).unwrap(),
        "# yours\nKUBECONFIG=./kubeconfig.yaml\nKUBECONFIG_PRIMARY=e30=\n"
    );
    insta::assert_snapshot!(web.shown(web.events.notes().join("\n")), @"WEB/.env did not exist: made it from WEB/.env.example");
}

#[test]
fn a_link_of_the_users_own_stays() {
    let web = Place::new();
    symlink("/etc/other.yaml", web.path("kubeconfig.yaml")).unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web directory cannot take the kubeconfig: WEB/kubeconfig.yaml is a link of yours to /etc/other.yaml; it has to be a link to .kube/config
    mv WEB/kubeconfig.yaml WEB/kubeconfig.yaml.old
    ");
    web.write().unwrap_err();
    assert_eq!(fs::read_link(web.path("kubeconfig.yaml")).unwrap(), PathBuf::from("/etc/other.yaml"));

    // Another target that leads to the same file.
    fs::remove_file(web.path("kubeconfig.yaml")).unwrap();
    symlink(web.path(".kube/config"), web.path("kubeconfig.yaml")).unwrap();
    web.check().unwrap();
    web.write().unwrap();
    assert_eq!(fs::read_link(web.path("kubeconfig.yaml")).unwrap(), web.path(".kube/config"));
}

#[test]
fn a_file_of_the_users_own_in_the_place_of_the_link_stays() {
    let web = Place::new();
    fs::write(web.path("kubeconfig.yaml"), "mine").unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web directory cannot take the kubeconfig: WEB/kubeconfig.yaml is a file of yours; it has to be a link to .kube/config
    mv WEB/kubeconfig.yaml WEB/kubeconfig.yaml.old
    ");
    web.write().unwrap_err();
    assert_eq!(fs::read_to_string(web.path("kubeconfig.yaml")).unwrap(), "mine");
}

#[test]
fn a_kubeconfig_of_the_users_own_was_overwritten_and_stays() {
    let web = Place::new();
    fs::create_dir(web.path(".kube")).unwrap();
    let merged =
        OURS.replace("contexts:\n", "contexts:\n- context:\n    cluster: k3s-vm\n    user: me\n  name: prod\n");
    for mine in [FOREIGN, merged.as_str(), "no kubeconfig at all\n", "\u{0}"] {
        fs::write(web.path(".kube/config"), mine).unwrap();
        let refused = web.refusal();
        assert!(refused.ends_with("\nmv WEB/.kube/config WEB/.kube/config.old"), "{refused}");
        web.write().unwrap_err();
        assert_eq!(fs::read_to_string(web.path(".kube/config")).unwrap(), mine);
    }
    fs::write(web.path(".kube/config"), merged).unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web directory cannot take the kubeconfig: WEB/.kube/config is not k3s-vm's: it has the context prod
    mv WEB/.kube/config WEB/.kube/config.old
    ");
    // Whatever is in the way, nothing else was written.
    assert_eq!(web.names(), [".kube"]);
}

#[test]
fn our_own_kubeconfig_is_rewritten_and_keeps_the_namespace_that_the_user_set() {
    let web = Place::new();
    fs::create_dir(web.path(".kube")).unwrap();
    let older = OURS.replace("Q0E=", "T0xE").replace("users:", "preferences: {}\nusers:");
    fs::write(web.path(".kube/config"), older).unwrap();
    web.check().unwrap();
    web.write().unwrap();
    assert_eq!(fs::read_to_string(web.path(".kube/config")).unwrap(), OURS);

    let mine = OURS.replace("    user: k3s-vm\n", "    user: k3s-vm\n    namespace: team\n");
    fs::write(web.path(".kube/config"), mine.replace("Q0E=", "T0xE")).unwrap();
    web.check().unwrap();
    web.write().unwrap();
    assert_eq!(fs::read_to_string(web.path(".kube/config")).unwrap(), mine);
}

#[test]
fn through_a_symlinked_directory_the_kubeconfig_of_the_home_directory_was_overwritten() {
    let web = Place::new();
    let home = web.holder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    // Even a file that looks like ours is not written through a link, and the linked directory keeps its mode.
    for content in [FOREIGN, OURS, ""] {
        fs::write(home.join("config"), content).unwrap();
        symlink(&home, web.path(".kube")).unwrap();
        let refused = web.refusal();
        assert!(refused.ends_with("\nmv WEB/.kube WEB/.kube.old"), "{refused}");
        web.write().unwrap_err();
        fs::remove_file(web.path(".kube")).unwrap();

        fs::create_dir(web.path(".kube")).unwrap();
        symlink(home.join("config"), web.path(".kube/config")).unwrap();
        let refused = web.refusal();
        assert!(refused.ends_with("\nmv WEB/.kube/config WEB/.kube/config.old"), "{refused}");
        web.write().unwrap_err();
        fs::remove_dir_all(web.path(".kube")).unwrap();
        assert_eq!(fs::read_to_string(home.join("config")).unwrap(), content);
        assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o755);
    }
    symlink(&home, web.path(".kube")).unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web directory cannot take the kubeconfig: WEB/.kube is a link to TEMP/home, through which another file would be overwritten
    mv WEB/.kube WEB/.kube.old
    ");
    assert_eq!(web.names(), [".kube"]);
}

#[test]
fn a_web_directory_may_be_a_link() {
    let web = Place::new();
    let real = web.holder.path().join("frontend");
    fs::rename(&web.directory, &real).unwrap();
    symlink("frontend", &web.directory).unwrap();
    web.check().unwrap();
    web.write().unwrap();
    assert_eq!(fs::read_to_string(real.join(".kube/config")).unwrap(), OURS);
}

#[test]
fn a_dot_env_of_utf16_got_lines_of_ascii_and_is_refused() {
    let web = Place::new();
    let bytes: Vec<u8> = "\u{feff}A=1\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(web.path(".env"), &bytes).unwrap();
    let error = web.check().unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    insta::assert_snapshot!(web.shown(error), @"WEB/.env cannot be read as text: it is UTF-16, as some editors and shells of Windows save it");
    web.write().unwrap_err();
    assert_eq!(fs::read(web.path(".env")).unwrap(), bytes);

    // The same for the example from which a missing `.env` is made.
    fs::rename(web.path(".env"), web.path(".env.example")).unwrap();
    assert!(web.shown(web.check().unwrap_err()).starts_with("WEB/.env.example cannot be read as text"));
}

#[test]
fn a_value_of_the_users_own_is_reported_and_saved() {
    let web = Place::new();
    let before = "KUBECONFIG=/home/me/prod\nKUBECONFIG_PRIMARY=bWluZQ==\n";
    fs::write(web.path(".env"), before).unwrap();
    web.write().unwrap();
    let former = web.scratch().join("web.env.former");
    assert_eq!(fs::read_to_string(&former).unwrap(), before);
    assert_eq!(fs::metadata(&former).unwrap().permissions().mode() & 0o777, 0o600);
    insta::assert_snapshot!(web.shown(web.events.warnings().join("\n")), @"WEB/.env had another value of KUBECONFIG and KUBECONFIG_PRIMARY, which k3s-vm sets: the file as it was is in TEMP/vm/web.env.former");
    web.write().unwrap();
    assert_eq!(fs::read_to_string(&former).unwrap(), before, "our own values are not saved");
}

#[test]
fn temporary_files_of_killed_runs_of_former_versions_are_removed_by_the_next_write() {
    let web = Place::new();
    fs::create_dir(web.path(".kube")).unwrap();
    for name in ["..env.4711-0.tmp", ".kube/.config.4711-1.tmp"] {
        fs::write(web.path(name), "secret").unwrap();
    }
    web.write().unwrap();
    assert_eq!(web.names(), [".env", ".kube", "kubeconfig.yaml"]);
    assert!(!web.path(".kube/.config.4711-1.tmp").exists());
    assert_eq!(fs::read_dir(web.scratch()).unwrap().count(), 0);
}

#[test]
fn everything_in_the_way_is_reported_at_once() {
    let web = Place::new();
    fs::create_dir(web.path("kubeconfig.yaml")).unwrap();
    fs::write(web.path(".env"), "A=1\n").unwrap();
    fs::set_permissions(web.path(".env"), fs::Permissions::from_mode(0o444)).unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web directory cannot take the kubeconfig: WEB/kubeconfig.yaml is a file of yours; it has to be a link to .kube/config: WEB/.env is read-only; KUBECONFIG and KUBECONFIG_PRIMARY have to be set in it
    mv WEB/kubeconfig.yaml WEB/kubeconfig.yaml.old
    chmod u+w WEB/.env
    ");
}

#[test]
fn a_web_directory_that_is_a_file_is_reported() {
    let web = Place::new();
    fs::remove_dir(&web.directory).unwrap();
    web.check().unwrap();
    fs::write(&web.directory, "").unwrap();
    insta::assert_snapshot!(web.refusal(), @r"
    the web directory cannot take the kubeconfig: WEB is no directory
    mv WEB WEB.old    # or name the web directory: web.directory in .k3s-vm/config.toml
    ");
}
