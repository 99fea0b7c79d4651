//! `nix update`: pins the newest nixpkgs of the channel for NixOS guests. It concerns no instance.

use std::path::Path;
use std::time::Duration;

use guest_image::{PinReport, PinUpdate};
use model::{Event, EventSink, Result};

use crate::steps::{Outcome, Steps};

/// How long Nix may take to download the archive of about 40 MiB.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Updates the pin in `sources`, the checkout's `guest/` directory.
///
/// # Errors
/// Errors of the network, of Nix, and of writing the file.
pub fn run(sources: &Path, events: &dyn EventSink) -> Result<PinReport> {
    Steps::new(events, 1).run("Updating nixpkgs", || {
        let report = PinUpdate::new(sources, DEADLINE, events).run();
        events.emit(Event::TaskFinished { task: "nixpkgs".to_owned() });
        let report = report?;
        let newest = report.release().to_owned();
        Ok(if report.changed {
            Outcome::Done(report, newest)
        } else {
            Outcome::Skipped(report, format!("{newest} is the newest"))
        })
    })
}
