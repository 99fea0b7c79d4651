//! The table of known defects of QEMU and their workarounds.

use crate::{Accelerator, Version};

/// What a workaround changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The guest's CPU lacks a feature (`-cpu …,-NAME`).
    WithoutCpuFeature(&'static str),
    /// The guest's kernel gets another option.
    KernelOption(&'static str),
    /// A RAM file that is mapped privately is opened for writing.
    WritablePrivateRam,
}

/// A defect and its workaround.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workaround {
    /// The accelerators that have it.
    pub accelerators: &'static [Accelerator],
    /// The first version that has it.
    pub from: Version,
    /// The first version that is known to be free of it, if there is one.
    pub fixed_in: Option<Version>,
    /// The workaround.
    pub change: Change,
    /// What happens without the workaround.
    pub reason: &'static str,
}

/// All workarounds.
///
/// There is none for KVM's CPU: guests get the host's CPU (`-cpu host`), which is the fastest. On a host that is itself a VM
/// and reports features that it lacks, QEMU aborts (`failed to set MSR 0x10a`) or guests hang with every CPU model. This
/// does not follow from a version, so [`crate::accelerator`] tests it with a guest.
pub const WORKAROUNDS: &[Workaround] = &[
    Workaround {
        accelerators: &[Accelerator::Tcg],
        from: Version::new(0, 0, 0),
        fixed_in: None,
        change: Change::WithoutCpuFeature("cx16"),
        reason: "QEMU 7.2 under TCG corrupts the flags after cmpxchg16b: Linux 6.12 panics in __kmalloc. \
                 No newer version has been tried, and nothing in the guest needs the instruction.",
    },
    Workaround {
        accelerators: &[Accelerator::Tcg],
        from: Version::new(0, 0, 0),
        fixed_in: Some(Version::new(8, 1, 0)),
        change: Change::KernelOption("maxcpus=1"),
        reason: "Before QEMU 8.1 an emulated CPU may run on with old translated code while another one patches it, and \
                 a kernel that boots patches itself (`Oops: int3`; 1 of 200 boots on a busy host). So it boots with \
                 one CPU, and the guest brings the others online before its first service.",
    },
    Workaround {
        accelerators: &[Accelerator::Tcg, Accelerator::Kvm],
        from: Version::new(0, 0, 0),
        fixed_in: Some(Version::new(8, 2, 0)),
        change: Change::WritablePrivateRam,
        reason: "Before QEMU 8.2 memory-backend-file has no option rom: one that is read-only cannot be the RAM of a \
                 guest, although a private mapping never writes to the file. So the user needs write permission.",
    },
];

/// The workarounds that apply to a version and an accelerator.
pub fn applying(version: Version, accelerator: Accelerator) -> impl Iterator<Item = &'static Workaround> {
    WORKAROUNDS.iter().filter(move |workaround| {
        workaround.accelerators.contains(&accelerator)
            && version >= workaround.from
            && workaround.fixed_in.is_none_or(|fixed| version < fixed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_accelerators_have_what_they_need() {
        let without_cx16 = Change::WithoutCpuFeature("cx16");
        let one_cpu = Change::KernelOption("maxcpus=1");
        for (version, accelerator, expected) in [
            (Version::new(7, 2, 22), Accelerator::Tcg, vec![without_cx16, one_cpu, Change::WritablePrivateRam]),
            (Version::new(7, 2, 22), Accelerator::Kvm, vec![Change::WritablePrivateRam]),
            (Version::new(8, 1, 0), Accelerator::Tcg, vec![without_cx16, Change::WritablePrivateRam]),
            (Version::new(8, 2, 0), Accelerator::Tcg, vec![without_cx16]),
            (Version::new(8, 2, 0), Accelerator::Kvm, vec![]),
        ] {
            let changes: Vec<_> = applying(version, accelerator).map(|workaround| workaround.change).collect();
            assert_eq!(changes, expected, "{version} {accelerator:?}");
        }
    }
}
