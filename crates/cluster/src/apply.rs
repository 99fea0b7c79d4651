//! Server-side apply of manifests: previews, waves of requests, refusals, and pruning of what has left the manifests.

mod diff;
mod inventory;
mod kinds;
mod options;
mod outcome;
mod preview;
mod prune;
mod refusal;
mod run;
mod send;
mod waves;

pub use inventory::{ApplySet, PART_OF_LABEL};
pub use options::{ApplyOptions, FIELD_MANAGER};
pub use outcome::{Applied, ApplyOutcome, Change, PruneOutcome, Pruned};
pub use preview::{Preview, PreviewOptions, Previewed};
