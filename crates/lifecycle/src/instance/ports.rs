//! The host ports of an instance. Those of the default one are in the configuration; for a named one, free ports are chosen
//! once and saved, so that its addresses stay the same.

use std::collections::BTreeSet;
use std::path::Path;

use host::digest::Sha256;
use host::files::{self, Mode};
use host::port_holder::can_listen;
use model::config::{Origin, Ports};
use model::instance::InstanceName;
use model::port::Port;
use model::{Error, ErrorClass, Result};
use serde::{Deserialize, Serialize};

use crate::context::Context;

/// The first of the ports to choose from: they lie below the ephemeral ports (32768 and up, ip_local_port_range in ip(7))
/// and below the node ports.
const FIRST: u16 = 20000;
/// How many triples there are.
const TRIPLES: u16 = 3000;

/// The ports that were chosen (`ports.json`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Chosen {
    api: Port,
    ssh: Port,
    web: Port,
}

/// The ports of the instance: for a named one those that a flag or a variable sets, else those that were chosen before,
/// else free ones.
///
/// # Errors
/// Errors of reading other instances' ports; a Port error where none is free.
pub(crate) fn of(context: &Context<'_>) -> Result<Ports> {
    if context.is_default() {
        return Ok(context.project.config.ports);
    }
    let known = read(&context.paths().ports())?;
    let Chosen { api, ssh, web } = match known {
        Some(known) => known,
        None => choose(context, &[])?,
    };
    Ok(with_overrides(context, Chosen { api, ssh, web }))
}

/// Whether ports are still to be chosen for the instance: then it does not matter which ones it gets.
///
/// # Errors
/// Errors of reading.
pub(crate) fn are_to_be_chosen(context: &Context<'_>) -> Result<bool> {
    Ok(!context.is_default() && read(&context.paths().ports())?.is_none())
}

/// Other ports than those `tried`, which QEMU could not open: another program has taken one since they were chosen. Nothing
/// where a port that a flag or a variable sets is in use, for which there is no other.
///
/// # Errors
/// As [`of`].
pub(crate) fn instead_of(context: &Context<'_>, tried: &[Ports]) -> Result<Option<Ports>> {
    let chosen = choose(context, tried)?;
    let ports = with_overrides(context, chosen);
    let pairs = [(ports.api, chosen.api), (ports.ssh, chosen.ssh), (ports.web, chosen.web)];
    let is_free = |(port, chosen): &(Port, Port)| port == chosen || can_listen(ports.bind.ip(), *port);
    Ok(pairs.iter().all(is_free).then_some(ports))
}

/// `chosen`, except for ports that a flag or a variable sets.
fn with_overrides(context: &Context<'_>, chosen: Chosen) -> Ports {
    let config = context.project.config.ports;
    let Chosen { api, ssh, web } = chosen;
    let port = |key: &str, port: Port, chosen: Port| {
        let setting = context.project.settings.iter().find(|setting| setting.key == key);
        let is_overridden = setting.is_some_and(|one| matches!(one.origin, Origin::Flag(_) | Origin::Variable(_)));
        if is_overridden { port } else { chosen }
    };
    Ports {
        bind: config.bind,
        api: port("ports.api", config.api, api),
        ssh: port("ports.ssh", config.ssh, ssh),
        web: port("ports.web", config.web, web),
    }
}

/// Saves the ports of a named instance.
///
/// # Errors
/// Errors of writing.
pub(crate) fn save(context: &Context<'_>, ports: &Ports) -> Result<()> {
    if context.is_default() {
        return Ok(());
    }
    let chosen = Chosen { api: ports.api, ssh: ports.ssh, web: ports.web };
    if read(&context.paths().ports())? == Some(chosen) {
        return Ok(());
    }
    let text = serde_json::to_vec(&chosen)
        .map_err(|error| Error::new(ErrorClass::Failed, "cannot write the instance's ports").because(error))?;
    files::write_atomic(&context.paths().ports(), &text, Mode::Exactly(0o600))
}

/// Reads `ports.json`. A file that cannot be parsed counts as none.
fn read(path: &Path) -> Result<Option<Chosen>> {
    Ok(files::read_optional(path)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Chooses three free ports in a row that no other instance of the project has, and none of those `tried`. The project's
/// directory and the instance's name decide where the search begins, so that instances made at the same time do not collide.
fn choose(context: &Context<'_>, tried: &[Ports]) -> Result<Chosen> {
    let mut taken = taken(context)?;
    taken.extend(tried.iter().flat_map(|ports| [ports.api, ports.ssh, ports.web]));
    let bind = context.project.config.ports.bind;
    let begin = begin(context.project.paths.root(), &context.name);
    let triple = |index: u16| [0, 1, 2].map(|offset| Port::new(FIRST + index * 3 + offset));
    (0..TRIPLES)
        .filter_map(|step| match triple((begin + step) % TRIPLES) {
            [Some(api), Some(ssh), Some(web)] => Some(Chosen { api, ssh, web }),
            _ => None,
        })
        .find(|one| {
            [one.api, one.ssh, one.web].iter().all(|port| !taken.contains(port) && can_listen(bind.ip(), *port))
        })
        .ok_or_else(|| {
            Error::new(ErrorClass::Port, format!("no port of {bind} between {FIRST} and 29000 is free"))
                .next("k3s-vm list    # the instances of this project")
        })
}

fn begin(root: &Path, name: &InstanceName) -> u16 {
    let digest = Sha256::of(format!("{}\n{name}", root.display()).as_bytes()).to_string();
    // Four hexadecimal digits are always a number.
    u16::from_str_radix(&digest[..4], 16).unwrap_or_default() % TRIPLES
}

/// The ports of all instances of the project, whether they run or not.
fn taken(context: &Context<'_>) -> Result<BTreeSet<Port>> {
    let config = context.project.config.ports;
    let mut taken = BTreeSet::from([config.api, config.ssh, config.web]);
    let Ok(entries) = std::fs::read_dir(context.project.paths.instances()) else { return Ok(taken) };
    for entry in entries.filter_map(std::io::Result::ok) {
        let Some(name) = entry.file_name().to_str().and_then(|name| InstanceName::with_suffix(name).ok()) else {
            continue;
        };
        if let Some(chosen) = read(&context.project.paths.instance(&name).ports())? {
            taken.extend([chosen.api, chosen.ssh, chosen.web]);
        }
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_begins_at_another_port_for_each_instance_and_project() {
        let name = |suffix| InstanceName::with_suffix(suffix).expect("a name");
        let one = begin(Path::new("/a"), &name("one"));
        assert_eq!(one, begin(Path::new("/a"), &name("one")));
        assert_ne!(one, begin(Path::new("/a"), &name("two")));
        assert_ne!(one, begin(Path::new("/b"), &name("one")));
        assert!(one < TRIPLES);
    }
}
