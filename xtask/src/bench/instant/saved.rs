//! Measures a guest that is suspended and resumed, paused and woken, or saved while it runs.

use std::time::Instant;

use anyhow::{Context, Result};

use super::forks;
use super::outside::Api;
use super::resets::AWAKE;
use super::timing;
use crate::bench::figures::{Figures, Unit};
use crate::bench::project::BenchProject;

/// Fills the guest's memory before it is saved; not with zeros, which need no space in a saved state.
const TOUCH: &str = "yes k3s-vm | head -c 600M > /dev/shm/k3s-vm-bench";

/// `stop` and `start`.
pub(super) fn suspend(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    for _ in 0..runs {
        figures.add("stop (suspend)", Unit::Seconds, timing::verb(project, &["stop"])?.seconds);
        let timed = timing::verb(project, &["start"])?;
        let awake = timed.steps.end_of(AWAKE).context("the suspended VM did not resume")?;
        figures.add("start (resume) to /readyz", Unit::Seconds, awake);
        figures.add("start (resume), whole", Unit::Seconds, timed.seconds);
    }
    Ok(())
}

/// `pause`, then `resume` or a connection.
pub(super) fn pause(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    let api = Api::of(project)?;
    for _ in 0..runs {
        figures.add("pause", Unit::Milliseconds, timing::verb(project, &["pause"])?.seconds * 1000.0);
        let resumed = timing::verb(project, &["resume"])?.seconds;
        figures.add("resume to the first answer", Unit::Milliseconds, resumed * 1000.0);
        project.verb(&["pause"])?;
        let begin = Instant::now();
        api.wait().context("a connection did not wake the VM")?;
        let woken = begin.elapsed().as_secs_f64();
        figures.add("a connection to a paused VM to its answer", Unit::Milliseconds, woken * 1000.0);
    }
    Ok(())
}

/// `snapshot save` of a guest with much of its memory in use.
pub(super) fn save(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    project.verb(&["ssh", "--", TOUCH]).context("cannot write into the guest's memory")?;
    let instance = project.report(&["status"])?["instance"].as_str().context("status names no instance")?.to_owned();
    let memory = forks::private_memory(&project.report(&["list"])?, &instance)? / f64::from(1 << 20);
    println!("  600 MiB of text written to the guest's /dev/shm; QEMU has {memory:.0} MiB of its own");
    figures.add("memory of the VM that is saved", Unit::Mebibytes, memory);
    for _ in 0..runs {
        let begin = Instant::now();
        let report = project.report(&["snapshot", "save", "bench", "--replace"])?;
        figures.add("snapshot save, whole", Unit::Seconds, begin.elapsed().as_secs_f64());
        let still = report["paused-ms"].as_f64().context("snapshot save does not report paused-ms")?;
        figures.add("snapshot save, the guest is paused", Unit::Milliseconds, still);
        let size = report["size"].as_f64().context("snapshot save reports no size")?;
        figures.add("the snapshot on the disk", Unit::Mebibytes, size / f64::from(1 << 20));
    }
    project.verb(&["snapshot", "rm", "bench"])?;
    // The next measurements need a guest with its memory free.
    project.verb(&["reset"]).map(drop)
}
