//! `cargo xtask bench`: what the main job costs, measured by driving `bin/k3s-vm` in a project of its own.

mod against;
mod events;
mod figures;
pub(crate) mod instant;
mod objects;
mod project;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

pub(crate) use against::Against;
use figures::{Figures, Unit};
use project::BenchProject;

/// How often each figure is measured; the table shows the median.
pub(crate) const DEFAULT_RUNS: usize = 3;
/// The same for what takes milliseconds.
const STATUS_RUNS: usize = 20;

/// Measures and prints a table. The tools of `against` are measured in the same run, in turn with k3s-vm.
///
/// # Errors
/// What k3s-vm printed when a verb failed.
pub(crate) fn run(repository: &Path, runs: usize, against: &[Against]) -> Result<()> {
    let project = BenchProject::new(repository)?;
    let mut figures = Figures::default();
    println!("Making the guest image, if it is not in the cache");
    project.verb(&["start", "--no-wait"])?;
    let image = project.image_directory()?;
    for run in 1..=runs {
        println!("Run {run} of {runs}");
        project.make_cold()?;
        let events = project.verb(&["start"])?;
        figures.add("cold boot to Ready", Unit::Seconds, events.between("Starting the VM", "Waiting for Kubernetes")?);
        figures.add("cold boot to the application", Unit::Seconds, events.since_begin_of("Starting the VM")?);
        for _ in 0..STATUS_RUNS {
            figures.add("status", Unit::Milliseconds, timed(|| project.verb(&["status"]).map(drop))? * 1000.0);
        }
        figures.add("start when running", Unit::Seconds, timed(|| project.verb(&["start"]).map(drop))?);
        figures.add("apply without a change", Unit::Seconds, timed(|| project.verb(&["apply"]).map(drop))?);
        figures.add("stop by powering off", Unit::Seconds, timed(|| project.verb(&["stop", "--power-off"]).map(drop))?);
        figures.add("start from the disk", Unit::Seconds, timed(|| project.verb(&["start"]).map(drop))?);
        if run == runs {
            objects::measure(&project, &mut figures)?;
        }
        project.verb(&["stop", "--power-off"])?;
        // The machine has one VM at a time.
        for other in against {
            figures.add(&format!("{}, to Ready", other.name), Unit::Seconds, other.measure()?);
        }
    }
    for _ in 0..STATUS_RUNS {
        let bare = timed(|| project.version(false))?;
        figures.add("the launcher's own cost", Unit::Milliseconds, (timed(|| project.version(true))? - bare) * 1000.0);
    }
    println!("Rebuilding the image after a change of a guest file");
    for run in 0..runs {
        let seconds = project.rebuild_with_changed_guest(run).context("the rebuild failed")?;
        figures.add("rebuild after a guest file", Unit::Seconds, seconds);
    }
    figures.add("guest image on disk", Unit::Mebibytes, project::allocated(&image)? as f64 / (1024.0 * 1024.0));
    println!("\n{}", figures.table("cold boot to Ready"));
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begin = Instant::now();
    work()?;
    Ok(begin.elapsed().as_secs_f64())
}
