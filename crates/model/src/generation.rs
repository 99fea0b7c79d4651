//! The generation of a saved state: a unique number that is written to its disk, its RAM and its device state. Parts of
//! different generations must not be used together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A generation: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Generation(String);

impl Generation {
    /// Number of digits.
    pub const LENGTH: usize = 32;

    /// The generation with this number, which the caller takes at random.
    pub fn from_number(number: u128) -> Self {
        Generation(format!("{number:032x}"))
    }

    /// Reads a generation.
    ///
    /// # Errors
    /// A text, if `text` is not 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == Self::LENGTH && text.bytes().all(is_digit) {
            return Ok(Generation(text.to_owned()));
        }
        Err("not a generation, which has 32 hexadecimal digits".to_owned())
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Generation {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Generation> for String {
    fn from(generation: Generation) -> Self {
        generation.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_read_because_it_becomes_part_of_a_file_name() {
        let generation = Generation::from_number(0xab);
        assert_eq!(generation.as_str(), "000000000000000000000000000000ab");
        assert_eq!(Generation::parse(generation.as_str()), Ok(generation));
        for text in [
            "",
            "ab",
            "../0000000000000000000000000000a",
            "0000000000000000000000000000000G",
            "AB000000000000000000000000000000",
        ] {
            assert!(Generation::parse(text).is_err(), "{text}");
        }
    }
}
