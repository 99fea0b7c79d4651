//! Names of snapshots.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorClass};

/// The name of a snapshot and of its directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotName(String);

impl SnapshotName {
    /// The name `text`: lower-case letters, digits and dashes, at most 32, a letter first, as for instances.
    ///
    /// # Errors
    /// A [`ErrorClass::Config`] error that states the rule.
    pub fn new(text: &str) -> Result<Self, Error> {
        if crate::instance::is_name(text) {
            Ok(SnapshotName(text.to_owned()))
        } else {
            Err(Error::new(ErrorClass::Config, format!("`{text}` cannot be the name of a snapshot"))
                .because(crate::instance::NAME_RULE))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_directory_that_is_neither_hidden_nor_outside() {
        for legal in ["before-migration", "a", "v1"] {
            assert_eq!(SnapshotName::new(legal).unwrap().as_str(), legal);
        }
        for illegal in ["", ".", "..", ".hidden", "a/b", "A", "1", "-a", "ü", "a b", &"a".repeat(33)] {
            assert_eq!(SnapshotName::new(illegal).unwrap_err().class(), ErrorClass::Config, "{illegal}");
        }
    }
}
