//! The variables of the web application's `.env`, put into the containers of the Deployments.
//!
//! Pure: objects in, objects out. Init containers get nothing: they prepare the pod, they are not the application.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use model::config::InjectMode;

use crate::manifest::ManifestObject;

/// The name of the Secret that carries the variables, in each namespace that has a Deployment.
pub const SECRET_NAME: &str = "web-env";
/// The annotation of the pod template that changes when a value changes, so that the pods roll.
pub const HASH_ANNOTATION: &str = "k3s-vm.dev/env-sha256";

/// A variable that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedVariable {
    /// Its name as written.
    pub name: String,
    /// Why Kubernetes would refuse it.
    pub reason: String,
}

/// The outcome of [`inject`].
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// The objects to apply: the given ones, changed, and the Secrets before them.
    pub objects: Vec<ManifestObject>,
    /// What was left out, in the order of the file.
    pub refused: Vec<RefusedVariable>,
    /// The hash of the injected values, hexadecimal SHA-256; empty where nothing was injected.
    pub hash: String,
}

/// Injects `variables`, in which a later line of the same name wins. `KUBECONFIG` is left out (its file is not in the
/// container); `KUBECONFIG_PRIMARY` gets the value `kubeconfig_primary`, whatever the file says, or is left out where
/// that is `None`.
pub fn inject(
    objects: Vec<ManifestObject>,
    variables: &[(String, String)],
    mode: InjectMode,
    kubeconfig_primary: Option<&str>,
) -> Injection {
    unimplemented!()
}
