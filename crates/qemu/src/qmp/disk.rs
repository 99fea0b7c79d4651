//! The root disk of a running VM over QMP: the top of its chain, and a new overlay.
//!
//! Source: qapi/block-core.json of QEMU. The caller creates the overlay's file.

use std::path::Path;

use model::{Error, ErrorClass, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, Qmp};
use crate::answer::Object;
use crate::argv::{self, ROOT_DISK};

/// The block node that the root disk writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopNode {
    /// The name of the block node.
    pub(crate) name: String,
    /// The size that the guest sees, in bytes.
    pub(crate) virtual_size: u64,
}

/// `BlockInfo` of qapi/block-core.json.
#[derive(Deserialize)]
struct Device {
    qdev: Option<String>,
    inserted: Option<Object<Inserted>>,
}

/// `BlockDeviceInfo`.
#[derive(Deserialize)]
struct Inserted {
    #[serde(rename = "node-name")]
    name: Option<String>,
    image: Object<Image>,
}

/// `ImageInfo`.
#[derive(Deserialize)]
struct Image {
    #[serde(rename = "virtual-size")]
    virtual_size: u64,
}

impl Qmp {
    /// The block node that the root disk writes to.
    pub(crate) fn top_of_root_disk(&mut self) -> Result<TopNode> {
        let devices: Vec<Object<Device>> = self.ask_much("query-block", Value::Null)?;
        // `/machine/peripheral/root-disk/virtio-backend`
        let is_ours = |device: &Device| device.qdev.as_deref().unwrap_or_default().split('/').any(|it| it == ROOT_DISK);
        let ours = devices.into_iter().map(|Object(device)| device).find(is_ours);
        match ours.and_then(|device| device.inserted) {
            Some(Object(Inserted { name: Some(name), image: Object(image) })) => {
                Ok(TopNode { name, virtual_size: image.virtual_size })
            }
            _ => Err(Error::new(ErrorClass::Failed, "QEMU does not tell what its root disk writes to")),
        }
    }

    /// Opens the qcow2 image `overlay`, without its backing file, as the node `name`.
    ///
    /// Its file is a node of its own. QEMU makes the nodes below a new overlay read-only, for which it opens a file again
    /// that it opened together with the image, by a name that another file may have by then.
    pub(crate) fn open_overlay(&mut self, name: &str, overlay: &Path) -> Result<()> {
        let file = file_of(name);
        self.execute("blockdev-add", argv::disk_file(Some(&file), overlay))?;
        let mut image = argv::disk_image(name, json!(file));
        image["backing"] = Value::Null;
        let opened = self.execute("blockdev-add", image);
        if opened.is_err() {
            let _ = self.execute("blockdev-del", json!({"node-name": file}));
        }
        opened
    }

    /// From now on the disk writes to the node `overlay`; the node `backing` is only read.
    pub(crate) fn put_on_top(&mut self, backing: &str, overlay: &str) -> Outcome {
        self.attempt("blockdev-snapshot", json!({"node": backing, "overlay": overlay}))
    }

    /// Closes a node that [`Qmp::open_overlay`] or the command line opened, and its file. A node in use stays open.
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
