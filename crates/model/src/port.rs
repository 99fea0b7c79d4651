//! Port numbers and the range of NodePorts.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

/// A TCP port, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port `number`; `None` for 0.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Port)
    }

    /// A port that is known at compile time.
    ///
    /// # Panics
    /// If `number` is 0; in a `const` that is a compile error.
    pub const fn literal(number: u16) -> Self {
        match NonZeroU16::new(number) {
            Some(number) => Port(number),
            None => panic!("port 0"),
        }
    }

    /// Reads a decimal number from 1 to 65535. Surrounding blanks are allowed, a sign is not.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        text.parse().ok().and_then(Port::new)
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0.get()
    }

    /// Whether it is in the default range of NodePorts (`--service-node-port-range`, 30000-32767).
    pub fn is_node_port(self) -> bool {
        (30000..=32767).contains(&self.number())
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write_and_nothing_else() {
        for (text, expected) in [
            ("30080", Some(30080)),
            (" 443 ", Some(443)),
            ("0", None),
            ("", None),
            ("+80", None),
            ("-1", None),
            ("65536", None),
            ("8080/tcp", None),
            ("0x50", None),
        ] {
            assert_eq!(Port::parse(text).map(Port::number), expected, "{text:?}");
        }
    }
}
