//! The host address on which the ports of an instance listen, and the addresses and URLs that follow from it.
//!
//! Code that shows or opens such an address takes it from here, so that it always reaches the listener.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::port::Port;

/// The address of all listeners of an instance. It is IPv4 because QEMU's user network forwards only IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BindAddress(Ipv4Addr);

impl BindAddress {
    /// The default: only this host can connect.
    pub const LOOPBACK: BindAddress = BindAddress(Ipv4Addr::LOCALHOST);
    /// A regular expression (ECMA-262, for the JSON Schema) that matches exactly the addresses [`BindAddress::parse`]
    /// takes, and the one for broadcasts, 255.255.255.255.
    pub const PATTERN: &str = r"^(25[0-5]|24[0-9]|22[0-3]|2[01][0-9]|1[0-9][0-9]|[1-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}$";

    /// Reads an IPv4 address.
    ///
    /// # Errors
    /// A text that says what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return match address.is_multicast() || address.is_broadcast() {
                true => Err("an address of many hosts: write 127.0.0.1, or the address of one interface".to_owned()),
                false => Ok(BindAddress(address)),
            };
        }
        // URLs and `ss` put brackets around IPv6 addresses.
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        // A zone is the name of an interface: fe80::1%eth0.
        let bare = bare.split_once('%').map_or(bare, |(address, _)| address);
        let instead = match bare.parse::<Ipv6Addr>() {
            Err(_) => return Err("not an IPv4 address such as 127.0.0.1".to_owned()),
            Ok(address) if address.is_unspecified() => "0.0.0.0 for all addresses of this host".to_owned(),
            Ok(address) => match address.to_ipv4_mapped() {
                Some(mapped) => mapped.to_string(),
                None if address.is_loopback() => "127.0.0.1".to_owned(),
                None => {
                    "127.0.0.1, 0.0.0.0 for all addresses of this host, or the IPv4 address of one interface".to_owned()
                }
            },
        };
        Err(format!("an IPv6 address, and QEMU's user network forwards IPv4 only: write {instead}"))
    }

    /// The address to listen on.
    pub fn ip(self) -> IpAddr {
        IpAddr::V4(self.0)
    }

    /// The address at which programs on this host reach a listener: 127.0.0.1 if it listens on all addresses (0.0.0.0).
    /// Never a name: `localhost` may mean ::1, where another program can listen on the same port.
    pub fn reached_at(self) -> Ipv4Addr {
        if self.0.is_unspecified() { Ipv4Addr::LOCALHOST } else { self.0 }
    }

    /// The socket address at which programs on this host reach a port.
    pub fn socket(self, port: Port) -> SocketAddr {
        SocketAddrV4::new(self.reached_at(), port.number()).into()
    }

    /// The URL of an HTTP port: `http://127.0.0.1:30080`.
    pub fn http(self, port: Port) -> String {
        format!("http://{}", self.socket(port))
    }

    /// The URL of an HTTPS port: `https://127.0.0.1:6443`.
    pub fn https(self, port: Port) -> String {
        format!("https://{}", self.socket(port))
    }
}

impl From<Ipv4Addr> for BindAddress {
    fn from(address: Ipv4Addr) -> Self {
        BindAddress(address)
    }
}

/// Shows the address to listen on, not the one at which the listener is reached.
impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_where_something_listens() {
        for (bind, web, api) in [
            ("127.0.0.1", "http://127.0.0.1:30080", "https://127.0.0.1:6443"),
            ("0.0.0.0", "http://127.0.0.1:30080", "https://127.0.0.1:6443"),
            ("127.0.0.9", "http://127.0.0.9:30080", "https://127.0.0.9:6443"),
            ("192.168.1.5", "http://192.168.1.5:30080", "https://192.168.1.5:6443"),
        ] {
            let address = BindAddress::parse(bind).unwrap();
            assert_eq!(address.to_string(), bind);
            assert_eq!(address.http(Port::literal(30080)), web);
            assert_eq!(address.https(Port::literal(6443)), api);
        }
    }

    #[test]
    fn an_ipv6_address_is_refused_with_what_to_write_instead() {
        let refusal = |text: &str| BindAddress::parse(text).unwrap_err();
        insta::assert_snapshot!(refusal("::1"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1");
        insta::assert_snapshot!(refusal("::"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 0.0.0.0 for all addresses of this host");
        insta::assert_snapshot!(refusal("fd00::5"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1, 0.0.0.0 for all addresses of this host, or the IPv4 address of one interface");
        assert_eq!(refusal("[::1]"), refusal("::1"));
        assert_eq!(refusal("fe80::1%eth0"), refusal("fd00::5"));
        insta::assert_snapshot!(refusal("::ffff:192.168.1.5"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 192.168.1.5");
        for text in ["224.0.0.1", "239.255.255.255", "255.255.255.255"] {
            assert!(refusal(text).starts_with("an address of many hosts"), "{text}");
        }
        for text in ["", "here", "localhost", "127.0.0.1:80", "127.1", "256.0.0.1", "127.0.0.01"] {
            assert_eq!(refusal(text), "not an IPv4 address such as 127.0.0.1", "{text}");
        }
    }
}
