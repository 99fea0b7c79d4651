//! The provider `debian`: packages by mmdebstrap, programs of the distribution, one ext4 disk. Nothing is mounted.
//!
//! The tree of packages and the programs are cached separately and built at the same time, so that a change of the
//! guest's own files costs only the assembly.

mod apt_sources;
mod assembly;
mod base_tree;
mod boot_files;
mod disk;
mod kernel_image;
mod kernel_modules;
mod overlay;
mod recipe;
mod tree_archive;
mod tree_owner;

use std::collections::BTreeMap;
use std::path::Path;

use model::guest_image::{GuestImage, GuestImageManifest, SCHEMA};
use model::requirement::Requirement;
use model::{Error, ErrorClass, EventSink, Result};

use crate::architecture::Architecture;
use crate::choice::{self, Chosen};
use crate::distribution::Distribution;
use crate::fingerprint::Fingerprint;
use crate::manifest::read_image;
use crate::provider::Provider;
use crate::rebuilds;
use crate::request::ImageRequest;
use crate::store::Store;
use host::deadline::Deadline;
use recipe::{KERNEL_COMMAND_LINE, OPERATING_SYSTEM, Recipe};
use tree_owner::TreeOwner;

/// To be raised when the build changes while its inputs do not.
const BUILDER: &str = "1";
/// The free space in bytes that a build needs in the cache, temporary files included.
const SPACE: u64 = 3 << 30;

/// The provider `debian`.
pub(crate) struct Debian;

/// The inputs of a build, and its key.
struct Plan {
    architecture: Architecture,
    recipe: Recipe,
    chosen: Chosen,
    key: String,
}

impl Plan {
    fn read(request: &ImageRequest, chosen: Chosen) -> Result<Self> {
        let architecture = Architecture::of_host()?;
        let distribution = &*chosen.distribution;
        let debian = request.sources.join("debian");
        let recipe = Recipe::read(&debian, architecture, &distribution.contract().debian_packages)?;
        let is_source = |path: &Path| path.extension().is_none_or(|extension| extension != "md");
        let fingerprint = Fingerprint::of("debian guest image")
            .with("builder", BUILDER)
            .with("schema", SCHEMA.to_string())
            .with("architecture", architecture.name)
            .with("suite", recipe::SUITE)
            .with("command line", KERNEL_COMMAND_LINE)
            .with("disk", request.config.disk.to_string())
            .with_directory("debian", &debian, &is_source)?
            .with_directory(distribution.name(), distribution.directory(), &is_source)?;
        let key = distribution.add_inputs(fingerprint).key();
        Ok(Plan { architecture, recipe, chosen, key })
    }

    fn distribution(&self) -> &dyn Distribution {
        &*self.chosen.distribution
    }

    /// The guest image, if it has been built and is undamaged.
    fn find(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        let image = rebuilds::newest_undamaged(request.cache, &self.key, request.events)?;
        Ok(image.map(|image| self.with_reason(image)))
    }

    fn open(&self, directory: &Path, key: String) -> Result<GuestImage> {
        Ok(self.with_reason(read_image(directory, key, ErrorClass::Failed)?))
    }

    fn with_reason(&self, image: GuestImage) -> GuestImage {
        GuestImage { choice: self.chosen.reason.clone(), ..image }
    }

    fn manifest(&self, virtual_size: u64) -> GuestImageManifest {
        let contract = self.distribution().contract();
        GuestImageManifest {
            schema: SCHEMA,
            architecture: self.architecture.name.to_owned(),
            provider: "debian".to_owned(),
            distribution: self.distribution().name().to_owned(),
            kubernetes_version: self.distribution().version(),
            operating_system: OPERATING_SYSTEM.to_owned(),
            kernel_command_line: KERNEL_COMMAND_LINE.to_owned(),
            virtual_size,
            node_name: contract.node_name.clone(),
            kubeconfig: contract.kubeconfig.clone(),
            service: contract.service.clone(),
            containerd_socket: contract.containerd_socket.clone(),
            certificate_days: contract.certificate_days,
            files: BTreeMap::new(),
        }
    }
}

