//! A fork that is ready: its addresses and its end.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::greeting::Greeting;
use crate::process::Process;

/// A fork. When it is dropped, the cluster is destroyed.
#[derive(Debug)]
pub struct Cluster {
    greeting: Greeting,
    process: Process,
}

impl Cluster {
    pub(crate) fn new(greeting: Greeting, process: Process) -> Self {
        Cluster { greeting, process }
    }

    /// The name of the instance, for `k3s-vm --name NAME kubectl …`.
    pub fn name(&self) -> &str {
        self.greeting.known("K3S_VM_NAME")
    }

    /// The path of the kubeconfig, for `KUBECONFIG`.
    pub fn kubeconfig_path(&self) -> &Path {
        Path::new(self.greeting.known("KUBECONFIG"))
    }

    /// The text of the kubeconfig. It has credentials.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] when it cannot be read.
    pub fn kubeconfig(&self) -> Result<String, Error> {
        let path = self.kubeconfig_path();
        std::fs::read_to_string(path).map_err(|error| Error::Kubeconfig { path: path.to_owned(), source: error.into() })
    }

    /// The URL of the application: `http://127.0.0.1:20001`.
    pub fn web_url(&self) -> &str {
        self.greeting.known("WEB_URL")
    }

    /// The URL of the API: `https://127.0.0.1:20000`.
    pub fn api_url(&self) -> &str {
        self.greeting.known("API_URL")
    }

    /// The host's port of the application.
    pub fn web_port(&self) -> u16 {
        self.greeting.ports()[0]
    }

    /// The host's port of the API.
    pub fn api_port(&self) -> u16 {
        self.greeting.ports()[1]
    }

    /// The host's port of the guest's sshd.
    pub fn ssh_port(&self) -> u16 {
        self.greeting.ports()[2]
    }

    /// The variables for programs that use the cluster (`KUBECONFIG`, `WEB_URL` …), for
    /// [`Command::envs`](std::process::Command::envs).
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.greeting.environment
    }

    /// The report of the start, as in `k3s-vm start --output json`.
    pub fn report(&self) -> &Value {
        &self.greeting.report
    }

    /// Destroys the cluster and reports a failure. A drop does the same but can report a failure only on stderr.
    ///
    /// # Errors
    /// [`Error::NotGone`]; [`Error::Ended`] when the program failed or had ended before.
    pub fn close(mut self) -> Result<(), Error> {
        self.process.close()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.process.close() {
            let _ = writeln!(std::io::stderr(), "k3s-vm-testing: {error}");
        }
    }
}
