//! Measures cold boots and resets, and checks that many resets in a row leave nothing behind.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::outside::{self, Api};
use super::page_cache;
use super::tally::Tally;
use super::timing::{self, Timed};
use crate::bench::events;
use crate::bench::figures::{Figures, Unit};
use crate::bench::project::{self, BenchProject};

/// The row to which the others have their ratio.
pub(super) const COLD_BOOT: &str = "cold boot to Ready";
/// The row of the time until k3s-vm has proved that the API is its own and ready.
pub(super) const RESET: &str = "reset to /readyz";
/// The same as seen by another client.
pub(super) const RESET_OUTSIDE: &str = "reset to /readyz, from outside";
/// The step that ends when the API has proved to be the cluster's and ready.
pub(super) const AWAKE: &str = "Waking the cluster";
/// After this many resets the files that one reset leaves for the next are there, such as rotated logs.
const WARM_UP: usize = 5;

/// `start` of a project that has a guest image and nothing else.
pub(super) fn cold_boots(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    for _ in 0..runs {
        project.make_cold()?;
        let timed = timing::verb(project, &["start"])?;
        figures.add(COLD_BOOT, Unit::Seconds, timed.steps.end_of("Waiting for Kubernetes")?);
        figures.add("cold boot to the application", Unit::Seconds, timed.seconds);
    }
    Ok(())
}

/// `reset` with unchanged manifests: alone, then while another client asks the API all the time.
pub(super) fn warm(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    // The first reset records which RAM the next ones read ahead.
    project.verb(&["reset"])?;
    for _ in 0..runs {
        let begin = Instant::now();
        let timed = reset(project)?;
        outside::wait_for_web(project.web_port())?;
        figures.add(RESET, Unit::Seconds, timed.steps.end_of(AWAKE)?);
        figures.add("reset to the application", Unit::Seconds, begin.elapsed().as_secs_f64());
    }
    for _ in 0..runs {
        figures.add(RESET_OUTSIDE, Unit::Seconds, seen_from_outside(project)?);
    }
    Ok(())
}

/// The same with a page cache that has no files of the project and of its guest image.
pub(super) fn cold_cache(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    for run in 0..runs {
        // What a VM has mapped cannot be evicted.
        project.verb(&["delete"])?;
        let bytes = page_cache::evict(&[&project.root().join(".k3s-vm"), &project::images()?])?;
        if run == 0 {
            println!("  {} MiB of files below .k3s-vm and of images evicted by posix_fadvise", bytes >> 20);
        }
        let begin = Instant::now();
        let timed = reset(project)?;
        outside::wait_for_web(project.web_port())?;
        figures.add("reset to /readyz, cold page cache", Unit::Seconds, timed.steps.end_of(AWAKE)?);
        figures.add("reset to the application, cold page cache", Unit::Seconds, begin.elapsed().as_secs_f64());
    }
    Ok(())
}

/// Resets in a row; fails when one does not become Ready or when something grew.
pub(super) fn in_a_row(project: &BenchProject, count: usize, figures: &mut Figures) -> Result<()> {
    let directories = [project.root().join(".k3s-vm"), project::images()?];
    let mut before = None;
    for number in 1..=count {
        let timed = reset(project).with_context(|| format!("reset {number} of {count}"))?;
        figures.add("resets in a row, to /readyz", Unit::Seconds, timed.steps.end_of(AWAKE)?);
        if number == WARM_UP.min(count) {
            before = Some(Tally::take(&directories, &project.root())?);
        }
    }
    let Some(before) = before else { return Ok(()) };
    let growth = lasting_growth(&before, &directories, &project.root())?;
    ensure!(growth.is_empty(), "{count} resets left something behind\n{}", growth.join("\n"));
    Ok(())
}

/// What grew for good: a process that is about to end does not count.
fn lasting_growth(before: &Tally, directories: &[PathBuf], root: &Path) -> Result<Vec<String>> {
    let mut after = Tally::take(directories, root)?;
    let begin = Instant::now();
    while !before.growth(&after).is_empty() && begin.elapsed().as_secs() < 10 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        after = Tally::take(directories, root)?;
    }
    println!("  before: {before}\n  after:  {after}");
    Ok(before.growth(&after))
}

/// A reset that restores a template; any other way to reset fails, since it would be another figure.
fn reset(project: &BenchProject) -> Result<Timed> {
    let timed = timing::verb(project, &["reset"])?;
    timed.steps.end_of(AWAKE).context("reset did not restore a template with its RAM")?;
    Ok(timed)
}

/// Seconds from the start of `reset` until the API answers another client, which asks from when the old VM is gone.
fn seen_from_outside(project: &BenchProject) -> Result<f64> {
    // The client certificate is part of the template, so it stays valid.
    let api = Api::of(project)?;
    let (sender, gone) = mpsc::channel::<Instant>();
    std::thread::scope(|scope| {
        let asker = scope.spawn(move || {
            let begin = gone.recv().context("the old instance was not destroyed")?;
            api.wait()?;
            anyhow::Ok(begin.elapsed().as_secs_f64())
        });
        let timed = timing::verb_with_lines(project, &["reset"], |begin, line| {
            if events::is_end_of("Destroying the old instance", line) {
                // The asker waits for this.
                let _ = sender.send(begin);
            }
        });
        drop(sender);
        let seconds = asker.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the asker panicked")));
        timed.and(seconds)
    })
}
