//! A fork that is ready: where it answers, and its end.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::greeting::Greeting;
use crate::process::Process;

/// A cluster of one's own. Dropped, it is gone.
#[derive(Debug)]
pub struct Cluster {
    greeting: Greeting,
    process: Process,
}

impl Cluster {
    pub(crate) fn new(greeting: Greeting, process: Process) -> Self {
        Cluster { greeting, process }
    }

    /// Its name: what `k3s-vm --name NAME kubectl …` wants.
    pub fn name(&self) -> &str {
        self.greeting.known("K3S_VM_NAME")
    }

    /// The file that kubectl and others want as `KUBECONFIG`.
    pub fn kubeconfig_path(&self) -> &Path {
        Path::new(self.greeting.known("KUBECONFIG"))
    }

    /// Its text. It holds credentials.
    ///
    /// # Errors
    /// [`Error::Kubeconfig`] when it cannot be read.
    pub fn kubeconfig(&self) -> Result<String, Error> {
        let path = self.kubeconfig_path();
        std::fs::read_to_string(path).map_err(|error| Error::Kubeconfig { path: path.to_owned(), source: error.into() })
    }

    /// Where the application answers: `http://127.0.0.1:20001`.
    pub fn web_url(&self) -> &str {
        self.greeting.known("WEB_URL")
    }

    /// Where the API answers: `https://127.0.0.1:20000`.
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

    /// All that the program reports of its start, as `k3s-vm start --output json` has it.
    pub fn report(&self) -> &Value {
        &self.greeting.report
    }

    /// Ends it, and tells when that fails. Dropping it does the same and can only tell on stderr.
    ///
    /// # Errors
    /// [`Error::NotGone`]; [`Error::Ended`] when the program failed, or had ended before.
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
