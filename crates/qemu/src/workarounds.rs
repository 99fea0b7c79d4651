//! Known defects of QEMU and what is done about each: the one table, with the reasons.

use crate::{Accelerator, Version};

/// What a workaround changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A CPU feature is taken away from the guest (`-cpu …,-NAME`).
    WithoutCpuFeature(&'static str),
}

/// One defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workaround {
    /// The accelerator that has it.
    pub accelerator: Accelerator,
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
pub const WORKAROUNDS: &[Workaround] = &[Workaround {
    accelerator: Accelerator::Tcg,
    from: Version::new(0, 0, 0),
    fixed_in: None,
    change: Change::WithoutCpuFeature("cx16"),
    reason: "QEMU 7.2 under TCG corrupts the flags after cmpxchg16b: Linux 6.12 panics in __kmalloc. \
             No newer version has been tried, and nothing in the guest needs the instruction.",
}];

/// Those that apply.
pub fn applying(version: Version, accelerator: Accelerator) -> impl Iterator<Item = &'static Workaround> {
    WORKAROUNDS.iter().filter(move |workaround| {
        workaround.accelerator == accelerator
            && version >= workaround.from
            && workaround.fixed_in.is_none_or(|fixed| version < fixed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cx16_is_taken_away_under_tcg_only() {
        let changes = |accelerator| applying(Version::new(7, 2, 22), accelerator).map(|w| w.change).collect::<Vec<_>>();
        assert_eq!(changes(Accelerator::Tcg), [Change::WithoutCpuFeature("cx16")]);
        assert_eq!(changes(Accelerator::Kvm), []);
    }
}
