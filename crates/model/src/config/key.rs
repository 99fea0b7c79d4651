//! The table of all keys of the configuration: name, kind of value, default and description.
//!
//! Everything that lists keys uses it: the reader of the file, the variables, `config show`, the JSON Schema.

/// The kind of a key's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A TCP port.
    Port,
    /// A number; the first and the last that are allowed.
    Count(u32, u32),
    /// A size with a unit, a whole number of MiB; the least number of bytes that is allowed.
    Size(u64),
    /// A duration with a unit.
    Duration,
    /// An IPv4 address.
    Address,
    /// One of these words; the first is the default.
    Choice(&'static [&'static str]),
    /// A text that is not empty.
    Text,
    /// `true` or `false`.
    Switch,
    /// A list of texts, separated by commas in a flag or variable.
    List,
}

impl Kind {
    /// The TOML type of the value, for messages.
    pub(super) fn toml(self) -> &'static str {
        match self {
            Kind::Port | Kind::Count(..) => "a number without quotes",
            Kind::Size(_) | Kind::Duration | Kind::Address | Kind::Choice(_) | Kind::Text => "a string in quotes",
            Kind::Switch => "true or false without quotes",
            Kind::List => "a list of strings, such as [\"one\", \"two\"]",
        }
    }
}

/// A key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The name, with a dot between section and key.
    pub name: &'static str,
    /// The kind of its value.
    pub kind: Kind,
    /// The default, as it would be written in a flag.
    pub default: Option<&'static str>,
    /// The description for users.
    pub about: &'static str,
}

impl Key {
    /// The environment variable that sets it: `K3S_VM_PORTS_API` for `ports.api`.
    pub fn variable(&self) -> String {
        let name = self.name.replace('.', "_").to_ascii_uppercase();
        format!("{VARIABLE_PREFIX}{name}")
    }
}

/// The prefix of all variables.
pub const VARIABLE_PREFIX: &str = "K3S_VM_";
/// The version of the file's format.
pub const VERSION: u32 = 1;
/// The key of the container images, a list of tables that only the file can have.
pub const IMAGES: &str = "images";

const GIB: u64 = 1024 * 1024 * 1024;

