//! Host packages: what a verb needs, what is missing, and installing it with the user's consent.

#![allow(unused_variables, unused_mut, dead_code, clippy::unimplemented)]

use model::{EventSink, Result};

/// A program that a verb needs and the package that brings it on each family of systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requirement {
    /// The program, looked for with [`crate::tools::find`].
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
    fn ask(&self, question: &str) -> Result<bool>;
}

/// Makes sure that every requirement is there: installs what is missing with the system's package manager (through
/// sudo where not root) after consent, otherwise fails naming the exact packages and the command to type.
pub fn ensure(requirements: &[Requirement], consent: &dyn Consent, events: &dyn EventSink) -> Result<()> {
    unimplemented!()
}
