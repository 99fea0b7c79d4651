//! Reads `info usernet`: the forwards and TCP connections of QEMU's user network. Pure.
//!
//! Source of the form: `slirp_connection_info` of libslirp (misc.c), which prints a heading and one line a socket:
//! `  TCP[ESTABLISHED]   14       127.0.0.1  6443       10.0.2.15  6443     0     0`.

use model::BindAddress;
use model::port::Port;

use crate::Forward;

/// The guest's default address in QEMU's user network (qemu-invocation(7), `-netdev user`).
const GUEST: &str = "10.0.2.15";
/// A column of the heading, by which the list is recognised.
const HEADING: &str = "Protocol[State]";

/// The user network of a VM at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserNetwork {
    /// The ports of the host that lead into the guest, in the order in which they were opened.
    pub forwards: Vec<Forward>,
    /// Open TCP connections into and out of the guest. UDP does not count: QEMU lists a datagram, such as a DNS query, for
    /// minutes.
    pub connections: usize,
    /// The connections from the host that wait for the guest: those that it has not accepted, and those with data that it has
    /// not received.
    pub waiting: usize,
}

impl UserNetwork {
    /// Parses the list; `None` where the text is not such a list.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.contains(HEADING) {
            return None;
        }
        let mut network = UserNetwork::default();
        for socket in text.lines().filter_map(Socket::parse) {
            match socket.state {
                // The newest comes first.
                "HOST_FORWARD" => network.forwards.insert(0, socket.forward()?),
                "CLOSED" | "TIME_WAIT" => {}
                state => {
                    network.connections += 1;
                    let from_host = socket.destination.0 == GUEST;
                    network.waiting += usize::from(from_host && (state == "SYN_SENT" || socket.unsent > 0));
                }
            }
        }
        Some(network)
    }
}

/// A line of the list.
struct Socket<'a> {
    state: &'a str,
    source: (&'a str, u16),
    destination: (&'a str, u16),
    /// Bytes for the guest that it has not acknowledged (SendQ).
    unsent: u64,
}

impl<'a> Socket<'a> {
    /// A TCP socket; `None` for any other line.
    fn parse(line: &'a str) -> Option<Self> {
        let (state, rest) = line.trim().strip_prefix("TCP[")?.split_once(']')?;
        let mut words = rest.split_whitespace().skip(1);
        let mut address = || Some((words.next()?, words.next()?.parse().ok()?));
        let (source, destination) = (address()?, address()?);
        Some(Socket { state, source, destination, unsent: words.nth(1)?.parse().ok()? })
    }

    fn forward(&self) -> Option<Forward> {
        // A wildcard is printed as `*`.
        let bind = BindAddress::parse(if self.source.0 == "*" { "0.0.0.0" } else { self.source.0 }).ok()?;
        Some(Forward { bind, host: Port::new(self.source.1)?, guest: self.destination.1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Hub -1 (net0):\r\n  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n";

    fn parse(lines: &str) -> UserNetwork {
        UserNetwork::parse(&format!("{HEAD}{lines}")).unwrap()
    }

    #[test]
    fn forwards_are_in_the_order_in_which_they_were_opened() {
        let network = parse(
            "  TCP[HOST_FORWARD]  13               *  8080       10.0.2.15    80     0     0\r\n\
             \x20 TCP[HOST_FORWARD]  12       127.0.0.1  6443       10.0.2.15  6443     0     0\r\n",
        );
        let told: Vec<String> = network.forwards.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["tcp:127.0.0.1:6443-:6443", "tcp:0.0.0.0:8080-:80"]);
        assert_eq!((network.connections, network.waiting), (0, 0));
    }

    #[test]
    fn connections_count_until_they_are_closed() {
        for (line, connections, waiting) in [
            ("TCP[ESTABLISHED]   14       127.0.0.1  6443       10.0.2.15  6443     0     0", 1, 0),
            ("TCP[ESTABLISHED]   14       127.0.0.1  6443       10.0.2.15  6443     0    17", 1, 1),
            ("TCP[ESTABLISHED]   14       127.0.0.1  6443       10.0.2.15  6443    17     0", 1, 0),
            ("TCP[SYN_SENT]      14       127.0.0.1 17777       10.0.2.15    80     0     0", 1, 1),
            ("TCP[ESTABLISHED]   15       10.0.2.15 41234   151.101.2.132   443     0  4096", 1, 0),
            ("TCP[FIN_WAIT_2]    15       10.0.2.15 41234   151.101.2.132   443     0     0", 1, 0),
            ("TCP[TIME_WAIT]     15       10.0.2.15 41234   151.101.2.132   443     0     0", 0, 0),
            ("TCP[CLOSED]        15       10.0.2.15 41234   151.101.2.132   443     0     0", 0, 0),
            ("UDP[236 sec]       16       10.0.2.15 41234       10.0.2.3    53     0     0", 0, 0),
            ("ICMP[10 sec]       16       10.0.2.15     0        10.0.2.2     0     0     0", 0, 0),
        ] {
            let network = parse(&format!("  {line}\r\n"));
            assert_eq!((network.connections, network.waiting), (connections, waiting), "{line}");
        }
    }

    #[test]
    fn another_text_is_not_an_empty_list() {
        assert_eq!(UserNetwork::parse("unknown command: 'info usernet'"), None);
        assert_eq!(UserNetwork::parse(""), None);
        assert_eq!(parse(""), UserNetwork::default());
    }
}
