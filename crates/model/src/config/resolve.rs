//! Resolves the sources to the configuration and applies the rules that concern several keys.

use std::time::Duration;

use super::document::Document;
use super::k3s::{K3sConfig, K3sVersion};
use super::key::KEYS;
use super::nixpkgs::Nixpkgs;
use super::patterns::Patterns;
use super::port_forward::PortForward;
use super::reader::Reader;
use super::setting::{self, Setting};
use super::source::Overrides;
use super::values::{
    Accel, Config, Distribution, GuestConfig, ImageConfig, InjectConfig, InjectMode, Limits, Ports, Provider, Timeouts,
    VmConfig, WebService,
};
use crate::Result;
use crate::port::Port;

/// The texts from which a configuration is resolved.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The name of the file in messages, and its text.
    pub file: Option<(&'a str, &'a str)>,
    /// Flags and variables.
    pub overrides: &'a Overrides,
    /// The value of `WEB_PORT`, and the name of its `.env` file.
    pub web_port: Option<(&'a str, &'a str)>,
}

/// A configuration and the origins of its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The configuration.
    pub config: Config,
    /// Every key with its value as text and its origin.
    pub settings: Vec<Setting>,
}

/// The web application's directory alone. Its `.env` may set `WEB_PORT`, which is needed to resolve the rest.
pub fn web_directory(file: Option<(&str, &str)>, overrides: &Overrides) -> String {
    let document = file.map(|(shown, text)| Document::parse(shown, text)).unwrap_or_default();
    let mut reader = Reader { overrides, document: &document, web_port: None, mistakes: Vec::new() };
    reader.text("web.directory").unwrap_or_else(|| "web".to_owned())
}

impl Config {
    /// Resolves all sources.
    ///
    /// # Errors
    /// One Config error, with all mistakes of all sources as its reasons.
    pub fn resolve(sources: Sources<'_>) -> Result<Resolved> {
        let Sources { file, overrides, web_port } = sources;
        let document = file.map(|(shown, text)| Document::parse(shown, text)).unwrap_or_default();
        let mistakes = document.mistakes.iter().cloned().chain(overrides.mistakes()).collect();
        let mut reader = Reader { overrides, document: &document, web_port, mistakes };
        let config = read(&mut reader);
        let settings = setting::all(&reader, KEYS);
        let config = reader.finish(config)?;
        Ok(Resolved { config, settings })
    }
}

/// Reads every key, even if one before it is wrong. Returns `None` if a required value is missing.
fn read(reader: &mut Reader<'_>) -> Option<Config> {
    reader.count("version");
    let auto_pause = reader.parse("auto_pause", auto_pause);
    let pool = reader.count("pool");
    let templates = reader.switch("templates");
    let ports = ports(reader);
    let forwards = forwards(reader);
    let vm = vm(reader);
    let image = image(reader);
    let host_access = reader.switch("guest.host_access");
    let k3s = k3s(reader);
    let web_directory = reader.text("web.directory");
    let web_service = reader.parse("web.service", web_service);
    let inject = inject(reader);
    let apply_name = reader.parse("apply.name", label);
    let saved = reader.size("limits.saved");
    let timeouts = timeouts(reader);
    Some(Config {
        ports: ports?,
        forwards,
        auto_pause,
        pool: pool?,
        templates: templates?,
        vm: vm?,
        image: image?,
        guest: GuestConfig { host_access: host_access? },
        k3s: k3s?,
        web_directory: web_directory?,
        web_service,
        manifests: reader.list("manifests"),
        inject: inject?,
        apply_name,
        limits: Limits { saved: saved? },
        timeouts: timeouts?,
        images: reader.document.images.as_ref().map(|(_, images)| images.clone()).unwrap_or_default(),
    })
}

fn ports(reader: &mut Reader<'_>) -> Option<Ports> {
    let api = reader.port("ports.api");
    let ssh = reader.port("ports.ssh");
    let web = reader.port("ports.web");
    let bind = reader.address("ports.bind");
    if reader.is_unset("ports.web") {
        reader.mistakes.push("WEB_PORT is not set: add a line such as WEB_PORT=30080 to .env".to_owned());
    }
    let named = [("ports.api", api), ("ports.ssh", ssh), ("ports.web", web)];
    for (index, (name, port)) in named.iter().enumerate() {
        for (other_name, other) in &named[index + 1..] {
            if let (Some(port), Some(other)) = (port, other)
                && port == other
            {
                let (one, two) = (reader.label(name), reader.label(other_name));
                reader.mistakes.push(format!("{one} and {two} are both {port}: each needs a port of its own"));
            }
        }
    }
    Some(Ports { bind: bind?, api: api?, ssh: ssh?, web: web? })
}

/// Reads the list `ports.forwards` and checks that no host port is used twice.
fn forwards(reader: &mut Reader<'_>) -> Vec<PortForward> {
    const KEY: &str = "ports.forwards";
    let forwards = reader.parse_list(KEY, PortForward::parse);
    let mut taken: Vec<(String, Port)> = Vec::new();
    for name in ["ports.api", "ports.ssh", "ports.web"] {
        // Mistakes in these keys are reported where the keys are read.
        let reported = reader.mistakes.len();
        let port = reader.port(name);
        reader.mistakes.truncate(reported);
        taken.extend(port.map(|port| (reader.label(name), port)));
    }
    for forward in &forwards {
        let Some(host) = forward.host else { continue };
        match taken.iter().find(|(_, port)| *port == host) {
            Some((name, _)) if name == KEY => {
                reader.mistakes.push(format!("{KEY} has {host} twice: each needs a port of its own"));
            }
            Some((name, _)) => {
                reader.mistakes.push(format!("{KEY} and {name} are both {host}: each needs a port of its own"));
            }
            None => taken.push((KEY.to_owned(), host)),
        }
    }
    forwards
}

