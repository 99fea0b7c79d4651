//! Why a QEMU did not come up, as far as callers decide by it.

use std::fmt;

use model::{Error, ErrorClass};

/// Why a QEMU did not come up. Each variant has the error for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaunchError {
    /// A port of the host is taken; the error names who holds it.
    PortTaken(Error),
    /// QEMU died before it answered.
    Died(Error),
    /// QEMU does not answer on QMP, or not as it should.
    NoAnswer(Error),
    /// The saved state cannot be used: its files are not complete, or QEMU does not load it.
    StateUnusable(Error),
    /// Anything else: the host lacks something, another QEMU uses the disk, the user interrupted.
    Other(Error),
}

impl LaunchError {
    /// `error` as `kind`; an interrupt says nothing about QEMU.
    pub(super) fn unless_interrupted(error: Error, kind: fn(Error) -> Self) -> Self {
        match error.class() {
            ErrorClass::Interrupted => LaunchError::Other(error),
            _ => kind(error),
        }
    }

    /// Whether a boot from the disk may succeed where this restore did not.
    pub fn may_boot_instead(&self) -> bool {
        match self {
            LaunchError::Died(_) | LaunchError::NoAnswer(_) | LaunchError::StateUnusable(_) => true,
            LaunchError::PortTaken(_) | LaunchError::Other(_) => false,
        }
    }

    /// Changes the error for the user.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Error) -> Error) -> Self {
        match self {
            LaunchError::PortTaken(error) => LaunchError::PortTaken(change(error)),
            LaunchError::Died(error) => LaunchError::Died(change(error)),
            LaunchError::NoAnswer(error) => LaunchError::NoAnswer(change(error)),
            LaunchError::StateUnusable(error) => LaunchError::StateUnusable(change(error)),
            LaunchError::Other(error) => LaunchError::Other(change(error)),
        }
    }
}

impl From<Error> for LaunchError {
    fn from(error: Error) -> Self {
        LaunchError::Other(error)
    }
}

impl From<LaunchError> for Error {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::PortTaken(error)
            | LaunchError::Died(error)
            | LaunchError::NoAnswer(error)
            | LaunchError::StateUnusable(error)
            | LaunchError::Other(error) => error,
        }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (LaunchError::PortTaken(error)
        | LaunchError::Died(error)
        | LaunchError::NoAnswer(error)
        | LaunchError::StateUnusable(error)
        | LaunchError::Other(error)) = self;
        error.fmt(f)
    }
}

impl std::error::Error for LaunchError {}
