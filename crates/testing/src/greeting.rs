//! The line that the program prints when a fork is ready. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// The line of `k3s-vm run --hold --output json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Greeting {
    /// The variables for programs that use the fork.
    pub(crate) environment: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub(crate) report: Value,
    #[serde(skip)]
    ports: [u16; 3],
}

impl Greeting {
    /// Parses the line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut greeting: Greeting = serde_json::from_str(line).map_err(|error| error.to_string())?;
        for name in ["KUBECONFIG", "WEB_URL", "API_URL", "K3S_VM_NAME"] {
            greeting.variable(name)?;
        }
        let port = |name| -> Result<u16, String> {
            let text = greeting.variable(name)?;
            text.parse().map_err(|_| format!("{name} is no port: {text:?}"))
        };
        greeting.ports = [port("WEB_PORT")?, port("API_PORT")?, port("SSH_PORT")?];
        Ok(greeting)
    }

    fn variable(&self, name: &str) -> Result<&str, String> {
        self.environment.get(name).map(String::as_str).ok_or_else(|| format!("its environment has no {name}"))
    }

    /// The value of a variable that [`Greeting::parse`] has checked.
    pub(crate) fn known(&self, name: &str) -> &str {
        self.variable(name).unwrap_or_default()
    }

    /// The ports of the application, the API and the guest's sshd.
    pub(crate) fn ports(&self) -> [u16; 3] {
        self.ports
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_an_incomplete_line_names_what_is_missing() {
        let complete = serde_json::json!({
            "instance": "k3s-vm-run-1",
            "environment": {
                "KUBECONFIG": "/k", "WEB_URL": "http://127.0.0.1:1", "API_URL": "https://127.0.0.1:2",
                "K3S_VM_NAME": "run-1", "WEB_PORT": "1", "API_PORT": "2", "SSH_PORT": "3",
            },
        });
        let greeting = Greeting::parse(&complete.to_string()).unwrap();
        assert_eq!((greeting.ports(), greeting.known("K3S_VM_NAME")), ([1, 2, 3], "run-1"));
        assert_eq!(greeting.report, serde_json::json!({"instance": "k3s-vm-run-1"}));
        let without = |name: &str| {
            let mut changed = complete.clone();
            changed["environment"].as_object_mut().unwrap().remove(name);
            Greeting::parse(&changed.to_string()).unwrap_err()
        };
        assert_eq!(without("KUBECONFIG"), "its environment has no KUBECONFIG");
        assert_eq!(without("SSH_PORT"), "its environment has no SSH_PORT");
        let mut changed = complete.clone();
        changed["environment"]["WEB_PORT"] = "none".into();
        assert_eq!(Greeting::parse(&changed.to_string()).unwrap_err(), "WEB_PORT is no port: \"none\"");
        assert!(Greeting::parse("{}").unwrap_err().starts_with("missing field `environment`"));
        assert!(Greeting::parse("Ready!").unwrap_err().starts_with("expected value"));
    }
}
