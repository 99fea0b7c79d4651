//! The recipe of a Debian guest: the suite, and the files in `guest/debian`.
//!
//! It reads text and runs nothing.

use std::path::Path;

use host::io_error::at_path;
use model::Result;

use crate::architecture::Architecture;

/// The guest's release of Debian. It is named nowhere else.
pub(crate) const SUITE: &str = "trixie";
/// The release for people.
pub(crate) const OPERATING_SYSTEM: &str = "Debian 13 (trixie)";

/// The guest's own kernel command line. Its options save time on an emulated CPU or keep a name fixed.
pub(crate) const KERNEL_COMMAND_LINE: &str = "console=ttyS0 root=/dev/vda rw quiet panic=-1 net.ifnames=0 \
    mitigations=off random.trust_cpu=on audit=0 lsm=capability cryptomgr.notests=1 systemd.show_status=1 TERM=dumb";

/// The files of `guest/debian`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    /// Debian packages, sorted and without duplicates.
    pub(crate) packages: Vec<String>,
    /// Patterns of paths that dpkg does not install.
    pub(crate) leave_out: Vec<String>,
    /// A shell script that customises the tree in "$1".
    pub(crate) customize: String,
    /// The names of the initial RAM disk's kernel modules.
    pub(crate) initrd_modules: Vec<String>,
    /// The `init` script of the initial RAM disk.
    pub(crate) initrd_init: Vec<u8>,
}

impl Recipe {
    /// Reads the recipe in `directory` (`guest/debian`) and adds the packages of the distribution.
    pub(crate) fn read(directory: &Path, architecture: Architecture, of_distribution: &[String]) -> Result<Self> {
        let mut packages: Vec<String> = words(&text(&directory.join("packages"))?)
            .into_iter()
            .map(|package| package.replace("{architecture}", architecture.debian))
            .chain(of_distribution.iter().cloned())
            .collect();
        packages.sort();
        packages.dedup();
        let init = directory.join("initrd/init");
        Ok(Recipe {
            packages,
            leave_out: words(&text(&directory.join("leave-out"))?),
            customize: text(&directory.join("customize.sh"))?,
            initrd_modules: words(&text(&directory.join("initrd/modules"))?),
            initrd_init: std::fs::read(&init).map_err(|error| at_path("read", &init, &error))?,
        })
    }
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| at_path("read", path, &error))
}

/// The lines of a list, without comments and blank lines.
fn words(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_comments_and_blank_lines() {
        assert_eq!(words("# all\n\none\n  two  # why\n#three\n"), ["one", "two"]);
    }

    #[test]
    fn the_repositorys_recipe_is_complete_and_takes_the_distributions_packages() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/debian");
        let architecture = Architecture { name: "x86_64", debian: "amd64" };
        let recipe = Recipe::read(&directory, architecture, &["runc".to_owned(), "kmod".to_owned()]).unwrap();
        assert_eq!(recipe.packages.iter().filter(|name| *name == "kmod").count(), 1);
        for package in
            ["linux-image-cloud-amd64", "runc", "systemd-sysv", "openssh-server", "qemu-guest-agent", "netbase"]
        {
            assert!(recipe.packages.iter().any(|name| name == package), "{package}");
        }
        assert!(recipe.leave_out.iter().all(|pattern| pattern.starts_with('/')));
        assert!(recipe.initrd_modules.contains(&"virtio_blk".to_owned()));
        assert!(recipe.initrd_init.starts_with(b"#!"));
        assert!(recipe.customize.starts_with("#!/bin/sh\n"));
    }
}
