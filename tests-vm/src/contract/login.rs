//! The host's keys, the files from which the guest reads them, and logins with the system's ssh.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::{Command, Output};
use host::files::{self, Mode};
use model::paths::InstancePaths;
use model::port::Port;

use crate::expect::expect_ok;

/// The constant size of the files for the guest, which reads their size only when it boots.
const FILE_SIZE: usize = 4096;
const DEADLINE: Duration = Duration::from_secs(60);
/// The name under which the host key is known.
const ALIAS: &str = "the-guest";

/// The keys and the instance's data that one QEMU gives its guest.
#[derive(Debug, Clone)]
pub(super) struct Credentials {
    /// The private key.
    key: PathBuf,
    /// The file with the guest's expected host key.
    known_hosts: PathBuf,
    /// `instance.json` without its padding.
    pub(super) instance: String,
}

impl Credentials {
    /// Makes new keys and writes the instance's files, which the next QEMU reads.
    pub(super) fn make(paths: &InstancePaths) -> Self {
        let name = uuid::Uuid::new_v4().to_string();
        let key = paths.vm_dir().join(format!("{name}.key"));
        let public = key_pair(&key);
        write(&paths.authorized_keys(), &padded(&public, b'\n'));
        for old in [paths.ssh_host_key(), paths.ssh_host_public_key()] {
            expect_ok(files::remove(&old));
        }
        let host_key = key_pair(&paths.ssh_host_key());
        let known_hosts = paths.vm_dir().join(format!("{name}.known_hosts"));
        write(&known_hosts, format!("{ALIAS} {host_key}").as_bytes());
        let instance = serde_json::json!({"schema": 1, "name": "k3s-vm", "uuid": name}).to_string();
        write(&paths.instance_data(), &padded(&instance, b' '));
        Credentials { key, known_hosts, instance }
    }

    /// The same with a key that the guest does not know.
    pub(super) fn with_a_strangers_key(&self) -> Self {
        let key = self.key.with_extension("stranger");
        key_pair(&key);
        Credentials { key, ..self.clone() }
    }

    /// The same with the host key of `other`, which the guest has now.
    pub(super) fn at_the_host_of(&self, other: &Credentials) -> Self {
        Credentials { known_hosts: other.known_hosts.clone(), ..self.clone() }
    }

    /// Logs in as root and runs `script`. ssh refuses a host key that is not the expected one.
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
        expect_ok(command.args(["root@127.0.0.1", script]).deadline(DEADLINE).output())
    }
}

/// Makes a pair of keys; the public key as a line.
fn key_pair(path: &Path) -> String {
    expect_ok(
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
    expect_ok(files::write_atomic(path, bytes, Mode::Exactly(0o600)));
}
