//! A program to run in the guest, and its output.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A shell script to run in the guest. Its text is constant, so that nothing from outside becomes code: data are its
/// arguments (`$1`, `"$@"`) and its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestScript(&'static str);

impl GuestScript {
    /// A script with this text.
    pub const fn new(text: &'static str) -> Self {
        GuestScript(text)
    }

    /// Its text.
    pub const fn text(self) -> &'static str {
        self.0
    }
}

/// A program to run in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCommand {
    path: String,
    arguments: Vec<String>,
    environment: Vec<String>,
    input: Vec<u8>,
}

/// The output of a program in the guest and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestOutput {
    /// The exit code; 128 + N for a death by signal N.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Whether the agent dropped output beyond 16 MiB.
    pub truncated: bool,
}

impl GuestCommand {
    /// The program at the absolute `path` with `arguments`; [`GuestCommand::shell`] runs a script.
    pub fn new<A: Into<String>>(path: impl Into<String>, arguments: impl IntoIterator<Item = A>) -> Self {
        GuestCommand {
            path: path.into(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: Vec::new(),
            input: Vec::new(),
        }
    }

    /// `script`, run by the guest's `/bin/sh -c` with `arguments` as `$1`, `$2` and so on.
    pub fn shell<A: Into<String>>(script: GuestScript, arguments: impl IntoIterator<Item = A>) -> Self {
        let fixed = ["-c", script.text(), "sh"].map(str::to_owned);
        GuestCommand::new("/bin/sh", fixed.into_iter().chain(arguments.into_iter().map(Into::into)))
    }

    /// Sets the environment (`NAME=value`), which replaces the agent's.
    #[must_use]
    pub fn environment<V: Into<String>>(mut self, variables: impl IntoIterator<Item = V>) -> Self {
        self.environment = variables.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    pub(super) fn display(&self) -> String {
        let words: Vec<&str> =
            std::iter::once(self.path.as_str()).chain(self.arguments.iter().map(String::as_str)).collect();
        let line: String = words.join(" ");
        line.lines().next().unwrap_or_default().chars().take(120).collect()
    }

    pub(super) fn request(&self) -> Value {
        let mut request = json!({"path": self.path, "arg": self.arguments, "capture-output": true});
        if !self.environment.is_empty() {
            request["env"] = json!(self.environment);
        }
        if !self.input.is_empty() {
            request["input-data"] = json!(BASE64.encode(&self.input));
        }
        request
    }
}
