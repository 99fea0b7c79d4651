//! Makes kernel and initial RAM disk from the archive of a Debian tree without unpacking it.
//!
//! The RAM disk has one static program, a script and the few modules that the root disk needs, and no udev.

use std::path::Path;

use model::{Error, ErrorClass, Result};

use super::kernel_image::bootable_elf;
use super::kernel_modules::load_order;
use super::tree_archive::read;
use host::cpio::Archive;

const BUSYBOX: &str = "usr/bin/busybox";
const MODULES: &str = "usr/lib/modules/";

/// The files that boot a guest, besides its disk.
pub(crate) struct BootFiles {
    /// The kernel: ELF if possible, else bzImage.
    pub(crate) kernel: Vec<u8>,
    /// The initial RAM disk.
    pub(crate) initrd: Vec<u8>,
}

/// Makes the boot files from the tree in `archive`. The RAM disk loads the modules `names` and runs the script `init`.
///
/// # Errors
/// A Failed error that names what the tree lacks.
pub(crate) fn make(archive: &Path, names: &[String], init: &[u8]) -> Result<BootFiles> {
    let is_kernel = |path: &str| path.starts_with("boot/vmlinuz-");
    let is_index = |path: &str| path.starts_with(MODULES) && path.ends_with("/modules.dep");
    let first = read(archive, &|path| path == BUSYBOX || is_kernel(path) || is_index(path))?;
    let find = |what: &str, wanted: &dyn Fn(&str) -> bool| {
        first.iter().find(|(path, _)| wanted(path)).ok_or_else(|| lacks(archive, what))
    };
    let (_, bz_image) = find("a kernel in /boot", &is_kernel)?;
    let (_, busybox) = find("/usr/bin/busybox", &|path| path == BUSYBOX)?;
    let (index_path, index) = find("modules.dep of its kernel", &is_index)?;
    let directory = index_path.trim_end_matches("modules.dep");
    let order = load_order(&String::from_utf8_lossy(index), names)?;
    let modules = read(archive, &|path| {
        path.strip_prefix(directory).is_some_and(|relative| order.iter().any(|wanted| wanted == relative))
    })?;
    let mut content = Vec::new();
    for relative in &order {
        let bytes = modules.get(&format!("{directory}{relative}")).ok_or_else(|| lacks(archive, relative))?;
        content.push((file_name(relative), bytes.as_slice()));
    }
    Ok(BootFiles {
        kernel: bootable_elf(bz_image).unwrap_or_else(|| bz_image.clone()),
        initrd: initrd(busybox, init, &content),
    })
}

fn initrd(busybox: &[u8], init: &[u8], modules: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Archive::default();
    for directory in ["bin", "dev", "modules", "proc", "root", "sys"] {
        archive.directory(directory);
    }
    // The kernel opens its console here before devtmpfs is mounted.
    archive.character_device("dev/console", 5, 1);
    archive.program("bin/busybox", busybox);
    archive.program("init", init);
    let mut order = String::new();
    for (name, bytes) in modules {
        archive.file(&format!("modules/{name}"), bytes);
        order.push_str(name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes());
    archive.finish()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn lacks(archive: &Path, what: &str) -> Error {
    Error::new(ErrorClass::Failed, format!("the guest's tree lacks {what}")).because(archive.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut tar = tar::Builder::new(file.reopen().unwrap());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("./{path}"), content.as_bytes()).unwrap();
        }
        tar.finish().unwrap();
        file
    }

    fn position(haystack: &[u8], needle: &str) -> Option<usize> {
        haystack.windows(needle.len()).position(|window| window == needle.as_bytes())
    }

    const FILES: [(&str, &str); 6] = [
        ("boot/vmlinuz-6.12", "the kernel"),
        ("usr/bin/busybox", "the busybox"),
        ("usr/lib/modules/6.12/modules.dep", "kernel/b.ko: kernel/a.ko\nkernel/a.ko:\nkernel/c.ko:\n"),
        ("usr/lib/modules/6.12/kernel/a.ko", "module a"),
        ("usr/lib/modules/6.12/kernel/b.ko", "module b"),
        ("usr/lib/modules/6.12/kernel/c.ko", "module c"),
    ];

    #[test]
    fn kernel_and_ram_disk_come_from_the_archive() {
        let tree = tree(&FILES);
        let files = make(tree.path(), &["b".to_owned()], b"#!init").unwrap();
        assert_eq!(files.kernel, b"the kernel");
        for content in ["the busybox", "#!init", "module a", "module b", "a.ko\nb.ko\n", "dev/console"] {
            assert!(position(&files.initrd, content).is_some(), "{content}");
        }
        assert_eq!(position(&files.initrd, "module c"), None);
    }

    #[test]
    fn what_a_tree_lacks_is_named() {
        for (without, expected) in [
            ("boot/vmlinuz-6.12", "the guest's tree lacks a kernel in /boot"),
            ("usr/bin/busybox", "the guest's tree lacks /usr/bin/busybox"),
            ("usr/lib/modules/6.12/modules.dep", "the guest's tree lacks modules.dep of its kernel"),
            ("usr/lib/modules/6.12/kernel/a.ko", "the guest's tree lacks kernel/a.ko"),
        ] {
            let files: Vec<_> = FILES.into_iter().filter(|(path, _)| *path != without).collect();
            let error = make(tree(&files).path(), &["b".to_owned()], b"").err().unwrap();
            assert_eq!(error.what(), expected);
        }
    }
}
