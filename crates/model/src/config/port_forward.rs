//! A port of the host that leads into the guest, and how it is written.

use std::fmt;

use crate::port::Port;

/// A port of the host that leads to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortForward {
    /// The host's port; any free one where there is none.
    pub host: Option<Port>,
    /// The guest's port.
    pub guest: Port,
}

impl PortForward {
    /// Reads `HOST:GUEST`; `GUEST`, `:GUEST` and `0:GUEST` mean any free port of the host.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mistake = || "not two ports such as \"8080:80\", or one of the guest's".to_owned();
        let (host, guest) = text.split_once(':').unwrap_or(("", text));
        let guest = Port::parse(guest).ok_or_else(mistake)?;
        let host = match host.trim() {
            "" | "0" => None,
            host => Some(Port::parse(host).ok_or_else(mistake)?),
        };
        Ok(PortForward { host, guest })
    }
}

impl fmt::Display for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(host) => write!(f, "{host}:{}", self.guest),
            None => write!(f, "{}", self.guest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_forward_is_written() {
        for (text, expected) in [
            ("8080:80", Some((8080, 80))),
            ("80", Some((0, 80))),
            (":80", Some((0, 80))),
            ("0:80", Some((0, 80))),
            ("80:", None),
            ("", None),
            ("0", None),
            ("8080:0", None),
            ("70000:80", None),
            ("1:2:3", None),
            ("127.0.0.1:80", None),
        ] {
            let read = PortForward::parse(text);
            let numbers = read.clone().ok().map(|read| (read.host.map_or(0, Port::number), read.guest.number()));
            assert_eq!(numbers, expected, "{text}");
            if let Ok(read) = read {
                assert_eq!(PortForward::parse(&read.to_string()), Ok(read), "{text}");
            }
        }
    }
}
