//! The guest's resets: they end QEMU until the guest has shown that it can boot.

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
    /// From now on the guest can reset without ending QEMU ([`crate::argv::arguments`]).
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn allow_resets(&mut self) -> Result<()> {
        self.execute("set-action", json!({"reboot": "reset"}))
    }

    /// Whether the guest agent has opened its port (`query-chardev`): the guest's system is up.
    ///
    /// # Errors
    /// As [`Qmp::ask`].
    pub fn agent_is_there(&mut self) -> Result<bool> {
        let devices: Vec<Object<CharacterDevice>> = self.ask("query-chardev", Value::Null)?;
        Ok(devices.iter().any(|Object(device)| device.label == "agent" && device.frontend_open))
    }
}
