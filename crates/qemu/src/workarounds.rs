//! Known defects of QEMU and what is done about each: the one table, with the reasons.

use crate::{Accelerator, Version};

/// What a workaround changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A CPU feature is taken away from the guest (`-cpu …,-NAME`).
    WithoutCpuFeature(&'static str),
    /// The guest's kernel gets an option more.
    KernelOption(&'static str),
    /// A RAM file that is mapped privately is opened for writing nevertheless.
    WritablePrivateRam,
}

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workaround {
    /// The accelerators that have it.
    pub accelerators: &'static [Accelerator],
    /// The first version that has it.
    pub from: Version,
    /// The first version known to be free of it; nothing while none is known.
    pub fixed_in: Option<Version>,
    /// What is done.
    pub change: Change,
    /// What happens without it.
    pub reason: &'static str,
}

/// All of them.
///
/// KVM has none: its guests get the host's CPU as it is (`-cpu host`), which is the fastest. Where a host under
/// another hypervisor promises features that it does not have, QEMU aborts (`failed to set MSR 0x10a`) or guests hang
/// with every CPU model; [`crate::accelerator`] finds that out by a guest, since no version tells it.
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
        reason: "Before QEMU 8.1 an emulated CPU may go on running what it translated while another one patched it, and \
                 a kernel that turns on its options patches itself (`Oops: int3`; 1 of 200 boots on a busy host). So \
                 it begins on one CPU, and the guest brings the others online before its first service.",
    },
    Workaround {
        accelerators: &[Accelerator::Tcg, Accelerator::Kvm],
        from: Version::new(0, 0, 0),
        fixed_in: Some(Version::new(8, 2, 0)),
        change: Change::WritablePrivateRam,
        reason: "Before QEMU 8.2 memory-backend-file has no option rom: one that is read-only cannot be the RAM of a \
                 guest, although a private map never writes to the file. So the user needs write permission on it.",
    },
];

/// Those that apply.
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
