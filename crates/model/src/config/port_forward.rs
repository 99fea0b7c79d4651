//! A host port that is forwarded into the guest.

use std::fmt;

use crate::port::Port;

/// A host port that is forwarded to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortForward {
    /// The host port; `None`: any free one.
    pub host: Option<Port>,
    /// The port of the guest.
    pub guest: Port,
}

impl PortForward {
    /// Reads `HOST:GUEST`; `GUEST`, `:GUEST` and `0:GUEST` mean any free host port.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mistake = || "not two ports such as \"8080:80\", nor one port of the guest".to_owned();
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
    fn reads_what_it_writes_and_nothing_else() {
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
