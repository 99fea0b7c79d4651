//! `kubectl`: the host's kubectl with the project's kubeconfig, or the guest's where the host has none.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;

use model::{Fault, FaultClass, Result};

use crate::context::Context;
use crate::instance_files::SSH_ALIAS;
use crate::observe::{Observed, observe};
use crate::ssh::Replacement;

/// The kubectl that runs with `arguments`; standard input, output and exit code are its own either way.
///
/// # Errors
/// A State fault when there is no cluster to talk to.
pub fn run(context: &Context<'_>, arguments: &[OsString]) -> Result<Replacement> {
    let kubeconfig = context.project.web().kubeconfig();
    if !kubeconfig.exists() {
        return Err(Fault::new(FaultClass::State, "there is no cluster to talk to yet")
            .because(format!("{} does not exist", kubeconfig.display()))
            .next("k3s-vm start"));
    }
    if let Some(program) = host::tools::find("kubectl") {
        return Ok(Replacement {
            program: program.into(),
            arguments: arguments.to_vec(),
            environment: vec![("KUBECONFIG".into(), kubeconfig.into())],
        });
    }
    context.events.debug("there is no kubectl on this host: using the guest's".to_owned());
    in_guest(context, arguments)
}

/// The guest's kubectl, through ssh. Files that the arguments name are the guest's; `-f -` reads from here.
fn in_guest(context: &Context<'_>, arguments: &[OsString]) -> Result<Replacement> {
    let Observed::Running(running) = observe(context)? else {
        return Err(Fault::new(FaultClass::State, format!("{} is not running", context.name))
            .because("this host has no kubectl, so the guest's would be used")
            .next("k3s-vm start"));
    };
    let image = image::open(&running.record.image_folder, &context.cache)?;
    let mut ssh: Vec<OsString> = vec!["-F".into(), context.paths().ssh_config().into()];
    if std::io::stdin().is_terminal() {
        ssh.push("-t".into());
    }
    ssh.extend([SSH_ALIAS.into(), "--".into(), script(&image.manifest.kubeconfig, arguments).into()]);
    Ok(Replacement { program: "ssh".into(), arguments: ssh, environment: Vec::new() })
}

/// The line for the guest's shell.
fn script(kubeconfig: &str, arguments: &[OsString]) -> String {
    let words: Vec<String> = arguments.iter().map(|argument| host::command::quote(argument)).collect();
    let kubeconfig = host::command::quote(OsStr::new(kubeconfig));
    format!("PATH=$PATH:/usr/local/bin KUBECONFIG={kubeconfig} exec kubectl {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_guests_kubectl_untouched() {
        let arguments = ["get", "pods", "-o", "jsonpath={.items[*].metadata.name}", "-l", "a=b c"].map(OsString::from);
        insta::assert_snapshot!(script("/etc/kubernetes/admin.conf", &arguments), @"PATH=$PATH:/usr/local/bin KUBECONFIG=/etc/kubernetes/admin.conf exec kubectl get pods -o 'jsonpath={.items[*].metadata.name}' -l 'a=b c'");
    }
}
