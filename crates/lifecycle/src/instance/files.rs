//! The keys and data files of an instance that QEMU and ssh read.

use std::path::Path;
use std::time::Duration;

use host::command::Command;
use host::files::{self, Mode};
use model::config::Ports;
use model::instance::InstanceName;
use model::paths::InstancePaths;
use model::{Error, ErrorClass, Result};
use serde_json::json;

/// The constant size in bytes of the live fw_cfg files. The guest caches the size of a file at boot, so a restored guest
/// would misread a longer or shorter one.
const FW_CFG_SIZE: usize = 4096;

/// The host alias of the guest in ssh's configuration, whatever port it has.
pub(crate) const SSH_ALIAS: &str = "k3s-vm";

/// Makes the keys that do not exist yet and writes the files that depend on them.
///
/// # Errors
/// Errors of `ssh-keygen` and of writing.
pub(crate) fn prepare(paths: &InstancePaths, name: &InstanceName, uuid: &str, ports: &Ports) -> Result<()> {
    files::create_private_dir(&paths.vm_dir())?;
    ensure_key(&paths.ssh_key())?;
    ensure_key(&paths.ssh_host_key())?;
    let authorized = required(&paths.ssh_public_key())?;
    files::write_atomic(&paths.authorized_keys(), &padded(&authorized, b'\n')?, Mode::Exactly(0o600))?;
    let data = json!({
        "schema": 1,
        "name": name,
        "uuid": uuid,
        "bind": ports.bind,
        "ports": { "api": ports.api, "ssh": ports.ssh, "web": ports.web },
    });
    files::write_atomic(&paths.instance_data(), &padded(&data.to_string(), b' ')?, Mode::Exactly(0o600))?;
    let host_key = required(&paths.ssh_host_public_key())?;
    files::write_atomic(&paths.known_hosts(), known_hosts(&host_key).as_bytes(), Mode::Exactly(0o600))?;
    follow_directory(paths, ports)
}

/// Rewrites ssh's configuration, which names the instance's directory: it may have been moved while the VM ran.
///
/// # Errors
/// Errors of reading and writing.
pub(crate) fn follow_directory(paths: &InstancePaths, ports: &Ports) -> Result<()> {
    let text = ssh_config(paths, ports);
    if files::read_optional(&paths.ssh_config())?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    files::write_atomic(&paths.ssh_config(), text.as_bytes(), Mode::Exactly(0o600))
}

/// Makes a key, unless it exists. Its comment is the same for every instance, since it decides the size of the file: a guest
/// that was restored from another instance's RAM reads as many bytes of the host key as that instance's key had.
fn ensure_key(path: &Path) -> Result<()> {
    if path.exists() && path.with_extension("pub").exists() {
        return Ok(());
    }
    files::remove(path)?;
    files::remove(&path.with_extension("pub"))?;
    Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", InstanceName::DEFAULT, "-f"])
        .arg(path)
        .deadline(Duration::from_secs(30))
        .run()
        .map(drop)
}

fn required(path: &Path) -> Result<String> {
    files::read_text_optional(path)?
        .ok_or_else(|| Error::new(ErrorClass::Failed, format!("{} is missing", path.display())).next("k3s-vm reset"))
}

fn padded(text: &str, fill: u8) -> Result<Vec<u8>> {
    let mut bytes = text.as_bytes().to_vec();
    if bytes.len() > FW_CFG_SIZE {
        return Err(Error::new(ErrorClass::Failed, format!("a guest data file has {} bytes", bytes.len()))
            .because(format!("at most {FW_CFG_SIZE} are possible")));
    }
    bytes.resize(FW_CFG_SIZE, fill);
    Ok(bytes)
}

/// The line of known_hosts (sshd(8)) for the alias.
fn known_hosts(public_key: &str) -> String {
    let key: Vec<&str> = public_key.split_whitespace().take(2).collect();
    format!("{SSH_ALIAS} {}\n", key.join(" "))
}

fn ssh_config(paths: &InstancePaths, ports: &Ports) -> String {
    format!(
        "# Written by k3s-vm at every start. Use it with: ssh -F <this file> {SSH_ALIAS}\n\
         Host {SSH_ALIAS}\n  HostName {bind}\n  Port {port}\n  User root\n  IdentityFile {key}\n  IdentitiesOnly yes\n  \
         UserKnownHostsFile {known}\n  GlobalKnownHostsFile /dev/null\n  HostKeyAlias {SSH_ALIAS}\n  \
         StrictHostKeyChecking yes\n  PasswordAuthentication no\n  BatchMode yes\n  LogLevel ERROR\n  \
         ServerAliveInterval 15\n",
        bind = ports.bind.reached_at(),
        port = ports.ssh,
        key = quoted(&paths.ssh_key()),
        known = quoted(&paths.known_hosts()),
    )
}

/// A path as ssh_config(5) reads it: in double quotes, with `\` and `"` escaped and `%` doubled (a token otherwise).
fn quoted(path: &Path) -> String {
    let text = path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hosts_has_no_comment() {
        assert_eq!(known_hosts("ssh-ed25519 AAAAC3 k3s-vm\n"), "k3s-vm ssh-ed25519 AAAAC3\n");
    }

    #[test]
    fn a_restored_guest_reads_the_host_key_of_any_instance_whole() {
        if !testkit::skipped::has_programs(&["ssh-keygen"]) {
            return;
        }
        let directory = tempfile::tempdir().expect("a directory");
        let project = model::paths::ProjectPaths::new(directory.path());
        let size = |name: &InstanceName| {
            let paths = project.instance(name);
            let port = model::port::Port::literal;
            let ports = Ports { bind: model::BindAddress::LOOPBACK, api: port(1), ssh: port(2), web: port(3) };
            prepare(&paths, name, "uuid", &ports).expect("made");
            paths.ssh_host_key().metadata().expect("a key").len()
        };
        let long = InstanceName::with_suffix("a-name-that-is-rather-long").expect("a name");
        assert_eq!(size(&InstanceName::default()), size(&long));
    }

    #[test]
    fn data_has_the_constant_size() {
        assert_eq!(padded("x", b'\n').expect("fits").len(), FW_CFG_SIZE);
        assert!(padded(&"x".repeat(FW_CFG_SIZE + 1), b'\n').is_err());
    }

    #[test]
    fn paths_survive_ssh_config() {
        assert_eq!(quoted(Path::new("/a b/\"100%\"")), "\"/a b/\\\"100%%\\\"\"");
    }
}
