//! `apply`: container images, then manifests with the web application's variables, then the roll-out. Objects that have
//! left the manifests are deleted.

mod credential;
mod deploy;
pub mod images;
mod injected;
pub(crate) mod inputs;
mod objects;
mod preview;
mod report;
mod run;
mod settings;
mod shared;
mod watch;
mod web;

pub use cluster::{Applied, Change, KubeconfigContext, Previewed, PruneOutcome, Pruned};
pub(crate) use deploy::{answers, deploy};
pub use preview::{PreviewReport, preview};
pub use report::ApplyReport;
pub use run::run;
pub use settings::{Options, Settings, Target};
pub use watch::watch;
pub(crate) use web::{check_web, write_web};
