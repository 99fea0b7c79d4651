//! Ports of the host that lead into the guest: how one is written, and the list `ports.forwards`.

use std::fmt;

use super::reader::Reader;
use crate::port::Port;

const KEY: &str = "ports.forwards";

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

/// The list, each host port of which must be nobody else's.
pub(super) fn read(reader: &mut Reader<'_>) -> Vec<PortForward> {
    let forwards = reader.parse_list(KEY, PortForward::parse);
    let mut taken: Vec<(String, Port)> = Vec::new();
    for name in ["ports.api", "ports.ssh", "ports.web"] {
        // What is wrong with them is told by whoever reads them.
        let told = reader.mistakes.len();
        let port = reader.port(name);
        reader.mistakes.truncate(told);
        taken.extend(port.map(|port| (reader.label(name), port)));
    }
    for forward in &forwards {
        let Some(host) = forward.host else { continue };
        match taken.iter().find(|(_, port)| *port == host) {
            Some((name, _)) if name == KEY => {
                reader.mistakes.push(format!("{KEY} has {host} twice: each needs a port of its own"));
            }
            Some((name, _)) => {
                reader.mistakes.push(format!("{KEY} and {name} are both {host}: each needs a port of its own"));
            }
            None => taken.push((KEY.to_owned(), host)),
        }
    }
    forwards
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
