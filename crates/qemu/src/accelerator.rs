//! Which accelerator a VM runs under. It decides from facts it is given; it never looks at `/dev/kvm` itself.

use model::config::Accel;
use serde::{Deserialize, Serialize};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// QEMU's own translation; works everywhere.
    Tcg,
    /// The host's virtualisation.
    Kvm,
}

impl Accelerator {
    /// The name as QEMU's `-accel` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Accelerator::Tcg => "tcg",
            Accelerator::Kvm => "kvm",
        }
    }
}

/// Proof that KVM runs guests here: a guest printed its nonce under it.
///
/// A device that opens is no proof: `/dev/kvm` may open, create a VM and run the firmware while a Linux guest hangs
/// (nested virtualisation). Only the code that saw the nonce makes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvmProof {
    /// The boot of the host in which it was seen.
    pub boot_id: String,
    /// The QEMU that ran the guest.
    pub qemu: crate::Version,
}

/// The accelerator of a VM and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What the VM runs under.
    pub accelerator: Accelerator,
    /// Why, for people.
    pub reason: &'static str,
}

/// Chooses: what the user forces is taken, otherwise KVM where it is proven and TCG where it is not.
pub fn choose(wish: Accel, proof: Option<&KvmProof>) -> Choice {
    let (accelerator, reason) = match (wish, proof) {
        (Accel::Kvm, _) => (Accelerator::Kvm, "the configuration asks for it"),
        (Accel::Tcg, _) => (Accelerator::Tcg, "the configuration asks for it"),
        (Accel::Auto, Some(_)) => (Accelerator::Kvm, "a guest has run under it on this host"),
        (Accel::Auto, None) => (Accelerator::Tcg, "KVM is not proven to work on this host"),
    };
    Choice { accelerator, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_needs_a_proof_or_an_order() {
        let proof = KvmProof { boot_id: "b".to_owned(), qemu: crate::Version::new(7, 2, 22) };
        for (wish, proof, expected) in [
            (Accel::Auto, None, Accelerator::Tcg),
            (Accel::Auto, Some(&proof), Accelerator::Kvm),
            (Accel::Tcg, Some(&proof), Accelerator::Tcg),
            (Accel::Kvm, None, Accelerator::Kvm),
        ] {
            assert_eq!(choose(wish, proof).accelerator, expected, "{wish:?} {proof:?}");
        }
    }
}
