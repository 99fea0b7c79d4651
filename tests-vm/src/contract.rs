//! The guest contract (ARCHITECTURE.md, "The guest"), checked on a live VM: one suite for the images of all providers.
//!
//! It takes the directory of an image and starts the VM itself, through the same crates as k3s-vm, so that a failure is the
//! image's and not a verb's. The checks run in this order, with one boot and one restore.

mod agent;
mod api;
mod boot;
mod devices;
mod guest;
mod host_access;
mod host_files;
mod image;
mod listeners;
mod login;
mod node;
mod pod;
mod points;
mod power;
mod ssh;

use model::guest_image::GuestImage;

use crate::steps::Steps;
use guest::LiveGuest;

pub use image::{chosen, open};
pub use points::Points;

/// Checks `points` of the contract on the image; other checks are listed as skipped.
///
/// # Panics
/// Never: a check that fails is counted.
pub fn run(steps: &mut Steps, image: &GuestImage, points: &Points) {
    let mut suite = Suite { steps, points, guest: None };
    // Every check needs the VM.
    suite.steps.run("contract 1: it boots from kernel, initial RAM disk and command line", || {
        suite.guest = Some(boot::start(image));
    });
    suite.check(&[1], "a guest that cannot boot ends QEMU with its first reset", |_| boot::no_boot(image));
    suite.check(&[1], "kernel and system print on ttyS0", boot::console);
    suite.check(&[1], "the root is a virtio disk, an overlay on the base disk", boot::root_disk);
    suite.check(&[1], "the root filesystem has its full size from the start", boot::full_size);
    suite.check(&[2], "the agent runs programs, by absolute path and by /bin/sh", agent::runs_programs);
    suite.check(&[2], "the agent reads files", agent::reads_files);
    suite.check(&[3], "the host's key can log in, and the host key is the given one", ssh::opens);
    suite.check(&[3], "another key is refused, and passwords are off", ssh::refuses);
    suite.check(&[3], "the instance's data can be read", ssh::instance_data);
    suite.check(&[4], "the API has a certificate for 127.0.0.1 and localhost", api::certificate);
    suite.check(&[4], "the node has its name and becomes Ready", api::node_ready);
    suite.check(&[4], "the Services of API and DNS answer", api::services_answer);
    suite.check(&[4], "they survive a restart of the cluster's process", api::services_survive_a_restart);
    suite.check(&[4], "there is no unknown listener in the guest", listeners::of_the_guest);
    suite.check(&[4], "a pod can connect only to servers that authenticate", listeners::from_a_pod);
    suite.check(&[4], "the kubelet refuses requests without credentials", listeners::the_kubelet_authenticates);
    suite.check(&[4], "on the host only the forwarded ports are open", listeners::from_the_host);
    suite.check(&[4], "services on the host's loopback are closed to pods and to the guest", host_access::closed);
    suite.check(&[4], "only the guest's nftables table closes them", host_access::open_without_the_table);
    suite.check(&[2], "the agent sets the clock", agent::sets_the_clock);
    suite.check(&[5], "no balloon, 9p or virtiofs is in use", devices::none_that_break_restores);
    suite.check(&[6], "modules that Kubernetes needs are loaded by name", power::modules);
    suite.check(&[6], "the guest has the files that components and containers expect", host_files::files);
    suite.check(&[6], "the guest has the commands that components call", host_files::commands);
    suite.check(&[6], "nft prints protocols as kube-proxy reads them", host_files::nft_prints_what_kube_proxy_reads);
    suite.check_any(&[3, 5], "it is saved, and restored in another QEMU", LiveGuest::save_and_restore);
    suite.check(&[3], "keys, host key and data are those of the new QEMU", ssh::after_the_restore);
    suite.check(&[4, 5], "the host's loopback is closed after the restore, too", host_access::closed);
    suite.check(&[5], "its random numbers are reseeded after the restore", devices::reseeded);
    suite.check(&[4, 5], "the Services answer after the restore", api::services_answer);
    suite.check(&[4, 5], "the node stays Ready when the clock steps three days ahead", api::clock_step);
    suite.check(&[6], "the power button powers it off", power::button);
    suite.check(&[1, 6], "the base disk is unchanged", boot::base_disk_unchanged);
}

/// The checks share one VM.
struct Suite<'a> {
    steps: &'a mut Steps,
    points: &'a Points,
    guest: Option<LiveGuest<'a>>,
}

impl<'a> Suite<'a> {
    /// Runs a check if all points that it needs are selected.
    fn check(&mut self, needs: &[u8], name: &str, check: impl FnOnce(&mut LiveGuest<'a>)) {
        self.checked(needs, self.points.have_all(needs), name, check);
    }

    /// Runs a check if one of the points that need it is selected.
    fn check_any(&mut self, serves: &[u8], name: &str, check: impl FnOnce(&mut LiveGuest<'a>)) {
        self.checked(serves, serves.iter().any(|point| self.points.have_all(&[*point])), name, check);
    }

    fn checked(&mut self, needs: &[u8], is_selected: bool, name: &str, check: impl FnOnce(&mut LiveGuest<'a>)) {
        let name = numbered(needs, name);
        if is_selected {
            let guest = &mut self.guest;
            self.steps.run(&name, || check(guest.as_mut().expect("the guest was started")));
        } else {
            self.steps.skip(&name, &format!("only the points {} are selected", self.points));
        }
    }
}

/// The name of a check with the points that it is for.
fn numbered(points: &[u8], name: &str) -> String {
    let numbers: Vec<String> = points.iter().map(u8::to_string).collect();
    format!("contract {}: {name}", numbers.join(" and "))
}
