//! Tests of the file operations on a real filesystem.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use model::FaultClass;
use tempfile::TempDir;

use super::*;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
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
fn a_finished_folder_got_its_name_before_its_content_was_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (partial, finished) = (folder.path().join("k.partial"), folder.path().join("k"));
    fs::create_dir(&partial).unwrap();
    let synced = std::cell::Cell::new(false);
    let sync = |path: &Path| {
        assert_eq!((path, finished.exists()), (partial.as_path(), false));
        synced.set(true);
        Ok(())
    };
    publish_by(&sync, &partial, &finished).unwrap();
    assert!(synced.get() && finished.is_dir());
    // What cannot be written to the disk gets no name.
    fs::create_dir(&partial).unwrap();
    let broken = |path: &Path| Err(at_path("complete", path, &Errno::IO.into()));
    let other = folder.path().join("other");
    assert!(publish_by(&broken, &partial, &other).is_err());
    assert!(!other.exists() && partial.exists());
    publish(&partial, &other).unwrap();
}

#[test]
fn writes_a_new_file_with_the_mode_and_leaves_nothing_else() {
    let folder = Folder::new();
    write_atomic(&folder.path("secret"), b"one", Mode::Exactly(0o600)).unwrap();
    write_atomic(&folder.path("tool"), b"two", Mode::Exactly(0o777)).unwrap();
    write_atomic(&folder.path("usual"), b"three", Mode::Keep).unwrap();
    assert_eq!(mode(&folder.path("secret")), 0o600);
    assert_eq!(mode(&folder.path("tool")), 0o777, "the umask takes nothing from an exact mode");
    let reference = fs::File::create(folder.path("reference")).unwrap();
    assert_eq!(mode(&folder.path("usual")), reference.metadata().unwrap().mode() & 0o644, "0644 less the umask");
    assert_eq!(fs::read(folder.path("usual")).unwrap(), b"three");
    assert_eq!(folder.names(), ["reference", "secret", "tool", "usual"]);
}

#[test]
fn keeps_the_mode_of_what_it_replaces() {
    let folder = Folder::new();
    let path = folder.path("file");
    for kept in [0o600, 0o640, 0o664, 0o400] {
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(kept)).unwrap();
        write_atomic(&path, b"new", Mode::Keep).unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap().as_slice()), (kept, &b"new"[..]));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn keeps_the_owner_where_it_may() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root can make a file of somebody else's.
    }
    let folder = Folder::new();
    let path = folder.path("file");
    fs::write(&path, "old").unwrap();
    std::os::unix::fs::chown(&path, Some(12_345), Some(23_456)).unwrap();
    write_atomic(&path, b"new", Mode::Keep).unwrap();
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.uid(), facts.gid()), (12_345, 23_456));
}

#[test]
fn a_reader_of_the_old_file_keeps_the_old_content() {
    let folder = Folder::new();
    let path = folder.path("file");
    fs::write(&path, "old").unwrap();
    let mut reader = fs::File::open(&path).unwrap();
    write_atomic(&path, b"new", Mode::Keep).unwrap();
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut reader, &mut seen).unwrap();
    assert_eq!(seen, "old", "the file was replaced, not overwritten");
}

#[test]
fn follows_links_to_the_file_and_keeps_them() {
    let folder = Folder::new();
    fs::create_dir(folder.path("real")).unwrap();
    fs::write(folder.path("real/file"), "old").unwrap();
    symlink("real/file", folder.path("second")).unwrap();
    symlink(folder.path("second"), folder.path("first")).unwrap();
    write_atomic(&folder.path("first"), b"new", Mode::Keep).unwrap();
    assert_eq!(fs::read(folder.path("real/file")).unwrap(), b"new");
    assert_eq!(fs::read_link(folder.path("first")).unwrap(), folder.path("second"));
    assert_eq!(fs::read_link(folder.path("second")).unwrap(), Path::new("real/file"));

    symlink("real/absent", folder.path("dangling")).unwrap();
    write_atomic(&folder.path("dangling"), b"made", Mode::Keep).unwrap();
    assert_eq!(fs::read(folder.path("real/absent")).unwrap(), b"made");
}

#[test]
fn a_ring_of_links_is_a_fault() {
    let folder = Folder::new();
    symlink("two", folder.path("one")).unwrap();
    symlink("one", folder.path("two")).unwrap();
    let fault = write_atomic(&folder.path("one"), b"", Mode::Keep).unwrap_err();
    assert_eq!(fault.why(), ["Too many levels of symbolic links"]);
}

#[test]
fn what_cannot_be_written_names_the_path() {
    let folder = Folder::new();
    let path = folder.path("absent/file");
    let fault = write_atomic(&path, b"", Mode::Keep).unwrap_err();
    assert_eq!(fault.to_string(), format!("cannot write {}: No such file or directory", path.display()));

    let fault = write_atomic(folder.0.path(), b"", Mode::Keep).unwrap_err();
    assert_eq!(fault.to_string(), format!("cannot write {}: Is a directory", folder.0.path().display()));
}

#[test]
fn a_device_is_not_replaced() {
    let folder = Folder::new();
    let socket = folder.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    symlink("socket", folder.path("link")).unwrap();
    let fault = write_atomic(&folder.path("link"), b"", Mode::Keep).unwrap_err();
    assert_eq!(fault.why(), ["it is no ordinary file"]);
    assert_eq!(folder.names(), ["link", "socket"]);
}

