//! The project that is measured: a copy of the example on ports of its own, deleted afterwards.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::events::Steps;

/// The web application's port in the example's files.
const EXAMPLE_WEB_PORT: &str = "30080";

/// A copy of the example, of the program and of the guest's sources, so that work on the repository does not disturb a
/// run.
pub(crate) struct BenchProject {
    launcher: PathBuf,
    directory: tempfile::TempDir,
    web_port: u16,
    api_port: u16,
}

impl BenchProject {
    /// Compiles the program, copies what is needed and gives the project free ports.
    pub(crate) fn new(repository: &Path) -> Result<Self> {
        let launcher = repository.join("bin/k3s-vm");
        let compiled = Command::new(&launcher).arg("--version").stdout(Stdio::null()).status();
        ensure!(compiled.context("cannot run bin/k3s-vm")?.success(), "bin/k3s-vm does not run");
        let directory = tempfile::Builder::new().prefix("k3s-vm-bench-").tempdir()?;
        let web_port = (30000..32768).rev().find(|port| is_free(*port)).context("no free port for the application")?;
        let project = BenchProject { launcher, directory, web_port, api_port: free_port()? };
        fs::create_dir(project.home())?;
        copy(&repository.join("guest"), &project.home().join("guest"))?;
        copy(&repository.join("target/launcher/k3s-vm"), &project.program())?;
        let root = project.root();
        fs::create_dir_all(root.join(".k3s-vm"))?;
        for name in [".env", "web", ".k3s-vm/config.toml", ".k3s-vm/manifests"] {
            copy(&repository.join(name), &root.join(name))?;
        }
        for name in [".env", ".k3s-vm/manifests/base.json"] {
            let text = fs::read_to_string(root.join(name))?;
            ensure!(text.contains(EXAMPLE_WEB_PORT), "{name} does not have the port {EXAMPLE_WEB_PORT}");
            fs::write(root.join(name), text.replace(EXAMPLE_WEB_PORT, &web_port.to_string()))?;
        }
        let config = fs::read_to_string(root.join(".k3s-vm/config.toml"))?;
        let ports = format!("\n[ports]\napi = {}\nssh = {}\n", project.api_port, free_port()?);
        fs::write(root.join(".k3s-vm/config.toml"), config + &ports)?;
        Ok(project)
    }

    /// The project's directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// The port of the application.
    pub(crate) fn web_port(&self) -> u16 {
        self.web_port
    }

    /// The port of the Kubernetes API.
    pub(crate) fn api_port(&self) -> u16 {
        self.api_port
    }

    /// The directory that takes the place of the checkout (`K3S_VM_HOME`).
    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The copy of the program.
    pub(crate) fn program(&self) -> PathBuf {
        self.home().join("k3s-vm")
    }

    /// Runs a verb, which must succeed; its steps.
    pub(crate) fn verb(&self, arguments: &[&str]) -> Result<Steps> {
        let output = self.run(&self.program(), arguments)?;
        Ok(Steps::parse(&String::from_utf8_lossy(&output.stderr)))
    }

    /// Runs a verb with `-o json`, which must succeed; its report.
    pub(crate) fn report(&self, arguments: &[&str]) -> Result<Value> {
        let arguments = [arguments, &["-o", "json"]].concat();
        let output = self.run(&self.program(), &arguments)?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?} is not JSON"))
    }

    /// Destroys the instance and the templates, so that the next start is a cold boot.
    pub(crate) fn make_cold(&self) -> Result<()> {
        self.verb(&["delete"])?;
        match fs::remove_dir_all(self.root().join(".k3s-vm/templates")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context("cannot remove templates"),
            _ => Ok(()),
        }
    }

    /// Runs `--version`, through the launcher or directly.
    pub(crate) fn version(&self, through_launcher: bool) -> Result<()> {
        let program = if through_launcher { self.launcher.clone() } else { self.program() };
        self.run(&program, &["--version"]).map(drop)
    }

    /// The directory of the running guest image.
    pub(crate) fn image_directory(&self) -> Result<PathBuf> {
        let status = self.report(&["status"])?;
        let image = status["image"].as_str().context("status names no image")?;
        let directory = images()?.join(image);
        ensure!(directory.is_dir(), "{} is not there", directory.display());
        Ok(directory)
    }

    /// Seconds to rebuild the guest image after one file of the guest has changed. The image is removed afterwards.
    pub(crate) fn rebuild_with_changed_guest(&self, run: usize) -> Result<f64> {
        let changed = self.home().join("guest/debian/rootfs/etc/k3s-vm-bench");
        fs::write(changed, format!("{} {run}\n", std::process::id()))?;
        // An instance's disk keeps the old image in use.
        self.verb(&["stop", "--power-off"])?;
        let _ = fs::remove_dir_all(self.root().join(".k3s-vm/vm"));
        let steps = self.verb(&["start", "--no-wait"])?;
        let seconds = steps.between("Preparing the guest image", "Preparing the guest image")?;
        let image = self.image_directory()?;
        self.verb(&["stop", "--power-off"])?;
        fs::remove_dir_all(self.root().join(".k3s-vm/vm"))?;
        fs::remove_dir_all(image)?;
        Ok(seconds)
    }

    /// The command that runs `program` in the project, with events as JSON.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Before the verb: arguments after `--` are another program's.
        command.args(["--events", "json"]).current_dir(self.root()).env("K3S_VM_HOME", self.home());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Result<Output> {
        let output = self
            .command(program)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let last = stderr.lines().last().unwrap_or_default();
            bail!("k3s-vm {} ended with {}\n{last}", arguments.join(" "), output.status);
        }
        Ok(output)
    }
}

impl Drop for BenchProject {
    fn drop(&mut self) {
        if let Err(error) = self.verb(&["delete", "--all"]) {
            eprintln!("{error:#}");
        }
    }
}

/// The directory of this user's guest images.
pub(crate) fn images() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("k3s-vm/images"))
}

/// The size on the disk of a directory's files, in bytes.
pub(crate) fn allocated(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let metadata = entry?.metadata()?;
        // st_blocks counts 512 bytes, whatever the filesystem's block is (stat(2)).
        bytes += metadata.blocks() * 512;
    }
    Ok(bytes)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-R").arg(from).arg(to).status().context("cannot run cp")?;
    ensure!(copied.success(), "cannot copy {}", from.display());
    Ok(())
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A port that is free now. Another process could take it, which is good enough for a measurement.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
