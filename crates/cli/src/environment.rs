//! What this process finds in its environment: the project, the cache, the checkout and how the user calls it.

use std::path::{Path, PathBuf};

use lifecycle::project::Project;
use model::paths::ProjectPaths;
use model::{Error, ErrorClass, Result};

use crate::args::Globals;

/// The command by which the user calls this program. The launcher sets it to its own name.
const PROGRAM_VARIABLE: &str = "K3S_VM_PROGRAM";

/// The checkout that contains `guest/`, from which images are built. The launcher sets it.
const HOME_VARIABLE: &str = "K3S_VM_HOME";

/// The device of KVM.
const KVM_DEVICE: &str = "/dev/kvm";

/// A file to check instead of [`KVM_DEVICE`], for tests (CONTRIBUTING.md). QEMU does not use it.
const KVM_DEVICE_VARIABLE: &str = "K3S_VM_KVM_DEVICE";

/// The variables of this file, which are no keys of the configuration.
pub(crate) const VARIABLES: [&str; 3] = [PROGRAM_VARIABLE, HOME_VARIABLE, KVM_DEVICE_VARIABLE];

/// The command by which the user calls this program.
pub(crate) fn program() -> String {
    std::env::var(PROGRAM_VARIABLE).unwrap_or_else(|_| "k3s-vm".to_owned())
}

/// The project that the flags name, else the one around the working directory.
///
/// # Errors
/// A Config error when there is none.
pub(crate) fn project_paths(globals: &Globals) -> Result<ProjectPaths> {
    match &globals.project {
        Some(directory) => Project::at(directory),
        None => Project::find(&working_directory()?),
    }
}

fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| {
        Error::new(ErrorClass::Failed, "the working directory cannot be read").because(error).next("cd to the project")
    })
}

/// The device of KVM.
pub(crate) fn kvm_device() -> PathBuf {
    std::env::var_os(KVM_DEVICE_VARIABLE).map_or_else(|| KVM_DEVICE.into(), PathBuf::from)
}

/// The cache that projects share: `$XDG_CACHE_HOME/k3s-vm`, by default in `~/.cache` (XDG Base Directory
/// Specification).
///
/// # Errors
/// A Config error when neither variable is set to an absolute path.
pub(crate) fn cache_root() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|root| root.join("k3s-vm"))
        .ok_or_else(|| {
            Error::new(ErrorClass::Config, "there is no place for the image cache")
                .because("neither XDG_CACHE_HOME nor HOME is set to an absolute path")
                .next("export XDG_CACHE_HOME=$PWD/.cache")
        })
}

/// The `guest/` directory of the checkout that the launcher names, else of the one that contains this program
/// (`target/PROFILE/k3s-vm`).
///
/// # Errors
/// A Config error when there is none.
pub(crate) fn guest_sources() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os(HOME_VARIABLE) {
        return Ok(PathBuf::from(home).join("guest"));
    }
    let program = std::env::current_exe().ok();
    let guest = program.as_deref().and_then(|path| path.ancestors().nth(3)).map(|root: &Path| root.join("guest"));
    guest.filter(|guest| guest.is_dir()).ok_or_else(|| {
        Error::new(ErrorClass::Config, "the sources of the guest image cannot be found")
            .because(format!("{HOME_VARIABLE} is not set, and this program is not in a checkout of k3s-vm"))
            .next("run bin/k3s-vm of the checkout")
    })
}