#[test]
fn a_folder_without_permission_is_told_with_a_next_step() {
    let folder = Folder::new();
    fs::create_dir(folder.path("closed")).unwrap();
    fs::set_permissions(folder.path("closed"), PermissionsExt::from_mode(0o555)).unwrap();
    if fs::write(folder.path("closed/probe"), "").is_ok() {
        return; // Root may write everywhere.
    }
    let path = folder.path("closed/file");
    let fault = write_atomic(&path, b"", Mode::Keep).unwrap_err();
    assert_eq!(fault.class(), FaultClass::Host);
    assert_eq!(fault.to_string(), format!("cannot write {}: Permission denied", path.display()));
    assert!(fault.next_steps()[0].starts_with("`ls -ld "), "{:?}", fault.next_steps());
}

#[test]
fn a_failed_replacement_leaves_no_temporary_file() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("taken/inside")).unwrap();
    write_atomic(&folder.path("taken"), b"", Mode::Keep).unwrap_err();
    assert_eq!(folder.names(), ["taken"]);
}

#[test]
fn reading_tells_absence_from_failure() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "text").unwrap();
    assert_eq!(read_optional(&folder.path("file")).unwrap().unwrap(), b"text");
    assert_eq!(read_text_optional(&folder.path("file")).unwrap().unwrap(), "text");
    assert_eq!(read_optional(&folder.path("absent")).unwrap(), None);
    assert_eq!(read_optional(&folder.path("file/below")).unwrap(), None);
    assert_eq!(read_text_optional(&folder.path("absent")).unwrap(), None);
    assert!(read_optional(folder.0.path()).is_err());
}

#[test]
fn text_that_is_none_names_the_line() {
    let folder = Folder::new();
    fs::write(folder.path("file"), b"one\ntwo\nthr\xffee\n").unwrap();
    let fault = read_text_optional(&folder.path("file")).unwrap_err();
    assert_eq!(fault.class(), FaultClass::Config);
    assert_eq!(fault.why(), ["line 3 has bytes that are no text"]);
}

#[test]
fn a_private_folder_is_private_also_when_it_was_not() {
    let folder = Folder::new();
    create_private_dir(&folder.path("a/b")).unwrap();
    assert_eq!(mode(&folder.path("a/b")), 0o700);
    assert_ne!(mode(&folder.path("a")), 0o700, "only the folder itself is made private");
    create_dir(&folder.path("c/d")).unwrap();
    create_private_dir(&folder.path("c/d")).unwrap();
    assert_eq!(mode(&folder.path("c/d")), 0o700);
    create_private_dir(&folder.path("c/d")).unwrap();
    fs::write(folder.path("file"), "").unwrap();
    assert!(create_private_dir(&folder.path("file")).is_err());
}

#[test]
fn removes_everything_but_what_a_link_points_to() {
    let folder = Folder::new();
    fs::create_dir_all(folder.path("tree/read-only")).unwrap();
    fs::write(folder.path("tree/read-only/file"), "").unwrap();
    fs::set_permissions(folder.path("tree/read-only"), PermissionsExt::from_mode(0o555)).unwrap();
    fs::write(folder.path("kept"), "").unwrap();
    symlink("kept", folder.path("link")).unwrap();
    for name in ["tree", "link", "absent", "kept/below"] {
        remove(&folder.path(name)).unwrap();
    }
    assert_eq!(folder.names(), ["kept"]);
    remove(&folder.path("kept")).unwrap();
    assert!(folder.names().is_empty());
}

#[test]
fn renames_and_names_both_paths_when_it_cannot() {
    let folder = Folder::new();
    fs::write(folder.path("old"), "x").unwrap();
    rename(&folder.path("old"), &folder.path("new")).unwrap();
    assert_eq!(folder.names(), ["new"]);
    let fault = rename(&folder.path("old"), &folder.path("new")).unwrap_err();
    let (old, new) = (folder.path("old"), folder.path("new"));
    assert_eq!(fault.what(), format!("cannot rename {} to {}", old.display(), new.display()));
}

#[test]
fn a_link_is_made_and_what_has_its_name_is_kept() {
    let folder = Folder::new();
    let link = folder.path("kubeconfig.yaml");
    make_link(&link, Path::new(".kube/config")).unwrap();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(".kube/config"));
    let fault = make_link(&link, Path::new("elsewhere")).unwrap_err();
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(".kube/config"));
    assert_eq!(fault.class(), FaultClass::State);
    assert_eq!(fault.next_steps(), [format!("mv {0} {0}.old", link.display())]);
    assert_eq!(folder.names(), ["kubeconfig.yaml"]);
}

#[test]
fn free_space_is_that_of_the_nearest_folder() {
    let folder = Folder::new();
    assert!(free_space(&folder.path("not/there/yet")).unwrap() > 0);
    assert!(free_space(Path::new("relative-and-absent")).unwrap() > 0);
    assert!(free_space(Path::new("/")).unwrap() > 0);
}

#[test]
fn an_exchange_is_a_rename_where_there_is_nothing_to_exchange() {
    let folder = Folder::new();
    for name in ["new", "other"] {
        fs::create_dir(folder.path(name)).unwrap();
        fs::write(folder.path(name).join("file"), name).unwrap();
    }
    exchange(&folder.path("new"), &folder.path("name")).unwrap();
    assert_eq!(folder.names(), ["name", "other"]);
    exchange(&folder.path("other"), &folder.path("name")).unwrap();
    assert_eq!(fs::read_to_string(folder.path("name/file")).unwrap(), "other");
    assert_eq!(fs::read_to_string(folder.path("other/file")).unwrap(), "new");
    let fault = exchange(&folder.path("absent"), &folder.path("name")).unwrap_err();
    assert!(fault.to_string().starts_with("cannot rename "), "{fault}");
    assert!(folder.path("name/file").exists());
}
