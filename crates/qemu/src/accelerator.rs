//! The accelerator of a VM: KVM where a test guest has shown that it works, TCG otherwise.
//!
//! That `/dev/kvm` opens does not mean that it works: under nested virtualisation it may create a VM and run the firmware
//! while a Linux guest hangs. So the test is a guest that prints a nonce.

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
    /// Why it is not KVM: "KVM: guests hang on this host".
    pub reason: Option<String>,
}

impl Choice {
    /// Emulation because the configuration says so; KVM is not tested.
    pub fn ordered_tcg() -> Self {
        Choice { accelerator: Accelerator::Tcg, reason: None }
    }

    /// KVM, which has passed the test.
    pub fn proven_kvm() -> Self {
        Choice { accelerator: Accelerator::Kvm, reason: None }
    }

    /// Emulation because KVM does not work.
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
