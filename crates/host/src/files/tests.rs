//! Tests on a real filesystem.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use model::ErrorClass;
use rustix::io::Errno;
use tempfile::TempDir;

use super::names::publish_by;
use super::*;
use crate::io_error::at_path;

struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Directory(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_finished_directory_got_its_name_before_its_content_was_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let (partial, finished) = (directory.path().join("k.partial"), directory.path().join("k"));
    fs::create_dir(&partial).unwrap();
    let synced = std::cell::Cell::new(false);
    let sync = |path: &Path| {
        assert_eq!((path, finished.exists()), (partial.as_path(), false));
        synced.set(true);
        Ok(())
    };
    publish_by(&sync, &partial, &finished).unwrap();
    assert!(synced.get() && finished.is_dir());
    // A directory that cannot be synced is not renamed.
    fs::create_dir(&partial).unwrap();
    let broken = |path: &Path| Err(at_path("sync", path, &Errno::IO.into()));
    let other = directory.path().join("other");
    assert!(publish_by(&broken, &partial, &other).is_err());
    assert!(!other.exists() && partial.exists());
    publish(&partial, &other).unwrap();
}

#[test]
fn writes_a_new_file_with_the_mode_and_leaves_nothing_else() {
    let directory = Directory::new();
    write_atomic(&directory.path("secret"), b"one", Mode::Exactly(0o600)).unwrap();
    write_atomic(&directory.path("tool"), b"two", Mode::Exactly(0o777)).unwrap();
    write_atomic(&directory.path("usual"), b"three", Mode::Keep).unwrap();
    assert_eq!(mode(&directory.path("secret")), 0o600);
    assert_eq!(mode(&directory.path("tool")), 0o777, "the umask takes nothing from an exact mode");
    let reference = fs::File::create(directory.path("reference")).unwrap();
    assert_eq!(mode(&directory.path("usual")), reference.metadata().unwrap().mode() & 0o644, "0644 less the umask");
    assert_eq!(fs::read(directory.path("usual")).unwrap(), b"three");
    assert_eq!(directory.names(), ["reference", "secret", "tool", "usual"]);
}

#[test]
fn preserves_the_mode_of_the_replaced_file() {
    let directory = Directory::new();
    let path = directory.path("file");
    for old_mode in [0o600, 0o640, 0o664, 0o400] {
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(old_mode)).unwrap();
        write_atomic(&path, b"new", Mode::Keep).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap().as_slice()), (old_mode, &b"new"[..]));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn preserves_the_owner_if_it_may() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make a file of somebody else's.
    }
    let directory = Directory::new();
    let path = directory.path("file");
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::chown(&path, Some(12_345), Some(23_456)).unwrap();
    write_atomic(&path, b"new", Mode::Keep).unwrap();
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.uid(), facts.gid()), (12_345, 23_456));
}

#[test]
fn a_reader_of_the_old_file_still_sees_the_old_content() {
    let directory = Directory::new();
    let path = directory.path("file");
    fs::write(&path, "old").unwrap();
    let mut reader = fs::File::open(&path).unwrap();
    write_atomic(&path, b"new", Mode::Keep).unwrap();
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
    assert_eq!(seen, "old", "the file was replaced, not overwritten");
}

#[test]
fn follows_links_and_leaves_them_in_place() {
    let directory = Directory::new();
    fs::create_dir(directory.path("real")).unwrap();
    fs::write(directory.path("real/file"), "old").unwrap();
    symlink("real/file", directory.path("second")).unwrap();
    symlink(directory.path("second"), directory.path("first")).unwrap();
    write_atomic(&directory.path("first"), b"new", Mode::Keep).unwrap();
    assert_eq!(fs::read(directory.path("real/file")).unwrap(), b"new");
    assert_eq!(fs::read_link(directory.path("first")).unwrap(), directory.path("second"));
    assert_eq!(fs::read_link(directory.path("second")).unwrap(), Path::new("real/file"));

    symlink("real/absent", directory.path("dangling")).unwrap();
    write_atomic(&directory.path("dangling"), b"made", Mode::Keep).unwrap();
    assert_eq!(fs::read(directory.path("real/absent")).unwrap(), b"made");
}

