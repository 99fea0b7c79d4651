//! `cargo xtask bench instant`: measures reset, forks, suspend, pause and snapshots in one run on one machine.
//!
//! Every figure is measured from outside the program. The bench fails when a verb fails, never because of a figure.

mod forks;
mod loadvm;
mod monitor;
mod options;
mod outside;
mod page_cache;
mod resets;
mod saved;
mod tally;
mod timing;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::figures::Figures;
use super::project::BenchProject;
pub(crate) use options::Options;
use resets::COLD_BOOT;

/// The most runs of what takes a minute, or a gigabyte of disk.
const FEW: usize = 3;

/// Measures, prints a table, and writes it as JSON if `options` ask for that.
///
/// # Errors
/// The parts that failed, after the table has been printed.
pub(crate) fn run(repository: &Path, options: &Options) -> Result<()> {
    let project = BenchProject::new(repository)?;
    let few = options.runs.min(FEW);
    let mut figures = Figures::default();
    println!("Making the guest image, if it is not in the cache");
    project.verb(&["start", "--no-wait"])?;
    let status = project.report(&["status"])?;
    println!("Cold boots");
    resets::cold_boots(&project, few, &mut figures)?;
    type Part = fn(&BenchProject, usize, &mut Figures) -> Result<()>;
    let parts: [(&str, usize, Part); 10] = [
        ("Resets", options.runs, resets::warm),
        ("Resets with a cold page cache", options.runs, resets::cold_cache),
        ("Forks", options.runs, forks::runs),
        ("Forks from the pool", options.runs, forks::pool),
        ("Suspending and resuming", options.runs, saved::suspend),
        ("Pausing and waking", options.runs, saved::pause),
        ("Saving a snapshot", options.runs, saved::save),
        ("Memory of a clone", few, forks::memory),
        ("QEMU's own snapshots", options.runs, loadvm::measure),
        ("Resets in a row", options.resets, resets::in_a_row),
    ];
    let mut failed = Vec::new();
    for (title, runs, part) in parts {
        println!("{title}");
        let Err(error) = part(&project, runs, &mut figures) else { continue };
        eprintln!("  failed: {error:#}");
        failed.push(title);
        // The other parts need a clean instance.
        if let Err(error) = project.verb(&["reset"]) {
            eprintln!("  reset failed, too, so the rest is not measured: {error:#}");
            break;
        }
    }
    println!("\n{}", figures.table(COLD_BOOT));
    let ratios = ratios(&figures);
    for (what, ratio) in &ratios {
        println!("{what}: {ratio:.4}");
    }
    if let Some(file) = &options.json {
        let report = json!({
            "processors": std::thread::available_parallelism()?.get(), "accelerator": status["accelerator"],
            "qemu": status["qemu"], "figures": figures.json(COLD_BOOT), "failed": failed,
            "ratios": ratios.iter().map(|(what, ratio)| json!({"of": what, "ratio": ratio})).collect::<Vec<_>>(),
        });
        fs::write(file, format!("{report:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The ratios of k3s-vm's times to that of QEMU's `loadvm`.
fn ratios(figures: &Figures) -> Vec<(String, f64)> {
    let theirs = figures.median(loadvm::LOADVM);
    let ours = [resets::RESET, resets::RESET_OUTSIDE, "start (resume) to /readyz"];
    let ratio = |name: &str| Some((format!("{name} / {}", loadvm::LOADVM), figures.median(name)? / theirs?));
    ours.into_iter().filter_map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::super::figures::Unit;
    use super::*;

    #[test]
    fn only_measured_figures_have_ratios() {
        let mut figures = Figures::default();
        figures.add(resets::RESET, Unit::Seconds, 1.0);
        assert_eq!(ratios(&figures), []);
        figures.add(loadvm::LOADVM, Unit::Seconds, 4.0);
        let name = "reset to /readyz / QEMU's own loadvm to /readyz, from outside".to_owned();
        assert_eq!(ratios(&figures), [(name, 0.25)]);
    }
}
