//! What a reset by the guest does, over QMP: it ends QEMU until somebody has seen that the guest can boot.

use model::Result;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Qmp;
use crate::answer::Object;

/// `ChardevInfo` of qapi/char.json.
#[derive(Deserialize)]
struct CharacterDevice {
    label: String,
    #[serde(rename = "frontend-open")]
    frontend_open: bool,
}

impl Qmp {
    /// From now on a reset by the guest is one, and ends QEMU no more ([`crate::argv::arguments`]).
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn allow_resets(&mut self) -> Result<()> {
        self.execute("set-action", json!({"reboot": "reset"}))
    }

    /// Whether the guest's agent has opened its port (`query-chardev`): its system is up.
    ///
    /// # Errors
    /// As [`Qmp::ask`].
    pub fn agent_is_there(&mut self) -> Result<bool> {
        let devices: Vec<Object<CharacterDevice>> = self.ask("query-chardev", Value::Null)?;
        Ok(devices.iter().any(|Object(device)| device.label == "agent" && device.frontend_open))
    }
}
