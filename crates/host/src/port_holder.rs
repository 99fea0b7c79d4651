//! Finds the processes that listen on a TCP port of this host. It never ends one.

mod socket_table;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, TcpListener};
use std::path::Path;

use model::Result;
use model::port::Port;

use crate::account_names::AccountNames;
use crate::process_table::{self, ProcessInfo};
use socket_table::Listener;

/// A listener on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// The address on which it listens.
    pub address: IpAddr,
    /// The user that owns the socket.
    pub user: String,
    /// The process; `None` if this user may not see it. If several share the socket, the one with the lowest pid, which
    /// usually is the parent.
    pub process: Option<ProcessInfo>,
}

/// The listeners that collide with a listener on `bind`:`port`: they have the same address, or either address is a
/// wildcard. `::` counts for IPv4, too, because `/proc` does not show the option IPV6_V6ONLY. The sockets in
/// `/proc/net/tcp` and `tcp6` are matched with `/proc/*/fd` by inode.
///
/// # Errors
/// If `/proc` cannot be read.
pub fn port_holders(bind: IpAddr, port: Port) -> Result<Vec<PortHolder>> {
    let mut listeners = Vec::new();
    // A kernel without IPv6 has no tcp6.
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Some(text) = crate::files::read_text_optional(Path::new(table))? {
            listeners.extend(socket_table::listeners(&text));
        }
    }
    listeners.retain(|listener| listener.port == port.number() && collide(bind, listener.address));
    if listeners.is_empty() {
        return Ok(Vec::new());
    }
    let owners = owners(&listeners)?;
    let names = AccountNames::of_users();
    listeners
        .into_iter()
        .map(|listener| {
            let process = match owners.get(&listener.inode) {
                Some(pid) => process_table::process(*pid)?,
                None => None,
            };
            Ok(PortHolder { address: listener.address, user: names.name(listener.user), process })
        })
        .collect()
}

/// Whether a listener can be opened there now. The port can be taken a moment later, so that only opening it is proof.
/// An error other than "in use" counts as free.
pub fn can_listen(bind: IpAddr, port: Port) -> bool {
    listen_error(bind, port) != Some(ErrorKind::AddrInUse)
}

/// The error of opening a listener there now; `None` where it can be opened.
fn listen_error(bind: IpAddr, port: Port) -> Option<ErrorKind> {
    TcpListener::bind((bind, port.number())).err().map(|error| error.kind())
}

/// Why no process of this user can listen there, whoever holds the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CannotListen {
    /// The address is not one of this host.
    NoSuchAddress,
    /// The port is reserved for root.
    NoPermission,
}

/// Why this user can never listen there; `None` where a port that is in use is all that could be in the way.
pub fn cannot_listen(bind: IpAddr, port: Port) -> Option<CannotListen> {
    match listen_error(bind, port)? {
        ErrorKind::AddrNotAvailable => Some(CannotListen::NoSuchAddress),
        ErrorKind::PermissionDenied => Some(CannotListen::NoPermission),
        _ => None,
    }
}

fn collide(one: IpAddr, other: IpAddr) -> bool {
    let (one, other) = (one.to_canonical(), other.to_canonical());
    match (one, other) {
        (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
            one == other || one.is_unspecified() || other.is_unspecified()
        }
        (IpAddr::V6(six), IpAddr::V4(_)) | (IpAddr::V4(_), IpAddr::V6(six)) => six.is_unspecified(),
    }
}

/// The pid of each socket's process by inode, as far as this user may see it.
fn owners(listeners: &[Listener]) -> Result<HashMap<u64, u32>> {
    let wanted: HashSet<u64> = listeners.iter().map(|listener| listener.inode).collect();
    let mut found = HashMap::new();
    for pid in process_table::pids()? {
        if found.len() == wanted.len() {
            break;
        }
        // Descriptors of other users cannot be read, and a process may end meanwhile.
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let inode = target.to_str().and_then(socket_table::socket_inode);
            if let Some(inode) = inode.filter(|inode| wanted.contains(inode)) {
                found.entry(inode).or_insert(pid);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use super::*;
    use crate::wait::Look;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn port_of(listener: &TcpListener) -> Port {
        Port::new(listener.local_addr().unwrap().port()).unwrap()
    }

    #[test]
    fn names_this_process() {
        let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
        let this = process_table::process(std::process::id()).unwrap().unwrap();
        for bind in [LOCALHOST, ANY] {
            let holders = port_holders(bind, port_of(&listener)).unwrap();
            let expected = PortHolder { address: LOCALHOST, user: this.user.clone(), process: Some(this.clone()) };
            assert_eq!(holders, [expected], "{bind}");
        }
    }

    #[test]
    fn another_address_and_a_closed_listener_do_not_collide() {
        let listener = TcpListener::bind((LOCALHOST, testkit::port::free().number())).unwrap();
        let port = port_of(&listener);
        assert!(!can_listen(LOCALHOST, port) && can_listen("127.0.0.2".parse().unwrap(), port));
        assert_eq!(port_holders("127.0.0.2".parse().unwrap(), port).unwrap(), []);
        // A connection of the port stays open; it is not a listener.
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap();
        drop(listener);
        // A process that another test has just forked holds a copy of it until execve(2).
        let wait = crate::wait::Wait {
            what: "the end of the listener",
            deadline: std::time::Duration::from_secs(60),
            interval: std::time::Duration::from_millis(5),
        };
        wait.until(|_| {
            let holders = port_holders(LOCALHOST, port)?;
            Ok(if holders.is_empty() { Look::Ready(()) } else { Look::NotYet(format!("{holders:?}")) })
        })
        .unwrap();
        drop((client, server));
    }

    #[test]
    fn a_wildcard_is_seen_from_localhost() {
        let listener = TcpListener::bind((ANY, 0)).unwrap();
        let holders = port_holders(LOCALHOST, port_of(&listener)).unwrap();
        assert_eq!(holders.len(), 1);
        assert_eq!((holders[0].address, holders[0].process.as_ref().unwrap().pid), (ANY, std::process::id()));
    }

    #[test]
    fn a_wildcard_of_ipv6_is_seen_from_ipv4() {
        // Where the machine has no IPv6 there is nothing to see.
        let Ok(listener) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else { return };
        let holders = port_holders(LOCALHOST, port_of(&listener)).unwrap();
        assert_eq!(holders.len(), 1);
        assert_eq!(holders[0].address, IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        assert_eq!(holders[0].process.as_ref().map(|process| process.pid), Some(std::process::id()));
    }

    #[test]
    fn collisions() {
        for (one, other, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "0.0.0.0", true),
            ("0.0.0.0", "10.0.0.1", true),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("127.0.0.1", "::", true),
            ("127.0.0.1", "::1", false),
            ("0.0.0.0", "::1", false),
            ("::1", "::", true),
            ("::1", "::2", false),
        ] {
            let (first, second) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(collide(first, second), expected, "{one} {other}");
            assert_eq!(collide(second, first), expected, "{other} {one}");
        }
    }
}
