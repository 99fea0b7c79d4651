//! The provider `debian`: packages by mmdebstrap, programs of the distribution, one ext4 disk; nothing is mounted.
//!
//! Two parts (tree of packages, programs) are cached by themselves and built at the same time, so that a change of
//! the guest's own files costs only the assembly.

mod apt_sources;
mod assembly;
mod base_tree;
mod disk;
mod recipe;
mod tree_owner;

use std::path::Path;

use host::packages::Requirement;
use model::guest_image::{GuestImage, GuestImageManifest, SCHEMA};
use model::{EventSink, Fault, FaultClass, Result};

use crate::ImageRequest;
use crate::contract::Contract;
use crate::fingerprint::Fingerprint;
use crate::generations;
use crate::kubernetes::{self, go_toolchain};
use crate::manifest::read_image;
use crate::provider::Provider;
use crate::store::Store;
use host::deadline::Deadline;
use recipe::{Architecture, KERNEL_COMMAND_LINE, OPERATING_SYSTEM, Recipe};
use tree_owner::TreeOwner;

/// Raised when the way of building changes while its inputs do not.
const BUILDER: &str = "1";
/// What a build needs in the cache for its parts and the steps between, in bytes.
const SPACE: u64 = 3 << 30;

/// Guests made of Debian packages.
pub(crate) struct Debian;

/// All that a build is made from.
struct Plan {
    architecture: Architecture,
    recipe: Recipe,
    contract: Contract,
    key: String,
}

impl Plan {
    fn read(request: &ImageRequest) -> Result<Self> {
        let architecture = Architecture::of_host()?;
        let contract = Contract::read(&request.sources.join("kubernetes"))?;
        let recipe = Recipe::read(&request.sources.join("debian"), architecture, &contract.debian_packages)?;
        let is_source = |path: &Path| path.extension().is_none_or(|extension| extension != "md");
        let key = Fingerprint::of("debian guest image")
            .with("builder", BUILDER)
            .with("schema", SCHEMA.to_string())
            .with("architecture", architecture.name)
            .with("suite", recipe::SUITE)
            .with("command line", KERNEL_COMMAND_LINE)
            .with("disk", request.config.disk.to_string())
            .with_folder("debian", &request.sources.join("debian"), &is_source)?
            .with_folder("kubernetes", &request.sources.join("kubernetes"), &is_source)?
            .key();
        Ok(Plan { architecture, recipe, contract, key })
    }

    fn manifest(&self, virtual_size: u64) -> GuestImageManifest {
        GuestImageManifest {
            schema: SCHEMA,
            architecture: self.architecture.name.to_owned(),
            provider: "debian".to_owned(),
            distribution: "kubernetes".to_owned(),
            kubernetes_version: self.contract.kubernetes_version.clone(),
            operating_system: OPERATING_SYSTEM.to_owned(),
            kernel_command_line: KERNEL_COMMAND_LINE.to_owned(),
            virtual_size,
            node_name: self.contract.node_name.clone(),
            kubeconfig: self.contract.kubeconfig.clone(),
            service: self.contract.service.clone(),
            containerd_socket: self.contract.containerd_socket.clone(),
            certificate_days: self.contract.certificate_days,
        }
    }
}

impl Provider for Debian {
    fn locate(&self, request: &ImageRequest) -> Result<Option<GuestImage>> {
        let plan = Plan::read(request)?;
        match generations::newest(&request.cache.images(), &plan.key)? {
            None => Ok(None),
            Some(key) => read_image(&request.cache.images().join(&key), key, FaultClass::Failed).map(Some),
        }
    }

    fn requirements(&self, request: &ImageRequest) -> Result<Vec<Requirement>> {
        let mut requirements = vec![
            require("mmdebstrap", "mmdebstrap", "mmdebstrap", "mmdebstrap", "installs the guest's packages"),
            require("tar", "tar", "tar", "tar", "unpacks the guest's tree"),
            require("mke2fs", "e2fsprogs", "e2fsprogs", "e2fsprogs", "makes the guest's filesystem"),
            require("qemu-img", "qemu-utils", "qemu-img", "qemu-img", "makes the guest's disk"),
            require("gcc", "build-essential", "gcc", "gcc", "compiles the cluster's database"),
        ];
        if TreeOwner::expected() == TreeOwner::UserNamespace {
            requirements.push(require("newuidmap", "uidmap", "shadow-utils", "shadow", "maps the guest's users"));
        }
        let contract = Contract::read(&request.sources.join("kubernetes"))?;
        if go_toolchain::find(&contract.minimum_go, request.cache).is_none() {
            requirements.push(go_toolchain::REQUIREMENT);
        }
        Ok(requirements)
    }

