//! Names of instances, and the rule that names of instances and snapshots follow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorClass};

/// The name of an instance as QEMU's `-name` shows it: `k3s-vm`, or `k3s-vm-SUFFIX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceName(String);

/// The rule of [`is_name`], for people.
pub(crate) const NAME_RULE: &str =
    "a name begins with a lower-case letter and has lower-case letters, digits and dashes, 32 at most";

/// Whether `text` follows the rule for names, which are also names of directories.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

impl InstanceName {
    /// The name of a project's default instance, and the prefix of all others.
    pub const DEFAULT: &'static str = "k3s-vm";

    /// The name of the instance with `suffix`: lower-case letters, digits and dashes, at most 32, a letter first.
    ///
    /// # Errors
    /// A [`ErrorClass::Config`] error that states the rule.
    pub fn with_suffix(suffix: &str) -> Result<Self, Error> {
        if is_name(suffix) {
            Ok(InstanceName(format!("{}-{suffix}", Self::DEFAULT)))
        } else {
            Err(Error::new(ErrorClass::Config, format!("`{suffix}` cannot be the name of an instance"))
                .because(NAME_RULE))
        }
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The suffix; `None` for the default instance.
    pub fn suffix(&self) -> Option<&str> {
        self.0.strip_prefix(Self::DEFAULT).and_then(|rest| rest.strip_prefix('-'))
    }
}

impl Default for InstanceName {
    fn default() -> Self {
        InstanceName(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
