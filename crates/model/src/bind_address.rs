//! The host's address on which the ports of an instance listen, and every address and URL that follows from it.
//!
//! Whoever shows or opens one takes it from here, so that it leads to where something listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};

use serde::{Deserialize, Serialize};

use crate::port::Port;

/// The address of all listeners of an instance. It is IPv4, since QEMU's user network forwards nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BindAddress(Ipv4Addr);

impl BindAddress {
    /// The default: only this host connects.
    pub const LOOPBACK: BindAddress = BindAddress(Ipv4Addr::LOCALHOST);
    /// What is an address of this kind and nothing else, as a regular expression (ECMA-262) for the JSON Schema.
    pub const PATTERN: &str =
        r"^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])$";

    /// Reads an IPv4 address.
    ///
    /// # Errors
    /// What is wrong with it, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(BindAddress(address));
        }
        // As URLs and `ss` write them.
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        // A zone names an interface: fe80::1%eth0.
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

    /// The address that is listened on.
    pub fn ip(self) -> IpAddr {
        IpAddr::V4(self.0)
    }

    /// The address at which programs on this host reach a listener: 127.0.0.1 where it listens on all (0.0.0.0). Never a
    /// name: `localhost` may mean ::1, where another program can listen on the same port.
    pub fn reached_at(self) -> Ipv4Addr {
        if self.0.is_unspecified() { Ipv4Addr::LOCALHOST } else { self.0 }
    }

    /// Where to connect to a port.
    pub fn socket(self, port: Port) -> SocketAddr {
        SocketAddrV4::new(self.reached_at(), port.number()).into()
    }

    /// The URL of a port that speaks HTTP: `http://127.0.0.1:30080`.
    pub fn http(self, port: Port) -> String {
        format!("http://{}", self.socket(port))
    }

    /// The URL of a port that speaks HTTPS: `https://127.0.0.1:6443`.
    pub fn https(self, port: Port) -> String {
        format!("https://{}", self.socket(port))
    }
}

impl From<Ipv4Addr> for BindAddress {
    fn from(address: Ipv4Addr) -> Self {
        BindAddress(address)
    }
}

/// As it is listened on, which is not where it is reached.
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
        let told = |text: &str| BindAddress::parse(text).unwrap_err();
        insta::assert_snapshot!(told("::1"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1");
        insta::assert_snapshot!(told("::"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 0.0.0.0 for all addresses of this host");
        insta::assert_snapshot!(told("fd00::5"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1, 0.0.0.0 for all addresses of this host, or the IPv4 address of one interface");
        assert_eq!(told("[::1]"), told("::1"));
        assert_eq!(told("fe80::1%eth0"), told("fd00::5"));
        insta::assert_snapshot!(told("::ffff:192.168.1.5"), @"an IPv6 address, and QEMU's user network forwards IPv4 only: write 192.168.1.5");
        for text in ["", "here", "localhost", "127.0.0.1:80", "127.1", "256.0.0.1", "127.0.0.01"] {
            assert_eq!(told(text), "not an IPv4 address such as 127.0.0.1", "{text}");
        }
    }
}