fn vm(reader: &mut Reader<'_>) -> Option<VmConfig> {
    let cpus = reader.count("vm.cpus");
    let memory = reader.size("vm.memory");
    let accel = reader.choice("vm.accel", &[Accel::Auto, Accel::Tcg, Accel::Kvm]);
    Some(VmConfig { cpus: cpus?, memory: memory?, accel: accel? })
}

fn image(reader: &mut Reader<'_>) -> Option<ImageConfig> {
    let provider =
        reader.choice("image.provider", &[Provider::Auto, Provider::Nix, Provider::Debian, Provider::Prebuilt]);
    let distributions = [Distribution::Auto, Distribution::K3s, Distribution::Kubernetes];
    let distribution = reader.choice("image.distribution", &distributions);
    let directory = reader.text("image.directory");
    let disk = reader.size("image.disk");
    let nixpkgs = reader.parse("image.nixpkgs", Nixpkgs::parse);
    let offline = reader.switch("image.offline");
    if provider == Some(Provider::Prebuilt) && directory.is_none() {
        reader.mistakes.push("image.provider = \"prebuilt\" needs image.directory".to_owned());
    }
    Some(ImageConfig {
        provider: provider?,
        distribution: distribution?,
        directory,
        disk: disk?,
        nixpkgs,
        offline: offline?,
    })
}

fn k3s(reader: &mut Reader<'_>) -> Option<K3sConfig> {
    let version = reader.parse("k3s.version", K3sVersion::parse);
    let mirror = reader.parse("k3s.mirror", |text| match text.starts_with("http://") || text.starts_with("https://") {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err("not an address that begins with https:// or http://".to_owned()),
    });
    let binary = reader.text("k3s.binary");
    let images = reader.text("k3s.images");
    let airgap = reader.switch("k3s.airgap");
    let disable = reader.list("k3s.disable");
    Some(K3sConfig { version: version?, mirror, binary, images, airgap: airgap?, disable })
}

fn inject(reader: &mut Reader<'_>) -> Option<InjectConfig> {
    let mode = reader.choice("inject.mode", &[InjectMode::Secret, InjectMode::Env, InjectMode::Off]);
    let mut patterns = |name| Patterns::new(reader.list(name));
    let deployments = patterns("inject.deployments");
    let containers = patterns("inject.containers");
    let variables = patterns("inject.variables");
    let cluster_role = reader.parse("inject.cluster_role", cluster_role)?;
    Some(InjectConfig { mode: mode?, deployments, containers, variables, cluster_role })
}

/// Reads the name of a ClusterRole (`path.ValidatePathSegmentName` of k8s.io/apimachinery), or `none` for no role.
fn cluster_role(text: &str) -> Result<Option<String>, String> {
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'%');
    match text {
        "none" => Ok(None),
        "." | ".." => Err("not the name of a ClusterRole".to_owned()),
        text if (1..=253).contains(&text.len()) && text.bytes().all(legal) => Ok(Some(text.to_owned())),
        _ => Err("not the name of a ClusterRole such as \"view\", nor \"none\"".to_owned()),
    }
}

fn timeouts(reader: &mut Reader<'_>) -> Option<Timeouts> {
    let start = reader.duration("timeouts.start");
    let stop = reader.duration("timeouts.stop");
    let build = reader.duration("timeouts.build");
    let restore = reader.duration("timeouts.restore");
    let lock = reader.duration("timeouts.lock");
    let save = reader.duration("timeouts.save");
    let disk = reader.duration("timeouts.disk");
    let container_build = reader.duration("timeouts.container_build");
    let load = reader.duration("timeouts.load");
    let install = reader.duration("timeouts.install");
    let kvm_test = reader.duration("timeouts.kvm_test");
    Some(Timeouts {
        start: start?,
        stop: stop?,
        build: build?,
        restore: restore?,
        lock: lock?,
        save: save?,
        disk: disk?,
        container_build: container_build?,
        load: load?,
        install: install?,
        kvm_test: kvm_test?,
    })
}

/// Reads the time until a pause. A pause after less than a second costs more than it saves.
fn auto_pause(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration < Duration::from_secs(1) => Err("must be 1s or more".to_owned()),
        Ok(duration) => Ok(duration),
        Err(_) => Err("not a duration such as \"10m\"".to_owned()),
    }
}

/// Reads a part of an object's name: an RFC 1123 label, short enough for a prefix.
fn label(text: &str) -> Result<String, String> {
    let legal = text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && text.ends_with(|last: char| last.is_ascii_alphanumeric());
    if legal {
        return Ok(text.to_owned());
    }
    Err("a name has lower-case letters, digits and inner dashes, 40 at most".to_owned())
}

/// Reads `[NAMESPACE/]NAME[:PORT]`.
fn web_service(text: &str) -> Result<WebService, String> {
    let (namespace, rest) = text.split_once('/').map_or((None, text), |(namespace, rest)| (Some(namespace), rest));
    let (name, port) = rest.split_once(':').map_or((rest, None), |(name, port)| (name, Some(port)));
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if [namespace, Some(name), port].into_iter().flatten().all(is_name) {
        return Ok(WebService {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            port: port.map(str::to_owned),
        });
    }
    Err("not a Service such as \"web\", \"shop/web\" or \"web:http\"".to_owned())
}
