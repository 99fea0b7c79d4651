//! Measures forks: one, two at once, one from the warm pool, and the memory of a clone.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

use super::outside;
use super::resets::AWAKE;
use super::timing;
use crate::bench::figures::{Figures, Unit};
use crate::bench::project::BenchProject;

const FORK: [&str; 3] = ["run", "--", "true"];
/// How long after Ready the memory is measured.
const MEMORY_AFTER: Duration = Duration::from_secs(10);

/// `run -- true`, alone and two at once.
pub(super) fn runs(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    for _ in 0..runs {
        let timed = timing::verb(project, &FORK)?;
        figures.add("run -- true, to /readyz", Unit::Seconds, timed.steps.end_of(AWAKE)?);
        figures.add("run -- true, whole", Unit::Seconds, timed.seconds);
    }
    for _ in 0..runs {
        let (one, other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| timing::verb(project, &FORK));
            (timing::verb(project, &FORK), other.join())
        });
        let (one, other) = (one?, other.map_err(|_| anyhow!("a run panicked"))??);
        let awake = one.steps.end_of(AWAKE)?.max(other.steps.end_of(AWAKE)?);
        figures.add("two at once, until both are at /readyz", Unit::Seconds, awake);
        figures.add("two at once, until both have ended", Unit::Seconds, one.seconds.max(other.seconds));
    }
    Ok(())
}

/// `run -- true` with a fork from the warm pool; skipped if the program has no pool.
pub(super) fn pool(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    if !has_key(&project.report(&["config", "show"])?, "pool") {
        println!("  this program has no pool");
        return Ok(());
    }
    let configuration = project.root().join(".k3s-vm/config.toml");
    let before = fs::read_to_string(&configuration)?;
    fs::write(&configuration, format!("pool = 1\n{before}"))?;
    let measured = from_pool(project, runs, figures);
    fs::write(&configuration, before)?;
    for name in names(&project.report(&["list"])?, |_| true) {
        project.verb(&["delete", "--name", &name])?;
    }
    measured
}

fn from_pool(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    // The first run finds the pool empty and has it filled.
    project.verb(&FORK)?;
    for _ in 0..runs {
        outside::until("a fork in the pool", || {
            Ok(!names(&project.report(&["list"])?, |entry| entry["state"] == "paused").is_empty())
        })?;
        figures.add("run -- true, from the pool", Unit::Seconds, timing::verb(project, &FORK)?.seconds);
    }
    Ok(())
}

/// The memory of a new clone that it shares with no other process.
pub(super) fn memory(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    for _ in 0..runs {
        project.verb(&["clone", "memory"])?;
        let begin = Instant::now();
        std::thread::sleep(MEMORY_AFTER.saturating_sub(begin.elapsed()));
        let bytes = private_memory(&project.report(&["list"])?, "memory")?;
        figures.add("memory of a clone's own, 10 s after Ready", Unit::Mebibytes, bytes / f64::from(1 << 20));
        project.verb(&["delete", "--name", "memory"])?;
    }
    Ok(())
}

/// Bytes of an instance of `list` that it shares with no other process.
pub(super) fn private_memory(list: &Value, name: &str) -> Result<f64> {
    let mut entries = list["instances"].as_array().into_iter().flatten();
    let entry = entries.find(|entry| entry["name"] == name).with_context(|| format!("list does not have {name}"))?;
    entry["memory"].as_f64().with_context(|| format!("list has no memory of {name}"))
}

/// The names of the instances of `list` that are `wanted`, without the default one.
fn names(list: &Value, wanted: impl Fn(&Value) -> bool) -> Vec<String> {
    let entries = list["instances"].as_array().into_iter().flatten().filter(|entry| wanted(entry));
    let names = entries.filter_map(|entry| entry["name"].as_str()).filter(|name| !name.starts_with("k3s-vm"));
    names.map(str::to_owned).collect()
}

/// Whether `config show` has this key, at any depth.
fn has_key(shown: &Value, key: &str) -> bool {
    match shown {
        Value::Object(members) => members.iter().any(|(name, value)| name == key || has_key(value, key)),
        Value::Array(values) => values.iter().any(|value| has_key(value, key)),
        value => value == key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn instances_of_a_list() {
        let list = json!({"instances": [
            {"name": "k3s-vm", "state": "paused", "memory": 7}, {"name": "two", "state": "running", "memory": null},
            {"name": "run-1", "state": "paused", "memory": 4096},
        ]});
        assert_eq!(names(&list, |_| true), ["two", "run-1"]);
        assert_eq!(names(&list, |entry| entry["state"] == "paused"), ["run-1"]);
        assert_eq!(private_memory(&list, "run-1").unwrap(), 4096.0);
        assert!(private_memory(&list, "two").is_err() && private_memory(&list, "three").is_err());
    }

    #[test]
    fn keys_are_found_in_objects_and_in_lists() {
        assert!(has_key(&json!({"keys": [{"key": "pool", "value": 0}]}), "pool"));
        assert!(has_key(&json!({"pool": {"value": 0}}), "pool"));
        assert!(!has_key(&json!({"keys": [{"key": "spool"}]}), "pool"));
    }
}