    fn ensure(&self, request: &ImageRequest) -> Result<GuestImage> {
        if let Some(image) = self.locate(request)? {
            return Ok(image);
        }
        let plan = Plan::read(request)?;
        let key = plan.key.clone();
        make(request, &plan, key)
    }

    fn rebuild(&self, request: &ImageRequest) -> Result<GuestImage> {
        let plan = Plan::read(request)?;
        let key = generations::next(&request.cache.images(), &plan.key)?;
        make(request, &plan, key)
    }
}

/// Builds the image under the name `key`.
fn make(request: &ImageRequest, plan: &Plan, key: String) -> Result<GuestImage> {
    let deadline = Deadline::after(request.deadline);
    let owner = TreeOwner::of_user()?;
    let (images, locks) = (request.cache.images(), request.cache.locks());
    let remove = move |path: &Path| owner.remove(path);
    let store = Store { folder: &images, locks: &locks, remove: &remove };
    let folder = store.ensure(&key, "the guest image", deadline.left(), request.events, |into| {
        check_space(request.cache.root())?;
        build(plan, request, owner, deadline, into)
    })?;
    read_image(&folder, key, FaultClass::Failed)
}

fn build(plan: &Plan, request: &ImageRequest, owner: TreeOwner, deadline: Deadline, into: &Path) -> Result<()> {
    let events = request.events;
    let (parts, locks) = (request.cache.parts(), request.cache.locks());
    let remove = move |path: &Path| owner.remove(path);
    let store = Store { folder: &parts, locks: &locks, remove: &remove };
    let sources = request.sources.join("kubernetes");
    // Asks the user, so it comes before anything runs at the same time.
    let go = go_toolchain::ensure(&plan.contract.minimum_go, request.cache, deadline, request.consent, events)?;

    let programs = || {
        let key = kubernetes::fingerprint(&sources, &plan.contract, plan.architecture.name)?.key();
        store.ensure(&key, "the programs of Kubernetes", deadline.left(), events, |into| {
            kubernetes::build(into, &sources, &plan.contract, &go, deadline, events)
        })
    };
    let tree = || {
        let key = base_tree::fingerprint(&plan.recipe, plan.architecture).key();
        store.ensure(&key, "the guest's packages", deadline.left(), events, |into| {
            base_tree::build(into, &plan.recipe, plan.architecture, owner, deadline.left(), events)
        })
    };
    let (programs, tree) = both(events, programs, tree)?;
    let inputs = assembly::Inputs {
        tree: &base_tree::archive(&tree),
        programs: &kubernetes::programs(&programs),
        debian: &request.sources.join("debian"),
        distribution: &sources,
    };
    assembly::assemble(into, &inputs, &plan.recipe, &plan.contract, request.config.disk, owner, deadline, events)?;
    crate::manifest::write(into, &plan.manifest(request.config.disk))
}

/// Runs both at once. When one fails the other is let finish, for its result is kept; the user is told at once.
fn both<A: Send, B>(
    events: &dyn EventSink,
    one: impl FnOnce() -> Result<A> + Send,
    other: impl FnOnce() -> Result<B>,
) -> Result<(A, B)> {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        if let Err(fault) = &other
            && fault.class() != FaultClass::Interrupted
            && !one.is_finished()
        {
            events.warning(format!("{fault}; the other part of the build goes on, so that it is not lost"));
        }
        let one = one.join().unwrap_or_else(|_| Err(Fault::new(FaultClass::Failed, "a part of the build panicked")));
        Ok((one?, other?))
    })
}

fn check_space(cache: &Path) -> Result<()> {
    let free = host::files::free_space(cache)?;
    if free >= SPACE {
        return Ok(());
    }
    Err(Fault::new(FaultClass::Host, format!("there is too little space in {} for a guest image", cache.display()))
        .because(format!("{} MiB are free, a build needs {} MiB", free >> 20, SPACE >> 20))
        .next("free some space, or set XDG_CACHE_HOME to a folder on a larger disk"))
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