impl Provider for Debian {
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        for chosen in choice::known(request)? {
            if let Some(image) = Plan::read(request, chosen)?.find(request)? {
                return Ok(Some(image));
            }
        }
        Ok(None)
    }

    fn requirements(&self, request: &ImageRequest) -> Result<Vec<Requirement>> {
        check_network(request)?;
        let mut requirements = vec![
            require("mmdebstrap", "mmdebstrap", "mmdebstrap", "mmdebstrap", "installs the guest's packages"),
            require("tar", "tar", "tar", "tar", "unpacks the guest's tree"),
            require("mke2fs", "e2fsprogs", "e2fsprogs", "e2fsprogs", "makes the guest's filesystem"),
            require("qemu-img", "qemu-utils", "qemu-img", "qemu-img", "makes the guest's disk"),
        ];
        if TreeOwner::expected() == TreeOwner::UserNamespace {
            requirements.push(require("newuidmap", "uidmap", "shadow-utils", "shadow", "maps the guest's users"));
        }
        requirements.extend(choice::decide(request)?.distribution.requirements(request.cache));
        Ok(requirements)
    }

    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage> {
        if let Some(image) = self.locate(request)? {
            return Ok(image);
        }
        let plan = Plan::read(request, choice::decide(request)?)?;
        let key = rebuilds::unused(request.cache, &plan.key, request.events)?;
        make(request, &plan, key)
    }

    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage> {
        let plan = Plan::read(request, choice::decide(request)?)?;
        let key = rebuilds::next(&request.cache.images(), &plan.key)?;
        make(request, &plan, key)
    }
}

/// Builds the guest image under the name `key`.
fn make(request: &ImageRequest, plan: &Plan, key: String) -> Result<GuestImage> {
    check_network(request)?;
    let deadline = Deadline::after(request.deadline);
    let owner = TreeOwner::of_user()?;
    let (images, locks) = (request.cache.images(), request.cache.locks());
    let remove = move |path: &Path| owner.remove(path);
    let store = Store { compares: false, directory: &images, locks: &locks, remove: &remove };
    let directory = store.ensure(&key, "the guest image", deadline.left(), request.events, |into| {
        check_space(request.cache.root())?;
        build(plan, request, owner, deadline, into)
    })?;
    plan.open(&directory, key)
}

fn build(plan: &Plan, request: &ImageRequest, owner: TreeOwner, deadline: Deadline, into: &Path) -> Result<()> {
    let events = request.events;
    let (parts, locks) = (request.cache.parts(), request.cache.locks());
    let remove = move |path: &Path| owner.remove(path);
    let store = Store { compares: true, directory: &parts, locks: &locks, remove: &remove };
    // It may ask the user, so it runs before the two threads.
    let payload = plan.distribution().begin(request, store, deadline)?;
    let tree = || {
        let key = base_tree::fingerprint(&plan.recipe, plan.architecture).key();
        store.ensure(&key, "the guest's packages", deadline.left(), events, |into| {
            base_tree::build(into, &plan.recipe, plan.architecture, owner, deadline.left(), events)
        })
    };
    let (payload, tree) = both(events, payload, tree)?;
    let inputs = assembly::Inputs {
        tree: &base_tree::archive(&tree),
        payload: &payload,
        overlays: [
            &request.sources.join("debian/rootfs"),
            &plan.distribution().directory().join(&plan.distribution().contract().overlay),
        ],
    };
    assembly::assemble(into, &inputs, &plan.recipe, request.config.disk, owner, deadline, events)?;
    crate::manifest::write(into, plan.manifest(request.config.disk))
}

/// Runs both at the same time. If `other` fails, `one` still finishes, since its result is cached; a warning says so.
fn both<A: Send, B>(
    events: &dyn EventSink,
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        if let Err(error) = &other
            && error.class() != ErrorClass::Interrupted
            && !one.is_finished()
        {
            events.warning(format!("{error}; the other part of the build continues, since its result is cached"));
        }
        let one = one.join().unwrap_or_else(|_| Err(Error::new(ErrorClass::Failed, "a part of the build panicked")));
        Ok((one?, other?))
    })
}

/// A new tree needs the network for its packages, whatever a proxy may have cached.
fn check_network(request: &ImageRequest) -> Result<()> {
    if !request.config.offline {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Host, "a Debian guest image cannot be built offline")
        .because("image.offline is set, and the guest image of this configuration is not in the cache")
        .next("k3s-vm start --set image.offline=false"))
}

fn check_space(cache: &Path) -> Result<()> {
    let free = host::files::free_space(cache)?;
    if free >= SPACE {
        return Ok(());
    }
    Err(Error::new(ErrorClass::Host, format!("there is too little space in {} for a guest image", cache.display()))
        .because(format!("{} MiB are free, a build needs {} MiB", free >> 20, SPACE >> 20))
        .next("free some space, or set XDG_CACHE_HOME to a directory on a larger disk"))
}

fn require(
    program: &'static str,
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    purpose: &'static str,
) -> Requirement {
    Requirement { program, apt, dnf, pacman, purpose }
}

#[cfg(test)]
mod tests;
