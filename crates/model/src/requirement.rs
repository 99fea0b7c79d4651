//! Programs that a verb needs on the host, and the user's consent to their installation.

use crate::Result;

/// A program that a verb needs, and its package in each package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// The name of the program.
    pub program: &'static str,
    /// The package on Debian and Ubuntu.
    pub apt: &'static str,
    /// The package on Fedora.
    pub dnf: &'static str,
    /// The package on Arch Linux.
    pub pacman: &'static str,
    /// What the program does for k3s-vm ("runs the VM").
    pub purpose: &'static str,
}

/// Asks the user to agree to an installation.
pub trait Consent {
    /// Asks `question`, which names the exact packages and the command. Returns false if nobody can be asked.
    ///
    /// # Errors
    /// If the question cannot be asked, or the user interrupts.
    fn ask(&self, question: &str) -> Result<bool>;
}
