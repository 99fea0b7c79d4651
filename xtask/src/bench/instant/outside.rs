//! What a client sees: whether the API behind its port is ready, whether the application answers.
//!
//! curl asks the API with the client certificate of the kubeconfig, since not every distribution answers `/readyz` without.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::bench::project::BenchProject;

/// How long to ask before giving up.
const LIMIT: Duration = Duration::from_secs(180);
/// The interval between two requests; with a shorter one the requests would be what is measured.
const PAUSE: Duration = Duration::from_millis(20);

/// The API of an instance.
pub(super) struct Api {
    port: u16,
    identity: tempfile::TempDir,
}

impl Api {
    /// The API of the project's default instance.
    pub(super) fn of(project: &BenchProject) -> Result<Self> {
        Self::new(&project.root().join("web/.kube/config"), project.api_port())
    }

    /// The API behind `port`, with the client certificate of a kubeconfig.
    pub(super) fn new(kubeconfig: &PathBuf, port: u16) -> Result<Self> {
        let text = fs::read_to_string(kubeconfig).with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        // Only this user can look into the directory.
        let identity = tempfile::tempdir()?;
        for (key, file) in [("client-certificate-data", "certificate"), ("client-key-data", "key")] {
            let data = value(&text, key).with_context(|| format!("{} has no {key}", kubeconfig.display()))?;
            fs::write(
                identity.path().join(file),
                STANDARD.decode(data).with_context(|| format!("{key} is no base64"))?,
            )?;
        }
        Ok(Api { port, identity })
    }

    /// Asks until it is ready.
    pub(super) fn wait(&self) -> Result<()> {
        until("the API", || self.is_ready())
    }

    /// Asks once.
    pub(super) fn is_ready(&self) -> Result<bool> {
        let status = Command::new("curl")
            // k3s-vm itself proves that it is the right cluster.
            .args(["--insecure", "--silent", "--fail", "--output", "/dev/null", "--max-time", "20", "--noproxy", "*"])
            .args(["--cert", "certificate", "--key", "key"])
            .arg(format!("https://127.0.0.1:{}/readyz", self.port))
            .current_dir(self.identity.path())
            .stdin(Stdio::null())
            .status()
            .context("cannot run curl")?;
        Ok(status.success())
    }
}

/// Asks the application on this port until it answers.
pub(super) fn wait_for_web(port: u16) -> Result<()> {
    until("the application", || Ok(web_answers(port).unwrap_or(false)))
}

fn web_answers(port: u16) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut head = [0; "HTTP/1.0 200".len()];
    stream.read_exact(&mut head)?;
    Ok(head.ends_with(b" 200"))
}

/// Asks until the answer is true.
pub(super) fn until(what: &str, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !ask()? {
        if begin.elapsed() > LIMIT {
            bail!("waited {} s for {what}", LIMIT.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// The value of a key that a kubeconfig (YAML or JSON) has once, on one line.
fn value<'a>(kubeconfig: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = kubeconfig.split_once(key)?;
    let rest = rest.trim_start_matches(['"', ':', ' ', '\n']);
    Some(&rest[..rest.find(['"', '\n', ' ', ',', '}']).unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn values_of_yaml_and_json() {
        for text in ["users:\n- user:\n    client-key-data: QUJD\n    x: y", r#"{"client-key-data": "QUJD", "x": 1}"#] {
            assert_eq!(value(text, "client-key-data"), Some("QUJD"));
            assert_eq!(value(text, "client-certificate-data"), None);
        }
    }

    #[test]
    fn only_status_200_is_an_answer() {
        for (line, expected) in [("HTTP/1.1 200 OK", true), ("HTTP/1.1 503 No", false)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut stream = listener.accept().unwrap().0;
                    let _ = stream.read(&mut [0; 512]).unwrap();
                    stream.write_all(line.as_bytes()).unwrap();
                });
                assert_eq!(web_answers(port).unwrap(), expected);
            });
        }
    }
}
