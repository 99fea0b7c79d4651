//! What a verb needs of the machine, and how the user agrees to its installation.

use crate::Result;

/// A program that a verb needs and the package that brings it on each family of systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// The program, by its name.
    pub program: &'static str,
    /// Debian and Ubuntu.
    pub apt: &'static str,
    /// Fedora.
    pub dnf: &'static str,
    /// Arch.
    pub pacman: &'static str,
    /// What it is needed for ("runs the VM").
    pub purpose: &'static str,
}

/// How the user agrees to an installation.
pub trait Consent {
    /// Asks; `question` names the exact packages and the command. False where there is nobody to ask.
    ///
    /// # Errors
    /// When asking itself fails, or the user interrupts.
    fn ask(&self, question: &str) -> Result<bool>;
}
