//! Point 4: who listens in the guest, as seen in the guest, from a pod and from the host. Every listener but DNS must
//! authenticate its clients.

use std::collections::BTreeSet;

use super::guest::{CALL, LiveGuest};
use super::pod;
use crate::expect::expect_ok;

/// Ports that may be open to everybody, and their servers. All of them demand a key, a certificate or a token.
const OPEN: [(u16, &str); 3] = [(22, "sshd"), (6443, "the API"), (10250, "the kubelet")];
/// Ports that may be open on the guest's loopback, the defaults of K3s and Kubernetes: health, metrics, K3s's own proxy to
/// its API, and containerd's streams, which have secret addresses.
const ON_LOOPBACK: [u16; 8] = [6444, 10010, 10248, 10249, 10256, 10257, 10258, 10259];
/// The process of containerd's streams, which have any port.
const STREAMS: &str = "\"containerd\"";
/// Default ports of Kubernetes, its database and its tools: those not in [`OPEN`] must be closed to pods.
const KNOWN: [u16; 20] = [
    22, 53, 111, 1338, 2379, 2380, 4194, 5355, 6443, 6444, 8080, 9090, 10010, 10248, 10249, 10250, 10255, 10256, 10257,
    10259,
];

/// The guest's own list of TCP and UDP listeners has no unknown one.
pub(super) fn of_the_guest(guest: &mut LiveGuest<'_>) {
    let list = guest.shell("ss -H -l -n -t -u -p");
    let stray: Vec<&str> = list.lines().filter(|line| !is_allowed(line)).collect();
    assert!(stray.is_empty(), "these listen, too:\n{}\nof\n{list}", stray.join("\n"));
    // The list is not empty.
    let ports: BTreeSet<u16> = list.lines().filter_map(|line| Some(listener(line)?.1)).collect();
    assert!(OPEN.iter().all(|(port, _)| ports.contains(port)), "{list}");
}

/// A pod can connect only to [`OPEN`] at the guest's address.
pub(super) fn from_a_pod(guest: &mut LiveGuest<'_>) {
    let pod = pod::any(guest);
    let ports: Vec<u16> = KNOWN.into_iter().filter(|port| pod.connects(guest, "10.0.2.15", *port).is_ok()).collect();
    assert_eq!(ports, OPEN.map(|(port, _)| port), "what a pod can connect to");
}

/// QEMU listens only on the forwarded ports.
pub(super) fn from_the_host(guest: &mut LiveGuest<'_>) {
    let forwarded: BTreeSet<String> =
        [guest.api, guest.ssh].map(|port| format!("127.0.0.1:{port}")).into_iter().collect();
    assert_eq!(sockets_of(guest.pid()), forwarded);
}

/// Address and port of a listener, from a line of `ss`.
fn listener(line: &str) -> Option<(&str, u16)> {
    // Netid State Recv-Q Send-Q Local-Address:Port Peer-Address:Port Process
    let (address, port) = line.split_whitespace().nth(4)?.rsplit_once(':')?;
    Some((address, port.parse().ok()?))
}

fn is_allowed(line: &str) -> bool {
    let Some((address, port)) = listener(line) else { return false };
    if !line.starts_with("tcp") {
        return false;
    }
    if address.starts_with("127.") || address == "[::1]" {
        return ON_LOOPBACK.contains(&port) || line.contains(STREAMS);
    }
    OPEN.iter().any(|(open, _)| *open == port)
}

/// The addresses on which a process of the host listens for TCP, as `127.0.0.1:6443`.
fn sockets_of(pid: u32) -> BTreeSet<String> {
    let directory = format!("/proc/{pid}/fd");
    let entries = std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let links = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inodes: BTreeSet<String> =
        links.filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect();
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let path = format!("/proc/{pid}/net/{table}");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        for line in text.lines().skip(1) {
            // proc_pid_net(5): the second field is the address, the fourth the state (0A listens), the tenth the inode.
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields[3] == "0A" && inodes.contains(fields[9]) {
                found.insert(address(fields[1]));
            }
        }
    }
    found
}

/// `0100007F:192B` is `127.0.0.1:6443`; what is no IPv4 address stays as it is.
fn address(hexadecimal: &str) -> String {
    let parsed = hexadecimal.split_once(':').and_then(|(address, port)| {
        (address.len() == 8).then_some(())?;
        let address = u32::from_str_radix(address, 16).ok()?;
        Some(format!("{}:{}", std::net::Ipv4Addr::from(address.swap_bytes()), u16::from_str_radix(port, 16).ok()?))
    });
    parsed.unwrap_or_else(|| hexadecimal.to_owned())
}

/// The kubelet refuses a request without certificate and token.
pub(super) fn the_kubelet_authenticates(guest: &mut LiveGuest<'_>) {
    let mut qmp = expect_ok(qemu::Qmp::connect(&guest.paths.vm_dir(), CALL));
    let forward = qemu::Forward { bind: model::BindAddress::LOOPBACK, host: testkit::port::free(), guest: 10250 };
    expect_ok(qmp.add_forward(&forward).map_err(Into::into));
    let answer = super::node::anonymous(forward.host);
    expect_ok(qmp.remove_forward(&forward));
    assert_eq!(answer, Ok(401), "the answer to a request without credentials");
}
