//! The root disk of a running VM over QMP: what is on top, and a new overlay put on top of that.
//!
//! Source: qapi/block-core.json of QEMU. The caller makes the overlay's file.

use std::path::Path;

use model::{Fault, FaultClass, Result};
use serde_json::{Value, json};

use super::Qmp;
use crate::argv::{self, ROOT_DISK};

/// What the root disk writes into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopNode {
    /// The name of the block node.
    pub(crate) name: String,
    /// The size that the guest sees, in bytes.
    pub(crate) virtual_size: u64,
}

impl Qmp {
    /// The block node that the root disk writes into.
    pub(crate) fn top_of_root_disk(&mut self) -> Result<TopNode> {
        let answer = self.execute("query-block", Value::Null)?;
        let devices = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        // `/machine/peripheral/root-disk/virtio-backend`
        let is_ours =
            |device: &&Value| device["qdev"].as_str().unwrap_or_default().split('/').any(|it| it == ROOT_DISK);
        let inserted = devices.iter().find(is_ours).map(|device| &device["inserted"]);
        let name = inserted.and_then(|inserted| inserted["node-name"].as_str());
        let size = inserted.and_then(|inserted| inserted["image"]["virtual-size"].as_u64());
        match (name, size) {
            (Some(name), Some(virtual_size)) => Ok(TopNode { name: name.to_owned(), virtual_size }),
            _ => Err(Fault::new(FaultClass::Failed, "QEMU does not tell what its root disk writes into")
                .because(answer.to_string())),
        }
    }

    /// Opens the qcow2 image `overlay`, without its backing file, as the node `name`.
    ///
    /// Its file is a node of its own: QEMU makes the nodes below a new overlay read-only, and would open anew, by a name
    /// that may be another file's by then, what it opened together with the image.
    pub(crate) fn open_overlay(&mut self, name: &str, overlay: &Path) -> Result<()> {
        let file = file_of(name);
        self.execute("blockdev-add", argv::disk_file(Some(&file), overlay))?;
        let mut image = argv::disk_image(name, json!(file));
        image["backing"] = Value::Null;
        let opened = self.execute("blockdev-add", image).map(drop);
        if opened.is_err() {
            let _ = self.execute("blockdev-del", json!({"node-name": file}));
        }
        opened
    }

    /// From now on writes go to the node `overlay`; the node `base` is only read.
    pub(crate) fn put_on_top(&mut self, base: &str, overlay: &str) -> Result<()> {
        self.execute("blockdev-snapshot", json!({"node": base, "overlay": overlay})).map(drop)
    }

    /// Closes a node that [`Qmp::open_overlay`] or the command line opened, and its file. What is in use stays open.
    pub(crate) fn close_node(&mut self, name: &str) {
        for node in [name, &file_of(name)] {
            // A file is in use as long as its image is.
            if self.execute("blockdev-del", json!({"node-name": node})).is_err() {
                break;
            }
        }
    }
}

/// The name of the node of an image's file.
fn file_of(name: &str) -> String {
    format!("{name}-file")
}