#[test]
fn a_loop_of_links_is_an_error() {
    let directory = Directory::new();
    symlink("two", directory.path("one")).unwrap();
    symlink("one", directory.path("two")).unwrap();
    let error = write_atomic(&directory.path("one"), b"", Mode::Keep).unwrap_err();
    assert_eq!(error.why(), ["Too many levels of symbolic links"]);
}

#[test]
fn an_error_of_writing_names_the_path() {
    let directory = Directory::new();
    let path = directory.path("absent/file");
    let error = write_atomic(&path, b"", Mode::Keep).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {}: No such file or directory", path.display()));

    let error = write_atomic(directory.0.path(), b"", Mode::Keep).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {}: Is a directory", directory.0.path().display()));
}

#[test]
fn a_device_is_not_replaced() {
    let directory = Directory::new();
    let socket = directory.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    symlink("socket", directory.path("link")).unwrap();
    let error = write_atomic(&directory.path("link"), b"", Mode::Keep).unwrap_err();
    assert_eq!(error.why(), ["it is not a regular file"]);
    assert_eq!(directory.names(), ["link", "socket"]);
}

#[test]
fn a_directory_without_permission_is_an_error_with_a_next_step() {
    let directory = Directory::new();
    fs::create_dir(directory.path("closed")).unwrap();
    fs::set_permissions(directory.path("closed"), PermissionsExt::from_mode(0o555)).unwrap();
    if fs::write(directory.path("closed/probe"), "").is_ok() {
        return; // Root may write everywhere.
    }
    let path = directory.path("closed/file");
    let error = write_atomic(&path, b"", Mode::Keep).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Host);
    assert_eq!(error.to_string(), format!("cannot write {}: Permission denied", path.display()));
    assert!(error.next_steps()[0].starts_with("`ls -ld "), "{:?}", error.next_steps());
}

#[test]
fn a_failed_replacement_leaves_no_temporary_file() {
    let directory = Directory::new();
    fs::create_dir_all(directory.path("taken/inside")).unwrap();
    write_atomic(&directory.path("taken"), b"", Mode::Keep).unwrap_err();
    assert_eq!(directory.names(), ["taken"]);
}

#[test]
fn reading_tells_absence_from_failure() {
    let directory = Directory::new();
    fs::write(directory.path("file"), "text").unwrap();
    assert_eq!(read_optional(&directory.path("file")).unwrap().unwrap(), b"text");
    assert_eq!(read_text_optional(&directory.path("file")).unwrap().unwrap(), "text");
    assert_eq!(read_optional(&directory.path("absent")).unwrap(), None);
    assert_eq!(read_optional(&directory.path("file/below")).unwrap(), None);
    assert_eq!(read_text_optional(&directory.path("absent")).unwrap(), None);
    assert!(read_optional(directory.0.path()).is_err());
}

#[test]
fn text_that_is_not_utf_8_names_the_line() {
    let directory = Directory::new();
    fs::write(directory.path("file"), b"one\ntwo\nthr\xffee\n").unwrap();
    let error = read_text_optional(&directory.path("file")).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Config);
    assert_eq!(error.why(), ["line 3 has bytes that are not UTF-8"]);
}

#[test]
fn an_existing_directory_is_made_private() {
    let directory = Directory::new();
    create_private_dir(&directory.path("a/b")).unwrap();
    assert_eq!(mode(&directory.path("a/b")), 0o700);
    assert_ne!(mode(&directory.path("a")), 0o700, "only the directory itself is made private");
    create_dir(&directory.path("c/d")).unwrap();
    create_private_dir(&directory.path("c/d")).unwrap();
    assert_eq!(mode(&directory.path("c/d")), 0o700);
    create_private_dir(&directory.path("c/d")).unwrap();
    fs::write(directory.path("file"), "").unwrap();
    assert!(create_private_dir(&directory.path("file")).is_err());
}

