//! Parses `/proc/net/tcp` and `tcp6` (proc(5), Documentation/networking/proc_net_tcp.rst).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// TCP_LISTEN of the kernel's tcp_states.h.
const LISTEN: &str = "0A";

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// The number of its user.
    pub(super) user: u32,
    pub(super) inode: u64,
}

/// The listeners in a table. The heading and lines of another form are ignored.
pub(super) fn listeners(table: &str) -> impl Iterator<Item = Listener> {
    table.lines().filter_map(listener)
}

fn listener(line: &str) -> Option<Listener> {
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, LISTEN, _, _, _, user, _, inode, ..] = fields[..] else { return None };
    let (address, port) = local.split_once(':')?;
    Some(Listener {
        address: self::address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        user: user.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// Parses an address. The kernel prints its 32-bit words, which are in network order, as numbers in host order.
fn address(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let word = |index: usize| {
        let digits = hex.get(index * 8..index * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for index in 0..4 {
                bytes[index * 4..index * 4 + 4].copy_from_slice(&word(index)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

/// The inode in a link of `/proc/PID/fd` ("socket:[12345]"); `None` if it is not a socket.
pub(super) fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str = "00000000:00000000 00:00000000 00000000  1000        0 102000 1 000000002eca8743 100 0 0 10 0";

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_listeners_of_both_families() {
        let table = format!(
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:192B 00000000:0000 0A {REST}\n   \
             1: 00000000:07E8 00000000:0000 0A {REST}\n   \
             2: 0100007F:9C40 0100007F:192B 01 {REST}\n   \
             3: B80D0120000000000000000001000000:0050 00000000000000000000000000000000:0000 0A {REST}\n   \
             4: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A {REST}\n"
        );
        let found: Vec<(String, u16)> =
            listeners(&table).map(|listener| (listener.address.to_string(), listener.port)).collect();
        let expected = [("127.0.0.1", 6443), ("0.0.0.0", 2024), ("2001:db8::1", 80), ("127.0.0.1", 81)];
        assert_eq!(found, expected.map(|(address, port)| (address.to_owned(), port)));
        assert!(listeners(&table).all(|listener| (listener.user, listener.inode) == (1000, 102_000)));
    }

    #[test]
    fn ignores_truncated_lines() {
        for line in ["", "0:", "0: 0100007F:192B 00000000:0000 0A", "0: XX:192B 0:0 0A 0 0 0 0 0 0"] {
            assert_eq!(listener(line), None, "{line:?}");
        }
    }

    #[test]
    fn reads_the_links_of_sockets() {
        for (link, expected) in [
            ("socket:[102000]", Some(102_000)),
            ("pipe:[102000]", None),
            ("/dev/null", None),
            ("socket:[]", None),
            ("socket:[1", None),
        ] {
            assert_eq!(socket_inode(link), expected, "{link}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_tables_do_not_panic(table in "[ 0-9A-F:\n\u{e9}]{0,200}") {
            let _ = listeners(&table).count();
        }
    }
}
