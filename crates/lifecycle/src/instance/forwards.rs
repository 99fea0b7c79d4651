//! The port forwards of the configuration, with a host port for each that names none.

use host::digest::Sha256;
use host::port_holder::can_listen;
use model::BindAddress;
use model::config::Ports;
use model::port::Port;
use qemu::Forward;

use crate::context::Context;

/// The first of the ports to choose from: they lie between those of named instances and the node ports.
const FIRST: u16 = 29000;
const COUNT: u16 = 1000;

/// The configured forwards of the instance, beside its own `ports`. The host ports in the file are for the default
/// instance; a named one gets others.
pub(crate) fn configured(context: &Context<'_>, ports: &Ports) -> Vec<Forward> {
    let mut taken = vec![ports.api, ports.ssh, ports.web];
    let forwards = &context.project.config.forwards;
    taken.extend(forwards.iter().filter_map(|forward| forward.host));
    let choose = |forward: &model::config::PortForward| {
        let fixed = forward.host.filter(|_| context.is_default());
        let host = fixed.unwrap_or_else(|| free(context, ports.bind, forward.guest, &taken));
        taken.push(host);
        Forward { bind: ports.bind, host, guest: forward.guest.number() }
    };
    forwards.iter().map(choose).collect()
}

/// A free port of the host. Project, instance and guest port decide where the search begins, so that the result is the same
/// as long as no other program takes that port. Where none is free, QEMU reports it.
pub(crate) fn free(context: &Context<'_>, bind: BindAddress, guest: Port, taken: &[Port]) -> Port {
    let key = format!("{}\n{}\n{guest}", context.project.paths.root().display(), context.name);
    let digest = Sha256::of(key.as_bytes()).to_string();
    // Four hexadecimal digits are always a number.
    let begin = u16::from_str_radix(&digest[..4], 16).unwrap_or_default() % COUNT;
    let mut ports = (0..COUNT).filter_map(|step| Port::new(FIRST + (begin + step) % COUNT));
    ports.find(|port| !taken.contains(port) && can_listen(bind.ip(), *port)).unwrap_or(guest)
}
