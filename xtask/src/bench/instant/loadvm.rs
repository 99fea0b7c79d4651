//! Measures QEMU's own snapshots of the same guest: `savevm` into the disk, and a new QEMU with `-loadvm`.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::monitor::Monitor;
use super::outside::{self, Api};
use crate::bench::figures::{Figures, Unit};
use crate::bench::project::BenchProject;

/// The row of the time from the start of the process to the first answer.
pub(super) const LOADVM: &str = "QEMU's own loadvm to /readyz, from outside";
/// The instance that is saved, and the snapshot in its disk.
const NAME: &str = "loadvm";

/// Saves an instance once and loads it `runs` times.
pub(super) fn measure(project: &BenchProject, runs: usize, figures: &mut Figures) -> Result<()> {
    let report = project.report(&["clone", NAME])?;
    let measured = measure_instance(project, &report, runs, figures);
    project.verb(&["delete", "--name", NAME])?;
    measured
}

fn measure_instance(project: &BenchProject, report: &Value, runs: usize, figures: &mut Figures) -> Result<()> {
    let text = |key: &str| report[key].as_str().with_context(|| format!("clone reports no {key}"));
    let port: u16 =
        text("api")?.rsplit(':').next().unwrap_or_default().parse().context("the API's address has no port")?;
    let api = Api::new(&PathBuf::from(text("kubeconfig")?), port)?;
    let process = PathBuf::from(format!("/proc/{}", report["pid"].as_u64().context("clone reports no pid")?));
    let directory = project.root().join(".k3s-vm/instances").join(NAME).join("vm");
    let mut words = command_line(&fs::read_to_string(process.join("cmdline"))?, port)?;
    words.extend(["-loadvm".to_owned(), NAME.to_owned()]);
    api.wait()?;
    let mut monitor = Monitor::connect(&directory.join("qmp.sock"))?;
    reset_capabilities(&mut monitor)?;
    let begin = Instant::now();
    monitor.human(&format!("savevm {NAME}"))?;
    figures.add("QEMU's own savevm, the guest is paused", Unit::Seconds, begin.elapsed().as_secs_f64());
    monitor.execute("quit", &json!({}))?;
    // A zombie counts as ended: its files are closed.
    outside::until("the end of QEMU", || Ok(fs::read_link(process.join("cwd")).is_err()))?;
    for _ in 0..runs {
        let begin = Instant::now();
        let mut machine = Machine::start(&words, &directory)?;
        outside::until("the API after loadvm", || {
            ensure!(machine.0.try_wait()?.is_none(), "QEMU ended at loadvm, see above");
            api.is_ready()
        })?;
        figures.add(LOADVM, Unit::Seconds, begin.elapsed().as_secs_f64());
        machine.quit(&directory)?;
    }
    Ok(())
}

/// Switches off the migration capabilities that k3s-vm has set: a QEMU with default capabilities refuses a state that
/// was saved with them.
fn reset_capabilities(monitor: &mut Monitor<UnixStream>) -> Result<()> {
    let mut capabilities = monitor.execute("query-migrate-capabilities", &json!({}))?;
    let mut on: Vec<Value> = capabilities.as_array_mut().context("QEMU reports no capabilities")?.drain(..).collect();
    on.retain(|capability| capability["state"] == true);
    on.iter_mut().for_each(|capability| capability["state"] = json!(false));
    monitor.execute("migrate-set-capabilities", &json!({"capabilities": on})).map(drop)
}

/// A QEMU that is killed when the value is dropped.
struct Machine(Child);

impl Machine {
    fn start(words: &[String], directory: &Path) -> Result<Self> {
        let (program, arguments) = words.split_first().context("QEMU has no command line")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Machine(command.spawn().with_context(|| format!("cannot run {program}"))?))
    }

    /// Ends it by QMP, so that its disk is consistent.
    fn quit(&mut self, directory: &Path) -> Result<()> {
        Monitor::connect(&directory.join("qmp.sock"))?.execute("quit", &json!({}))?;
        let status = self.0.wait()?;
        ensure!(status.success(), "QEMU ended with {status}");
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The arguments of `/proc/PID/cmdline`, changed so that QEMU loads a snapshot of its own: without `-incoming` and `-S`,
/// with anonymous RAM, and with the API's port, which k3s-vm forwards only after the restore.
fn command_line(text: &str, port: u16) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_end_matches('\0').split('\0');
    while let Some(word) = rest.next() {
        match word {
            "-S" => {}
            "-incoming" => {
                rest.next();
            }
            "-object" => {
                let object = rest.next().context("-object has no value")?;
                words.extend([word.to_owned(), anonymous(object)]);
            }
            "-netdev" => {
                let mut network: Value = serde_json::from_str(rest.next().context("-netdev has no value")?)?;
                network["hostfwd"] = json!([{"str": format!("tcp:127.0.0.1:{port}-:6443")}]);
                words.extend([word.to_owned(), network.to_string()]);
            }
            word => words.push(word.to_owned()),
        }
    }
    ensure!(!words.iter().any(|word| word.contains("memory-backend-file")), "QEMU still has RAM in a file");
    Ok(words)
}

/// RAM in a file becomes anonymous RAM of the same id and size; other objects stay as they are.
fn anonymous(object: &str) -> String {
    match serde_json::from_str::<Value>(object) {
        Ok(object) if object["qom-type"] == "memory-backend-file" => {
            json!({"qom-type": "memory-backend-ram", "id": object["id"], "size": object["size"]}).to_string()
        }
        _ => object.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_machine_without_a_saved_state_of_k3s_vm() {
        let words = command_line(
            "qemu\0-object\0{\"qom-type\":\"memory-backend-file\",\"id\":\"ram0\",\"size\":2,\"mem-path\":\"/ram\",\"share\":false}\0\
             -append\0a b\0-netdev\0{\"type\":\"user\"}\0-object\0{\"qom-type\":\"rng-builtin\"}\0-qmp\0unix:qmp.sock\0\
             -incoming\0defer\0-S\0",
            7443,
        )
        .unwrap();
        insta::assert_snapshot!(words.join("\n"), @r#"
        qemu
        -object
        {"qom-type":"memory-backend-ram","id":"ram0","size":2}
        -append
        a b
        -netdev
        {"type":"user","hostfwd":[{"str":"tcp:127.0.0.1:7443-:6443"}]}
        -object
        {"qom-type":"rng-builtin"}
        -qmp
        unix:qmp.sock
        "#);
    }
}
