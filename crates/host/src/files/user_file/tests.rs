//! Tests of the metadata that a write preserves, and of runs that were killed.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{XattrFlags, getxattr, setxattr};
use tempfile::TempDir;
use testkit::isolation::{self, isolated};
use testkit::skipped::skip;

use super::*;
use crate::files::in_open_directory;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("web")).unwrap();
        fs::create_dir(place.path("scratch")).unwrap();
        fs::write(place.env(), "A=1\n").unwrap();
        place
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn env(&self) -> PathBuf {
        self.path("web/.env")
    }
    fn write(&self, text: &str) -> Result<Written> {
        UserFile::new(&self.env(), &self.path("scratch")).write(text.as_bytes(), Mode::Keep)
    }
    fn content(&self) -> String {
        fs::read_to_string(self.env()).unwrap()
    }
    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
    /// Only the file is there, with this text.
    fn is(&self, text: &str) {
        assert_eq!((self.content().as_str(), self.names("web")), (text, vec![".env".to_owned()]));
        assert!(self.names("scratch").is_empty(), "{:?}", self.names("scratch"));
    }
}

/// Runs `work` in a process of its own that may mount, if this machine allows it.
fn with_mounts(test: &str, work: impl FnOnce()) {
    isolated(&format!("files::user_file::tests::{test}"), work);
}

fn mount(arguments: &[&std::ffi::OsStr]) {
    isolation::mount(arguments);
}

#[test]
fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
    let place = Place::new();
    fs::set_permissions(place.env(), PermissionsExt::from_mode(0o640)).unwrap();
    let mut reader = File::open(place.env()).unwrap();
    assert_eq!(place.write("A=1\nB=2\n").unwrap(), Written::Replaced);
    place.is("A=1\nB=2\n");
    assert_eq!(fs::metadata(place.env()).unwrap().permissions().mode() & 0o7777, 0o640);
    let mut seen = String::new();
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "A=1\n", "a reader sees the old content or the new one");
}

