//! Measures an apply of fifty unchanged objects, by k3s-vm and by kubectl in turn, on the same cluster.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::figures::{Figures, Unit};
use super::project::BenchProject;

/// How many objects.
const OBJECTS: usize = 50;
/// How often each tool applies them.
const RUNS: usize = 10;

/// Measures both. Afterwards the project has only these objects, and no container images.
pub(crate) fn measure(project: &BenchProject, figures: &mut Figures) -> Result<()> {
    let Some(kubectl) = kubectl() else {
        println!("kubectl is not on this host: its `apply --server-side` is not measured");
        return Ok(());
    };
    let state = project.root().join(".k3s-vm");
    let manifest = state.join("fifty.yaml");
    fs::write(&manifest, manifest_text())?;
    let configuration = state.join("config.toml");
    let before = fs::read_to_string(&configuration)?;
    fs::write(&configuration, before.split("[[images]]").next().unwrap_or_default().to_owned() + &ports_of(&before))?;
    let ours = ["apply", "--no-wait", "--set", "manifests=.k3s-vm/fifty.yaml"];
    project.verb(&ours)?;
    let kubeconfig = project.root().join("web/.kube/config");
    theirs(&kubectl, &kubeconfig, &manifest)?;
    for _ in 0..RUNS {
        let begin = Instant::now();
        project.verb(&ours)?;
        figures.add("apply of 50 objects without a change", Unit::Seconds, begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        theirs(&kubectl, &kubeconfig, &manifest)?;
        figures.add("kubectl apply --server-side of the same", Unit::Seconds, begin.elapsed().as_secs_f64());
    }
    fs::write(&configuration, before)?;
    Ok(())
}

/// The `[ports]` at the end of the project's configuration.
fn ports_of(configuration: &str) -> String {
    configuration.find("[ports]").map(|begin| configuration[begin..].to_owned()).unwrap_or_default()
}

fn kubectl() -> Option<std::path::PathBuf> {
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories).map(|directory| directory.join("kubectl")).find(|program| program.is_file())
}

fn theirs(kubectl: &Path, kubeconfig: &Path, manifest: &Path) -> Result<()> {
    let status = Command::new(kubectl)
        .args(["apply", "--server-side", "-f"])
        .arg(manifest)
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", kubectl.display()))?;
    ensure!(status.success(), "kubectl apply ended with {status}");
    Ok(())
}

/// Objects of the usual kinds, without pods, which would take most of the time.
fn manifest_text() -> String {
    let mut text = String::new();
    for number in 0..OBJECTS {
        let object = match number % 5 {
            0 => format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: fifty-{number}, namespace: default}}\n\
                 spec: {{selector: {{app: fifty}}, ports: [{{port: 80}}]}}\n"
            ),
            1 => format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: fifty-{number}, namespace: default}}\n\
                 spec:\n  replicas: 0\n  selector: {{matchLabels: {{app: fifty-{number}}}}}\n  template:\n    \
                 metadata: {{labels: {{app: fifty-{number}}}}}\n    spec: {{containers: [{{name: web, image: web}}]}}\n"
            ),
            _ => format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: fifty-{number}, namespace: default}}\n\
                 data: {{key: value}}\n"
            ),
        };
        let _ = write!(text, "---\n{object}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_fifty_objects() {
        assert_eq!(manifest_text().matches("kind: ").count(), OBJECTS);
    }
}