#[test]
fn removes_everything_but_the_target_of_a_link() {
    let directory = Directory::new();
    fs::create_dir_all(directory.path("tree/read-only")).unwrap();
    fs::write(directory.path("tree/read-only/file"), "").unwrap();
    fs::set_permissions(directory.path("tree/read-only"), PermissionsExt::from_mode(0o555)).unwrap();
    fs::write(directory.path("other"), "").unwrap();
    symlink("other", directory.path("link")).unwrap();
    for name in ["tree", "link", "absent", "other/below"] {
        remove(&directory.path(name)).unwrap();
    }
    assert_eq!(directory.names(), ["other"]);
    remove(&directory.path("other")).unwrap();
    assert!(directory.names().is_empty());
}

#[test]
fn renames_and_names_both_paths_when_it_cannot() {
    let directory = Directory::new();
    fs::write(directory.path("old"), "x").unwrap();
    rename(&directory.path("old"), &directory.path("new")).unwrap();
    assert_eq!(directory.names(), ["new"]);
    let error = rename(&directory.path("old"), &directory.path("new")).unwrap_err();
    let (old, new) = (directory.path("old"), directory.path("new"));
    assert_eq!(error.what(), format!("cannot rename {} to {}", old.display(), new.display()));
}

#[test]
fn a_link_is_created_and_never_replaces_anything() {
    let directory = Directory::new();
    let link = directory.path("kubeconfig.yaml");
    make_link(&link, Path::new(".kube/config")).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(".kube/config"));
    let error = make_link(&link, Path::new("elsewhere")).unwrap_err();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(".kube/config"));
    assert_eq!(error.class(), ErrorClass::State);
    assert_eq!(error.next_steps(), [format!("mv {0} {0}.old", link.display())]);
    assert_eq!(directory.names(), ["kubeconfig.yaml"]);
}

#[test]
fn free_space_is_that_of_the_nearest_existing_parent() {
    let directory = Directory::new();
    assert!(free_space(&directory.path("not/there/yet")).unwrap() > 0);
    assert!(free_space(Path::new("relative-and-absent")).unwrap() > 0);
    assert!(free_space(Path::new("/")).unwrap() > 0);
}

#[test]
fn an_exchange_with_a_free_name_is_a_rename() {
    let directory = Directory::new();
    for name in ["new", "other"] {
        fs::create_dir(directory.path(name)).unwrap();
        fs::write(directory.path(name).join("file"), name).unwrap();
    }
    exchange(&directory.path("new"), &directory.path("name")).unwrap();
    assert_eq!(directory.names(), ["name", "other"]);
    exchange(&directory.path("other"), &directory.path("name")).unwrap();
    assert_eq!(fs::read_to_string(directory.path("name/file")).unwrap(), "other");
    assert_eq!(fs::read_to_string(directory.path("other/file")).unwrap(), "new");
    let error = exchange(&directory.path("absent"), &directory.path("name")).unwrap_err();
    assert!(error.to_string().starts_with("cannot rename "), "{error}");
    assert!(directory.path("name/file").exists());
}

#[test]
fn a_pipe_in_the_place_of_a_file_was_waited_for_without_end() {
    let directory = Directory::new();
    let pipe = directory.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let error = read_optional(&pipe).unwrap_err();
    assert_eq!((error.class(), error.why()), (ErrorClass::Config, ["it is a pipe or a socket".to_owned()].as_slice()));
    let endless = directory.path("endless");
    std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
    assert_eq!(read_optional(&endless).unwrap_err().why(), ["it has more than 64 MiB"]);
    let hidden = directory.path("hidden");
    std::os::unix::fs::symlink("/dev/null", &hidden).unwrap();
    assert_eq!(read_optional(&hidden).unwrap(), Some(Vec::new()));
}

#[test]
fn a_file_was_moved_away_over_the_one_that_was_moved_before() {
    let directory = Directory::new();
    let path = directory.path("config");
    assert_eq!(move_away(&path), format!("mv {0} {0}.old", path.display()));
    std::fs::write(directory.path("config.old"), "older").unwrap();
    assert_eq!(move_away(&path), format!("mv {0} {0}.old2", path.display()));
}
