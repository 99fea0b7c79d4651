//! Chains of backing files, against the real QEMU: they grow and are shortened, and QEMU is killed meanwhile.

use std::path::{Path, PathBuf};

use qemu::{Launched, Save, StoppedGuest, disk, qcow2, qemu_img};
use serde_json::{Value, json};

use crate::boot_sector::COUNTING;
use crate::image_info::{CLEAN, LEAKS, image_check};
use crate::real::{prepared_with, real_qemu};
use crate::real_disk::{io, overlay_on};
use crate::vm::{LONG, Vm};

/// Layers with a megabyte of their own, which the guest does not touch.
const LAYERS: u8 = 3;

/// A running VM whose disk has several backing files, some of which were added while it ran.
struct Layered {
    vm: Vm,
    running: Launched,
    disk: PathBuf,
    base: PathBuf,
    /// The backing files between the base disk and the disk, the lowest first.
    layers: Vec<PathBuf>,
    overlays: u32,
}

impl Layered {
    fn start() -> Option<Self> {
        let qemu = real_qemu()?;
        let mut vm = prepared_with(&qemu, COUNTING);
        let directory = vm.machine.directory.clone();
        let (disk, base) = (directory.join("disk.qcow2"), directory.join("base, 1.qcow2"));
        vm.machine.disk = disk.clone();
        io(&base, "write -P 9 0 16M");
        let mut layers = Vec::new();
        for layer in 1..=LAYERS {
            io(&disk, &format!("write -P {layer} {layer}M 1M"));
            let name = directory.join(format!("layer, {layer}"));
            overlay_on(&disk, &name);
            layers.push(name);
        }
        let running = vm.launch_with(&qemu, LONG).unwrap();
        let mut layered = Layered { vm, running, disk, base, layers, overlays: 0 };
        layered.add_overlay();
        layered.add_overlay();
        Some(layered)
    }

    /// Adds an overlay while the VM runs.
    fn add_overlay(&mut self) {
        let name = self.vm.machine.directory.join(format!("layer: {}", self.overlays));
        let mut qmp = self.vm.qmp();
        let mut guest = StoppedGuest::stop(&mut qmp, &self.vm.events).unwrap();
        disk::add_overlay(&mut guest, &self.disk, &name, &self.vm.events).unwrap();
        guest.resume().unwrap();
        self.layers.push(name);
        self.overlays += 1;
    }

    /// The backing files of the disk, the highest first.
    fn chain(&self) -> Vec<PathBuf> {
        let base = |disk: &PathBuf| qcow2::header(disk).unwrap().backing_file;
        std::iter::successors(base(&self.disk), base).collect()
    }

    fn assert_long(&self) {
        assert_eq!(self.chain(), self.layers.iter().rev().chain([&self.base]).cloned().collect::<Vec<_>>());
    }

    /// How many of the layers QEMU has open.
    fn open(&self) -> usize {
        use std::os::unix::fs::MetadataExt;

        let directory = format!("/proc/{}/fd", self.running.identity().pid);
        let inode = |path: &Path| path.metadata().map_or(0, |metadata| metadata.ino());
        let open: Vec<u64> = std::fs::read_dir(directory).unwrap().map(|file| inode(&file.unwrap().path())).collect();
        self.layers.iter().filter(|disk| open.contains(&inode(disk))).count()
    }

    /// Starts a job that never ends, like a program that is killed then.
    fn begin_and_die(&self) {
        let mut qmp = self.vm.qmp();
        let nodes: Value = qmp.ask("query-named-block-nodes", json!({"flat": true})).unwrap();
        let is_base = |node: &&Value| node["drv"] == "qcow2" && node["file"] == self.base.to_str().unwrap();
        let base = &nodes.as_array().unwrap().iter().find(is_base).unwrap()["node-name"];
        let devices: Value = qmp.ask("query-block", Value::Null).unwrap();
        let top = &devices[0]["inserted"]["node-name"];
        let arguments = json!({"job-id": "shorten", "device": top, "base-node": base, "speed": 1});
        qmp.execute("block-stream", arguments).unwrap();
    }

    /// Kills QEMU and asserts that everything written is there.
    fn kill(&self) {
        let process = self.vm.process();
        process.kill().unwrap();
        assert!(process.wait(LONG).unwrap());
        self.assert_whole();
    }

    fn assert_whole(&self) {
        assert!([CLEAN, LEAKS].contains(&image_check(&self.disk)));
        for layer in 1..=LAYERS {
            io(&self.disk, &format!("read -P {layer} {layer}M 1M"));
        }
        io(&self.disk, "read -P 9 0 1M");
        io(&self.disk, "read -P 9 8M 8M");
    }
}

#[test]
fn the_layers_of_a_running_vm_are_merged_and_closed_and_new_overlays_follow() {
    let Some(mut layered) = Layered::start() else { return };
    layered.assert_long();
    assert_eq!(layered.open(), layered.layers.len());
    let content =
        |layered: &Layered| layered.layers.iter().map(|disk| std::fs::read(disk).unwrap()).collect::<Vec<_>>();
    let before = content(&layered);
    disk::shorten(&mut layered.vm.qmp(), &layered.disk, &layered.base, LONG, &layered.vm.events).unwrap();
    assert_eq!(layered.chain(), std::slice::from_ref(&layered.base));
    assert_eq!(layered.open(), 0, "their space could not be given back");
    assert!(content(&layered) == before, "a backing file was written to");
    for disk in std::mem::take(&mut layered.layers) {
        std::fs::remove_file(disk).unwrap();
    }
    for _ in 0..2 {
        layered.add_overlay();
        layered.assert_long();
        disk::shorten(&mut layered.vm.qmp(), &layered.disk, &layered.base, LONG, &layered.vm.events).unwrap();
        assert_eq!(layered.chain(), std::slice::from_ref(&layered.base));
        layered.layers.clear();
    }
    layered.kill();
}

#[test]
fn a_merge_whose_program_was_killed_does_not_stop_others() {
    let Some(mut layered) = Layered::start() else { return };
    layered.begin_and_die();
    layered.add_overlay();
    layered.assert_long();
    layered.begin_and_die();
    let directory = &layered.vm.machine.directory;
    let (ram, state) = (directory.join("ram"), directory.join("state"));
    let save = Save { begun_from: &directory.join("none"), ram: &ram, state: &state, deadline: LONG };
    let mut qmp = layered.vm.qmp();
    let prepared = save.prepare(&mut qmp, &layered.vm.events).unwrap();
    let _ = prepared.write(&mut StoppedGuest::stop(&mut qmp, &layered.vm.events).unwrap()).unwrap();
    drop(qmp);
    layered.begin_and_die();
    disk::shorten(&mut layered.vm.qmp(), &layered.disk, &layered.base, LONG, &layered.vm.events).unwrap();
    assert_eq!(layered.chain(), std::slice::from_ref(&layered.base));
    layered.kill();
}

#[test]
fn a_vm_that_is_killed_during_a_merge_has_its_old_chain_and_all_its_data() {
    let Some(layered) = Layered::start() else { return };
    layered.begin_and_die();
    layered.kill();
    layered.assert_long();
    qemu_img::rebase(&layered.disk, &layered.base, std::time::Duration::from_secs(600)).unwrap();
    assert_eq!(layered.chain(), std::slice::from_ref(&layered.base));
    layered.assert_whole();
}
