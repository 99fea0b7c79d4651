//! The options of an apply.

use std::time::Duration;

use super::inventory::ApplySet;

/// The field manager of this program's requests. It must never change: a new name would own no fields.
pub const FIELD_MANAGER: &str = "k3s-vm";

/// The options of an apply or of its preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplyOptions {
    /// The deadline of the whole apply, waits for new kinds included.
    pub deadline: Duration,
    /// Whether fields of other managers and objects of other projects are taken over.
    pub force: bool,
    /// How many requests run at once. Each has a connection of its own, and a TLS handshake costs a guest without KVM
    /// more than a request does.
    pub concurrency: usize,
    /// The set whose members are labelled, listed, and pruned when they leave it; `None` for no set and no pruning.
    pub set: Option<ApplySet>,
    /// Whether objects that left the set are deleted; otherwise they stay in its list.
    pub prune: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        ApplyOptions { deadline: Duration::from_secs(120), force: false, concurrency: 4, set: None, prune: true }
    }
}
