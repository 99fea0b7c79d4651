//! Keys of the host, the files that the guest reads them from, and logins with the system's ssh.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::{Command, Output};
use host::files::{self, Mode};
use model::paths::InstancePaths;
use model::port::Port;

use super::guest::sound;

/// The constant size of the files for the guest, which learns their size when it boots.
const FILE_SIZE: usize = 4096;
const DEADLINE: Duration = Duration::from_secs(60);
/// The name under which the host key is known.
const ALIAS: &str = "the-guest";

/// What one QEMU tells its guest, and what opens it.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    /// The private key.
    key: PathBuf,
    /// The host key that the guest is to show.
    known_hosts: PathBuf,
    /// `instance.json` without its padding.
    pub(super) instance: String,
}

impl Credentials {
    /// Makes new keys, and with them the files of the instance: from now on the next QEMU has these.
    pub(super) fn make(paths: &InstancePaths) -> Self {
        let name = uuid::Uuid::new_v4().to_string();
        let key = paths.vm_dir().join(format!("{name}.key"));
        let public = key_pair(&key);
        write(&paths.authorized_keys(), &padded(&public, b'\n'));
        for old in [paths.ssh_host_key(), paths.ssh_host_public_key()] {
            sound(files::remove(&old));
        }
        let host_key = key_pair(&paths.ssh_host_key());
        let known_hosts = paths.vm_dir().join(format!("{name}.known_hosts"));
        write(&known_hosts, format!("{ALIAS} {host_key}").as_bytes());
        let instance = serde_json::json!({"schema": 1, "name": "k3s-vm", "uuid": name}).to_string();
        write(&paths.instance_data(), &padded(&instance, b' '));
        Credentials { key, known_hosts, instance }
    }

    /// These, but with a key that the guest was never told.
    pub(super) fn with_a_strangers_key(&self) -> Self {
        let key = self.key.with_extension("stranger");
        key_pair(&key);
        Credentials { key, ..self.clone() }
    }

    /// These, but with the host key of `other`, which the guest shows now.
    pub(super) fn at_the_host_of(&self, other: &Credentials) -> Self {
        Credentials { known_hosts: other.known_hosts.clone(), ..self.clone() }
    }

    /// A login as root, in which `script` runs. It fails before the login where the host key is not the known one.
    pub(super) fn login(&self, port: Port, script: &str) -> Output {
        let known = format!("UserKnownHostsFile=\"{}\"", self.known_hosts.display());
        let mut command = Command::new("ssh").args(["-F", "/dev/null", "-p", &port.to_string(), "-i"]).arg(&self.key);
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=/dev/null",
            "ConnectTimeout=30",
            &format!("HostKeyAlias={ALIAS}"),
            &known,
        ] {
            command = command.args(["-o", option]);
        }
        sound(command.args(["root@127.0.0.1", script]).deadline(DEADLINE).output())
    }
}

/// Makes a pair of keys; the public one, a line.
fn key_pair(path: &Path) -> String {
    sound(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(path)
            .deadline(DEADLINE)
            .run(),
    );
    let mut public = path.as_os_str().to_owned();
    public.push(".pub");
    std::fs::read_to_string(PathBuf::from(public)).expect("the public key")
}

fn padded(text: &str, fill: u8) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(FILE_SIZE, fill);
    bytes
}

fn write(path: &Path, bytes: &[u8]) {
    sound(files::write_atomic(path, bytes, Mode::Exactly(0o600)));
}