/// All keys but [`IMAGES`], in the order in which they are shown.
pub const KEYS: &[Key] = &[
    key("version", Kind::Count(VERSION, VERSION), "1", "Version of this file's format"),
    key("pool", Kind::Count(0, 64), "0", "How many paused forks are ready for `run`"),
    key(
        "templates",
        Kind::Switch,
        "true",
        "Whether templates are made, from which reset, clone and run start; false: they boot",
    ),
    Key {
        name: "auto_pause",
        kind: Kind::Duration,
        default: None,
        about: "Pause the VM after so long without a connection, such as 10m; the next connection wakes it",
    },
    key("ports.api", Kind::Port, "6443", "Host port of the Kubernetes API"),
    key("ports.ssh", Kind::Port, "2666", "Host port of the guest's sshd"),
    Key {
        name: "ports.web",
        kind: Kind::Port,
        default: None,
        about: "Host port of the web application; WEB_PORT of .env where it is not set",
    },
    key("ports.forwards", Kind::List, "", "Further ports into the guest: HOST:GUEST, or GUEST for any free host port"),
    key(
        "ports.bind",
        Kind::Address,
        "127.0.0.1",
        "Host address of all listeners, IPv4; 0.0.0.0 for all addresses of the host",
    ),
    key("vm.cpus", Kind::Count(1, 64), "2", "Virtual CPUs"),
    key("vm.memory", Kind::Size(GIB), "2GiB", "RAM"),
    key(
        "vm.accel",
        Kind::Choice(&["auto", "tcg", "kvm"]),
        "auto",
        "Accelerator: auto is KVM where it is proven to work, else TCG; kvm never falls back",
    ),
    key(
        "guest.host_access",
        Kind::Switch,
        "false",
        "Whether pods reach the services on the host's loopback, by the name host.k3s-vm.internal",
    ),
    key(
        "image.provider",
        Kind::Choice(&["auto", "nix", "debian", "prebuilt"]),
        "auto",
        "What builds the guest image: auto is nix where Nix is installed and can build it, else debian",
    ),
    key(
        "image.distribution",
        Kind::Choice(&["auto", "k3s", "kubernetes"]),
        "auto",
        "What runs in the guest: auto is K3s, or Kubernetes where the K3s release cannot be reached",
    ),
    Key {
        name: "image.directory",
        kind: Kind::Text,
        default: None,
        about: "Directory of a prebuilt image, relative to the project",
    },
    key("image.disk", Kind::Size(4 * GIB), "20GiB", "Virtual size of the root disk"),
    Key {
        name: "image.nixpkgs",
        kind: Kind::Text,
        default: None,
        about: "Nix: another nixpkgs than the pinned one: a directory, the address of an archive, or channel:NAME",
    },
    key("image.offline", Kind::Switch, "false", "Whether nothing may be fetched to build the guest image"),
    key("k3s.version", Kind::Text, "stable", "K3s: a channel (stable, latest, v1.33) or a version (v1.33.5+k3s1)"),
    Key { name: "k3s.mirror", kind: Kind::Text, default: None, about: "K3s: base address of a mirror of the releases" },
    Key { name: "k3s.binary", kind: Kind::Text, default: None, about: "K3s: a local binary instead of a release's" },
    Key {
        name: "k3s.images",
        kind: Kind::Text,
        default: None,
        about: "K3s: a local archive of air-gap images instead of a release's",
    },
    key("k3s.airgap", Kind::Switch, "true", "K3s: whether its container images are part of the guest image"),
    key("k3s.disable", Kind::List, "", "K3s: packaged components to leave out, such as traefik"),
    key("web.directory", Kind::Text, "web", "The web application's directory, relative to the project"),
    Key {
        name: "web.service",
        kind: Kind::Text,
        default: None,
        about: "The Service behind the web port: [NAMESPACE/]NAME[:PORT] of the manifests, or a NodePort; needed \
                where the manifests do not decide",
    },
    key(
        "manifests",
        Kind::List,
        ".k3s-vm/manifests",
        "Manifest files, and directories of them, relative to the project",
    ),
    key(
        "inject.mode",
        Kind::Choice(&["secret", "env", "off"]),
        "secret",
        "How the variables of the web directory's .env reach the containers of the Deployments",
    ),
    key("inject.deployments", Kind::List, "*", "The Deployments that get them: names or NAMESPACE/NAME, * and ? match"),
    key("inject.containers", Kind::List, "*", "The containers of those Deployments that get them"),
    key("inject.variables", Kind::List, "*", "The variables that are injected; !NAME leaves one out"),
    key(
        "inject.cluster_role",
        Kind::Text,
        "cluster-admin",
        "The ClusterRole of the credential that the containers get in KUBECONFIG_PRIMARY; none grants nothing",
    ),
    Key {
        name: "apply.name",
        kind: Kind::Text,
        default: None,
        about: "The project's name in a cluster that it shares with others; nothing is pruned there without it",
    },
    key("limits.saved", Kind::Size(GIB), "20GiB", "Disk space for the templates and snapshots of the project"),
    key("timeouts.start", Kind::Duration, "15m", "From the start of QEMU until the web application answers"),
    key("timeouts.stop", Kind::Duration, "1m", "The clean shutdown of `stop`, after which QEMU is killed"),
    key("timeouts.build", Kind::Duration, "1h", "The build of a guest image"),
    key(
        "timeouts.restore",
        Kind::Duration,
        "2m",
        "Until a restored cluster answers; after that it boots from the disk",
    ),
    key(
        "timeouts.lock",
        Kind::Duration,
        "30m",
        "Until another command on the same instance, or the same disks, has ended",
    ),
    key(
        "timeouts.save",
        Kind::Duration,
        "2m",
        "Until the RAM and device state of a VM are saved: `stop`, `snapshot save`, templates",
    ),
    key("timeouts.disk", Kind::Duration, "10m", "The merging of a disk's backing files, once there are too many"),
    key("timeouts.container_build", Kind::Duration, "30m", "The `build` of one container image of [[images]]"),
    key("timeouts.load", Kind::Duration, "15m", "Until the guest has imported one archive of container images"),
    key("timeouts.install", Kind::Duration, "45m", "The installation of packages on the host, after consent"),
    key("timeouts.kvm_test", Kind::Duration, "15s", "The self-test of KVM"),
];

const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default: Some(default), about }
}

/// Reads the words that people write for `true` and `false`.
pub(super) fn switch_word(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Former names of keys, with the current ones.
const RENAMED: [(&str, &str); 2] = [("image.folder", "image.directory"), ("web.folder", "web.directory")];

/// The current name of the key `name`, which has a dash or a capital in it or is a former name.
pub(super) fn current_name(name: &str) -> Option<&'static str> {
    let plain = name.replace('-', "_").to_ascii_lowercase();
    let renamed = RENAMED.iter().find(|(former, _)| *former == plain).map(|(_, now)| *now);
    renamed.or_else(|| find(&plain).map(|key| key.name))
}

/// The current name of `variable`, which belongs to the former name of a key.
pub(super) fn current_variable(variable: &str) -> Option<String> {
    let former = |name: &str| format!("{VARIABLE_PREFIX}{}", name.replace('.', "_").to_ascii_uppercase());
    let (_, now) = RENAMED.iter().find(|(name, _)| former(name) == variable)?;
    find(now).map(Key::variable)
}

/// The key `name`.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The names of the keys in `section`. At the top, where `section` is empty, the sections belong to them.
pub(super) fn names_in(section: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for key in KEYS {
        let name = match (key.name.split_once('.'), section) {
            (Some((of, name)), section) if of == section => name,
            (Some((of, _)), "") => of,
            (None, "") => key.name,
            _ => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if section.is_empty() {
        names.push(IMAGES);
    }
    names
}
