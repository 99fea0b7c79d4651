//! `kubectl`: the host's kubectl with the project's kubeconfig.

use std::ffi::OsString;

use model::{Fault, FaultClass, Result};

use crate::project::Project;
use crate::ssh::Replacement;

/// The kubectl that runs with `arguments`.
///
/// # Errors
/// A State fault when there is no kubeconfig yet, a Host fault when there is no kubectl.
pub fn run(project: &Project, arguments: &[OsString]) -> Result<Replacement> {
    let kubeconfig = project.web().kubeconfig();
    if !kubeconfig.exists() {
        return Err(Fault::new(FaultClass::State, "there is no cluster to talk to yet")
            .because(format!("{} does not exist", kubeconfig.display()))
            .next("k3s-vm start"));
    }
    let program = host::tools::find("kubectl").ok_or_else(|| {
        Fault::new(FaultClass::Host, "kubectl is not installed")
            .next("install kubectl: https://kubernetes.io/docs/tasks/tools/")
            .next("k3s-vm ssh -- kubectl get nodes    # uses the one in the guest")
    })?;
    Ok(Replacement {
        program: program.into(),
        arguments: arguments.to_vec(),
        environment: vec![("KUBECONFIG".into(), kubeconfig.into())],
    })
}
