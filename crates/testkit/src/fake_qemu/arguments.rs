//! The parts of QEMU's command line that the fake uses: sockets, pid file, forwards, RAM.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

/// The parsed command line.
#[derive(Debug)]
pub(super) struct Arguments {
    pub(super) pid_file: Option<PathBuf>,
    pub(super) qmp: PathBuf,
    pub(super) agent: Option<PathBuf>,
    /// The value of `-netdev`.
    pub(super) netdev: String,
    /// The forwarding rules of `netdev`.
    pub(super) forwards: Vec<String>,
    /// The size of the RAM in bytes.
    pub(super) memory: u64,
    /// Whether it waits for a saved state (`-incoming`).
    pub(super) waits: bool,
    /// Whether the guest's reset ends it.
    pub(super) reset_ends: bool,
}

impl Arguments {
    /// Parses the command line; an error is the text that QEMU would print.
    pub(super) fn parse(words: &[OsString]) -> Result<Self, String> {
        let value = |option: &str, part: &str| {
            words
                .windows(2)
                .filter(|pair| pair[0] == option)
                .map(|pair| pair[1].to_string_lossy().into_owned())
                .find(|value| value.contains(part))
        };
        let path = |text: &str, key: &str| {
            let found = text.split(',').find_map(|part| part.strip_prefix(key));
            found.map(PathBuf::from).ok_or_else(|| format!("{text}: no {key}"))
        };
        let qmp = value("-qmp", "unix:").ok_or("the fake needs -qmp unix:…")?;
        let netdev = value("-netdev", "").unwrap_or_else(|| "{}".to_owned());
        let network: Value = serde_json::from_str(&netdev).map_err(|error| format!("-netdev {netdev}: {error}"))?;
        let rules = network["hostfwd"].as_array().cloned().unwrap_or_default();
        let memory = value("-object", "\"ram0\"").unwrap_or_else(|| "{}".to_owned());
        let memory: Value = serde_json::from_str(&memory).map_err(|error| format!("-object {memory}: {error}"))?;
        let pid_file = words.windows(2).find(|pair| pair[0] == "-pidfile").map(|pair| PathBuf::from(&pair[1]));
        Ok(Arguments {
            pid_file,
            qmp: path(&qmp, "unix:")?,
            agent: value("-chardev", "id=agent").map(|text| path(&text, "path=")).transpose()?,
            netdev,
            forwards: rules.iter().filter_map(|rule| rule["str"].as_str().map(str::to_owned)).collect(),
            memory: memory["size"].as_u64().unwrap_or_default(),
            waits: words.iter().any(|word| word == "-incoming"),
            reset_ends: value("-action", "reboot=shutdown").is_some(),
        })
    }
}
