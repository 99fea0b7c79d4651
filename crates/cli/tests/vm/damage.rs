//! A guest image with damaged files.

use std::fs;

use host::digest::Sha256;
use serde_json::{Map, Value, json};
use testkit::Script;

use crate::isolation::isolated;
use crate::setup::Setup;

/// Writes sizes and digests of the image's files into its manifest, as a provider does.
fn describe(setup: &Setup) {
    let files: Map<String, Value> = ["kernel", "initrd", "root.qcow2"]
        .into_iter()
        .map(|name| {
            let path = setup.project.root().join("image").join(name);
            let size = fs::metadata(&path).unwrap().len();
            (name.to_owned(), json!({"size": size, "sha256": Sha256::of_file(&path).unwrap().to_string()}))
        })
        .collect();
    let mut manifest: Value = serde_json::from_str(&setup.project.read("image/manifest.json")).unwrap();
    manifest["schema"] = 2.into();
    manifest["files"] = files.into();
    setup.project.write("image/manifest.json", &manifest.to_string());
}

#[test]
fn an_instance_went_on_on_an_image_that_a_power_cut_had_damaged() {
    isolated("damage::an_instance_went_on_on_an_image_that_a_power_cut_had_damaged", || {
        let setup = Setup::new(&Script::default());
        describe(&setup);
        setup.says(&["start", "--no-wait"], 0);
        setup.says(&["stop", "--power-off"], 0);
        let (image, disk) = (setup.project.root().join("image/root.qcow2"), setup.vm_dir().join("disk.qcow2"));
        let whole = fs::read(&image).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&image, &damaged).unwrap();
        let digests = |text: String| {
            let mut text = text;
            for (bytes, name) in [(&whole, "BUILT"), (&damaged, "FOUND")] {
                text = text.replace(&Sha256::of(bytes).to_string(), name);
            }
            text
        };
        insta::assert_snapshot!(digests(setup.says(&["start", "--no-wait"], 3)), @"
        [1/3] Checking the host …: all tools are there
        [2/3] Preparing the guest image …
        Error: the guest image PROJECT/image under PROJECT/.k3s-vm/vm/disk.qcow2 is damaged
          root.qcow2 has the SHA-256 FOUND instead of BUILT
          what was written to the disk is there, but parts of it may be unreadable with this image

        Next: restore PROJECT/image from a backup, or copy it from a machine that has the same image
        Next: k3s-vm reset    # makes a new disk on a whole image; data on the old one are lost
        ");
        // A reset that cannot succeed destroys nothing.
        insta::assert_snapshot!(digests(setup.says(&["reset", "--no-wait"], 2)), @"
        [1/4] Checking the host …
        Error: the guest image PROJECT/image is damaged
          root.qcow2 has the SHA-256 FOUND instead of BUILT
          manifest.json has the digests of the files as they were built

        Next: restore the files as they were built; disks that were made on them need exactly these bytes
        Next: or set image.directory in .k3s-vm/config.toml to another guest image, then run `k3s-vm reset`
        ");
        assert!(disk.exists());
        fs::write(&image, &whole).unwrap();
        setup.says(&["start", "--no-wait"], 0);
    });
}
