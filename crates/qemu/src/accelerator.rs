//! Which accelerator a VM runs under: KVM where a guest has proved that it works, TCG otherwise.
//!
//! A device that opens is no proof: `/dev/kvm` may open, create a VM and run the firmware while a Linux guest hangs
//! (nested virtualisation). Only a guest that printed a nonce is one.

mod device;
mod guest;
mod probe;
mod refusal;
mod self_test;
mod verdicts;

use std::fmt;

use crate::machine::Accelerator;

pub use probe::{Finding, Probe};
pub use refusal::{Permission, Refusal};
pub use self_test::{SelfTest, Source, Tested};

/// The accelerator of a VM, and why it is not KVM where that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What the VM runs under.
    pub accelerator: Accelerator,
    /// Why not KVM, in a few words: "KVM: guests hang on this host".
    pub reason: Option<String>,
}

impl Choice {
    /// Emulation, as the configuration orders; KVM is not looked at.
    pub fn ordered_tcg() -> Self {
        Choice { accelerator: Accelerator::Tcg, reason: None }
    }

    /// KVM, which a guest has proved.
    pub fn proven_kvm() -> Self {
        Choice { accelerator: Accelerator::Kvm, reason: None }
    }

    /// Emulation for want of KVM.
    pub fn fallback(refusal: &Refusal) -> Self {
        Choice { accelerator: Accelerator::Tcg, reason: Some(format!("KVM: {}", refusal.reason())) }
    }
}

impl fmt::Display for Choice {
    /// `tcg (KVM: guests hang on this host)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.accelerator.name())?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}
