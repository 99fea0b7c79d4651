//! `kubectl`: the host's kubectl with the project's kubeconfig; the guest's where the host has none, or one whose
//! version is too far from the cluster's.

mod arguments;
mod host_version;

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use model::{Error, ErrorClass, Result};
use qemu::agent::GuestScript;

use crate::context::Context;
use crate::instance::awake;
use crate::instance::files::{SSH_ALIAS, follow_directory};
use crate::instance::observe::{Observed, Running, not_running, observe, unexpected_end};
use crate::instance::ssh::guest_line;
use crate::project::web_files;

pub use crate::instance::ssh::Replacement;
use arguments::HostFiles;

/// How far kubectl's minor version may be from the API server's:
/// <https://kubernetes.io/releases/version-skew-policy/#kubectl>.
const SUPPORTED_SKEW: u32 = 1;

/// The kubectl to execute with `arguments`, on the host or in the guest.
///
/// # Errors
/// A State error when there is no cluster; a Config error for what only a kubectl on the host can do, where the host has
/// none.
pub fn run(context: &Context<'_>, arguments: &[OsString]) -> Result<Replacement> {
    let kubeconfig = context.kubeconfig();
    if !kubeconfig.exists() {
        return Err(Error::new(ErrorClass::State, "there is no cluster to talk to yet")
            .because(format!("{} does not exist", kubeconfig.display()))
            .next("k3s-vm start"));
    }
    if context.is_default() {
        web_files::check_kubeconfig(&context.project.web(), &context.name)?;
    }
    let program = host::tools::find("kubectl");
    let running = match observe(context)? {
        Observed::Running(running) => {
            awake::ensure_supervised(context)?;
            running
        }
        _ => return without_a_vm(context, program.as_deref(), &kubeconfig, arguments),
    };
    let debug = |text: String| context.events.debug(text);
    let Some(program) = program else {
        debug("there is no kubectl on this host: using the VM's".to_owned());
        return in_guest(context, &running, arguments);
    };
    let server = minor(running.state_file.version());
    let client = host_version::of(&program, &context.cache, context.events);
    let shown = client.as_deref().unwrap_or("of an unknown version");
    match (client.as_deref().and_then(minor), server) {
        (Some(client), Some(server)) if client.abs_diff(server) > SUPPORTED_SKEW => {}
        _ => {
            debug(format!("using {} {shown}, the cluster runs {}", program.display(), running.state_file.version()));
            return Ok(on_host(&program, &kubeconfig, arguments));
        }
    }
    let too_far = format!(
        "{} {shown} is too far from the cluster's {} (one minor version is supported)",
        program.display(),
        running.state_file.version()
    );
    if let Some(reason) = arguments::needs_host(arguments) {
        context.events.note(format!("{too_far}; it is used nevertheless, since {reason}"));
        return Ok(on_host(&program, &kubeconfig, arguments));
    }
    context.events.note(format!("{too_far}: using the VM's, which is slower under emulation"));
    in_guest(context, &running, arguments)
}

/// kubectl can do some things without a cluster, so the host's is executed, after a warning that the cluster does not run.
fn without_a_vm(
    context: &Context<'_>,
    program: Option<&Path>,
    kubeconfig: &Path,
    arguments: &[OsString],
) -> Result<Replacement> {
    let Some(program) = program else {
        return Err(not_running(context).because("this host has no kubectl, so the VM's would be used"));
    };
    let end = unexpected_end(context)?.map_or_else(String::new, |end| format!(": {end}"));
    context.events.warning(format!("{} is not running{end}; `{}` starts it", context.name, context.command("start")));
    Ok(on_host(program, kubeconfig, arguments))
}

fn on_host(program: &Path, kubeconfig: &Path, arguments: &[OsString]) -> Replacement {
    Replacement {
        program: program.into(),
        arguments: arguments.to_vec(),
        environment: vec![("KUBECONFIG".into(), kubeconfig.into())],
        input: None,
    }
}

/// The guest's kubectl, through ssh. A file that the arguments name becomes its standard input.
fn in_guest(context: &Context<'_>, running: &Running, arguments: &[OsString]) -> Result<Replacement> {
    let version = running.state_file.version();
    let install = format!("install a kubectl of about {version} on this host, which sees its files and ports");
    let (arguments, input): (Vec<OsString>, Option<PathBuf>) = match arguments::host_files(arguments) {
        HostFiles::None => (arguments.to_vec(), None),
        HostFiles::AsInput { arguments, file } => (arguments, Some(file)),
        HostFiles::OutOfReach(reason) => {
            return Err(Error::new(ErrorClass::Config, "the VM's kubectl cannot do this")
                .because("this host has no kubectl, so the VM's is used")
                .because(reason)
                .next("k3s-vm kubectl apply -f - < FILE    # one file, or one stream, reaches it")
                .next(install));
        }
    };
    follow_directory(&context.paths(), &running.state_file.ports())?;
    let image = guest_image::open(&running.state_file.image_directory, &context.cache)?;
    let mut ssh: Vec<OsString> = vec!["-F".into(), context.paths().ssh_config().into()];
    // Only for people: a terminal in the guest turns line ends into CRLF and mixes stderr into stdout.
    if input.is_none() && std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        ssh.push("-t".into());
    }
    ssh.extend([SSH_ALIAS.into(), "--".into(), line(&image.manifest.kubeconfig, &arguments)?]);
    Ok(Replacement { program: "ssh".into(), arguments: ssh, environment: Vec::new(), input })
}

/// Runs `kubectl`. The first argument is its kubeconfig, the others are its own.
const SCRIPT: GuestScript =
    GuestScript::new("PATH=$PATH:/usr/local/bin KUBECONFIG=$1; export PATH KUBECONFIG; shift; exec kubectl \"$@\"");

/// The command line for ssh.
fn line(kubeconfig: &str, arguments: &[OsString]) -> Result<OsString> {
    let words: Vec<&OsStr> =
        std::iter::once(OsStr::new(kubeconfig)).chain(arguments.iter().map(OsString::as_os_str)).collect();
    guest_line(SCRIPT, &words)
}

/// The minor version in "kubernetes v1.37.2", "v1.32.4-dispatcher" or "k3s v1.37.2+k3s1".
fn minor(text: &str) -> Option<u32> {
    host::tools::parse_version(text)?.get(1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_reach_the_guests_kubectl_untouched() {
        let arguments = ["get", "pods", "-o", "jsonpath={.items[*].metadata.name}", "-l", "a=b c"].map(OsString::from);
        insta::assert_snapshot!(line("/etc/kubernetes/admin.conf", &arguments).unwrap().display(), @r#"exec /bin/sh -c 'PATH=$PATH:/usr/local/bin KUBECONFIG=$1; export PATH KUBECONFIG; shift; exec kubectl "$@"' sh /etc/kubernetes/admin.conf get pods -o 'jsonpath={.items[*].metadata.name}' -l 'a=b c'"#);
    }

    #[test]
    fn minor_versions() {
        for (text, expected) in [
            ("kubernetes v1.37.2", Some(37)),
            ("v1.32.4-dispatcher", Some(32)),
            ("k3s v1.34.1+k3s1", Some(34)),
            ("v1.9", Some(9)),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(minor(text), expected, "{text}");
        }
    }
}
