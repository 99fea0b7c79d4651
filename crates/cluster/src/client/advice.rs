//! The commands that messages propose for a cluster: those of the project's own instance, or those that name a
//! kubeconfig.
//!
//! Pure.

use std::path::Path;

/// How the user reaches the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Advice {
    /// `k3s-vm kubectl`, or kubectl with the flags that choose the cluster.
    pub(crate) kubectl: String,
    /// `k3s-vm apply`, with the same flags.
    pub(crate) apply: String,
    /// The kubeconfig and its context as messages name them; `None` for the project's own instance.
    pub(crate) kubeconfig: Option<String>,
}

impl Advice {
    /// For the project's own instance.
    pub(crate) fn own() -> Self {
        Advice { kubectl: "k3s-vm kubectl".to_owned(), apply: "k3s-vm apply".to_owned(), kubeconfig: None }
    }

    /// For the cluster of a kubeconfig's context.
    pub(crate) fn of_kubeconfig(file: &Path, context: &str) -> Self {
        let quote = |word: &std::ffi::OsStr| host::command::quote(word);
        let flags = format!("--kubeconfig {} --context {}", quote(file.as_os_str()), quote(context.as_ref()));
        Advice {
            kubectl: format!("kubectl {flags}"),
            apply: format!("k3s-vm apply {flags}"),
            kubeconfig: Some(format!("{} (context {context})", file.display())),
        }
    }
}