#[test]
fn a_missing_file_is_created_with_the_mode() {
    let place = Place::new();
    fs::remove_file(place.env()).unwrap();
    let scratch = place.path("scratch");
    UserFile::new(&place.env(), &scratch).write(b"A=1\n", Mode::Exactly(0o600)).unwrap();
    place.is("A=1\n");
    assert_eq!(fs::metadata(place.env()).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn a_mount_of_one_file_could_not_be_renamed_over_and_is_written_in_place() {
    with_mounts("a_mount_of_one_file_could_not_be_renamed_over_and_is_written_in_place", || {
        let place = Place::new();
        fs::write(place.path("mounted"), "A=1\nLONG=123456789\n").unwrap();
        mount(&["--bind".as_ref(), place.path("mounted").as_ref(), place.env().as_ref()]);
        assert_eq!(place.write("A=1\nB=2\n").unwrap(), Written::InPlace);
        place.is("A=1\nB=2\n");
        assert_eq!(fs::read_to_string(place.path("mounted")).unwrap(), "A=1\nB=2\n");
        assert_eq!(place.write("A=1\nB=2\nC=3\n").unwrap(), Written::InPlace);
        place.is("A=1\nB=2\nC=3\n");
    });
}

#[test]
fn a_directory_that_is_another_filesystem_or_cannot_be_written_has_its_file_changed_all_the_same() {
    with_mounts(
        "a_directory_that_is_another_filesystem_or_cannot_be_written_has_its_file_changed_all_the_same",
        || {
            let place = Place::new();
            mount(&["-t".as_ref(), "tmpfs".as_ref(), "tmpfs".as_ref(), place.path("web").as_ref()]);
            fs::write(place.env(), "A=1\n").unwrap();
            assert_eq!(place.write("A=2\n").unwrap(), Written::Replaced);
            place.is("A=2\n");
            // A directory mounted read-only with one file in it that is not.
            fs::write(place.path("mounted"), "A=1\n").unwrap();
            mount(&["--bind".as_ref(), place.path("mounted").as_ref(), place.env().as_ref()]);
            mount(&["-o".as_ref(), "remount,ro".as_ref(), place.path("web").as_ref()]);
            assert_eq!(place.write("A=3\n").unwrap(), Written::InPlace);
            place.is("A=3\n");
        },
    );
}

#[test]
fn a_disk_that_fills_while_a_file_is_written_in_place_leaves_its_former_content() {
    with_mounts("a_disk_that_fills_while_a_file_is_written_in_place_leaves_its_former_content", || {
        let place = Place::new();
        let (web, size) = (place.path("web"), "size=16k");
        mount(&["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), size.as_ref(), "tmpfs".as_ref(), web.as_ref()]);
        fs::write(place.env(), "A=1\n").unwrap();
        // Two hard links rule out a replacement.
        fs::hard_link(place.env(), place.path("web/other")).unwrap();
        let error = place.write(&"B=2\n".repeat(20_000)).unwrap_err();
        assert!(error.to_string().contains("No space left on device"), "{error}");
        assert_eq!(place.content(), "A=1\n");
        assert!(place.names("scratch").is_empty());
    });
}

#[test]
fn hard_links_and_symbolic_links_stay_what_they_are() {
    let place = Place::new();
    fs::hard_link(place.env(), place.path("other")).unwrap();
    assert_eq!(place.write("A=2\n").unwrap(), Written::InPlace);
    place.is("A=2\n");
    assert_eq!(fs::read_to_string(place.path("other")).unwrap(), "A=2\n");

    fs::remove_file(place.env()).unwrap();
    symlink("../other", place.env()).unwrap();
    assert_eq!(place.write("A=3\n").unwrap(), Written::Replaced);
    place.is("A=3\n");
    assert_eq!(fs::read_link(place.env()).unwrap(), Path::new("../other"));

    let scratch = place.path("scratch");
    let env = place.env();
    let error = UserFile { follow: false, ..UserFile::new(&env, &scratch) }.write(b"", Mode::Keep).unwrap_err();
    assert_eq!(error.why(), ["it is not a regular file"]);
    place.is("A=3\n");
}

/// An access control list as acl(5) and the kernel's `posix_acl_xattr.h` have it: version 2, then tag, permissions, id.
fn list(user: u32) -> Vec<u8> {
    let entries = [(1u16, 6u16, u32::MAX), (2, 4, user), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)];
    let entries = entries.iter().flat_map(|(tag, allowed, id)| {
        [tag.to_le_bytes().to_vec(), allowed.to_le_bytes().to_vec(), id.to_le_bytes().to_vec()].concat()
    });
    2u32.to_le_bytes().into_iter().chain(entries).collect()
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = getxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn an_access_control_list_and_attributes_were_lost_by_a_rename() {
    let place = Place::new();
    let (list_name, own) = ("system.posix_acl_access", "user.origin");
    let set = |path: &Path, name: &str, value: &[u8]| setxattr(path, name, value, XattrFlags::empty());
    if set(&place.env(), list_name, &list(12_345)).is_err() || set(&place.env(), own, b"vault").is_err() {
        return skip("this filesystem has neither lists nor attributes");
    }
    // The default access control list of the directory must not apply.
    set(&place.path("scratch"), "system.posix_acl_default", &list(54_321)).unwrap();
    assert_eq!(place.write("A=2\n").unwrap(), Written::Replaced);
    place.is("A=2\n");
    assert_eq!(attribute(&place.env(), list_name), Some(list(12_345)));
    assert_eq!(attribute(&place.env(), own).as_deref(), Some(&b"vault"[..]));
    assert_eq!(fs::metadata(place.env()).unwrap().permissions().mode() & 0o777, 0o640);

    fs::remove_file(place.env()).unwrap();
    fs::write(place.env(), "A=1\n").unwrap();
    assert_eq!(place.write("A=2\n").unwrap(), Written::Replaced);
    assert_eq!(attribute(&place.env(), list_name), None, "a file without an access control list gets none");
}

#[test]
fn the_owner_stays_when_root_writes() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can make a file of somebody else's");
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.env(), Some(12_345), Some(23_456)).unwrap();
    place.write("A=2\n").unwrap();
    let facts = fs::metadata(place.env()).unwrap();
    assert_eq!((facts.uid(), facts.gid(), place.content().as_str()), (12_345, 23_456, "A=2\n"));
}

/// The process dies by a signal in the middle of its first write, as by `kill -9`.
#[test]
fn a_run_that_was_killed_left_secrets_beside_dot_env() {
    const TEST: &str = "files::user_file::tests::a_run_that_was_killed_left_secrets_beside_dot_env";
    /// Names the directory to the process that is killed.
    const INSIDE: &str = "K3S_TEST_KILLED_IN";
    if let Some(directory) = std::env::var_os(INSIDE) {
        let directory = PathBuf::from(directory);
        UserFile::new(&directory.join("web/.env"), &directory.join("scratch"))
            .write(b"SECRET=1\n", Mode::Keep)
            .unwrap();
        return;
    }
    for exists in [true, false] {
        let place = Place::new();
        if !exists {
            fs::remove_file(place.env()).unwrap();
        }
        let before = place.names("web");
        // No file may grow: a process that writes one gets SIGXFSZ (setrlimit(2)).
        let script = "ulimit -c 0; ulimit -f 0; exec \"$0\" --exact \"$1\" --nocapture";
        let test = std::env::current_exe().unwrap();
        let mut command = Command::new("sh");
        let output = command.args(["-c", script]).arg(test).arg(TEST).env(INSIDE, place.0.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(25), "{said}");
        assert_eq!(place.names("web"), before);
        assert!(place.names("scratch").is_empty(), "{:?}", place.names("scratch"));
    }
}

#[test]
fn files_that_killed_runs_left_are_removed_and_no_others() {
    let place = Place::new();
    for name in ["..env.4711-0.tmp", ".env.k3s-vm.tmp", "..env.tmp", "..env.1-x.tmp", ".env.local", "..env.1-2-3.tmp"] {
        fs::write(place.path("web").join(name), "S=1\n").unwrap();
    }
    fs::write(place.path("scratch").join(STAGED), "S=1\n").unwrap();
    fs::create_dir(place.path("web/..env.4711-1.tmp")).unwrap();
    UserFile::new(&place.env(), &place.path("scratch")).sweep();
    assert_eq!(
        place.names("web"),
        ["..env.1-2-3.tmp", "..env.1-x.tmp", "..env.4711-1.tmp", "..env.tmp", ".env", ".env.local"]
    );
    assert!(place.names("scratch").is_empty());
}

#[test]
fn paths_in_an_open_directory_are_valid_after_it_was_renamed() {
    let place = Place::new();
    let directory = File::open(place.path("web")).unwrap();
    fs::rename(place.path("web"), place.path("moved")).unwrap();
    symlink("/nowhere", place.path("web")).unwrap();
    let (path, scratch) = (in_open_directory(&directory, ".env"), place.path("scratch"));
    let file = UserFile { follow: false, ..UserFile::new(&path, &scratch) };
    assert_eq!(file.write(b"A=2\n", Mode::Keep).unwrap(), Written::Replaced);
    assert_eq!(fs::read_to_string(place.path("moved/.env")).unwrap(), "A=2\n");
}
