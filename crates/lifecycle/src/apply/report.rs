//! What an apply reports.

use cluster::{Applied, Pruned};
use serde::Serialize;

use crate::apply::images::LoadedImage;

/// What an apply did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ApplyReport {
    /// The container images that the guest has now.
    pub images: Vec<LoadedImage>,
    /// The objects, in the order in which they were applied.
    pub objects: Vec<Applied>,
    /// The objects that have left the manifests, in the order in which they were deleted.
    pub pruned: Vec<Pruned>,
    /// Variables that Kubernetes would refuse, with the reason.
    pub refused_variables: Vec<(String, String)>,
    /// Whether the web port answered; `None` where no Service has it as its NodePort, or without a wait.
    pub web_answers: Option<bool>,
}

/// `number` and `noun`, which gets an `s` where there is not one.
pub(super) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
