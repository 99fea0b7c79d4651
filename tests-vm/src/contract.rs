//! The guest contract (ARCHITECTURE.md, "The guest"), checked on a live VM: one suite for the images of all providers.
//!
//! It takes a directory with an image and starts the VM itself, as the tool does and through the same crates, so that a
//! error is the image's and not that of a verb. One boot and one restore, in this order of the checks.

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

/// Checks `points` on the image; what is left out is named.
///
/// # Panics
/// Never: a check that fails is counted.
pub fn run(steps: &mut Steps, image: &GuestImage, points: &Points) {
    let mut suite = Suite { steps, points, guest: None };
    // Whatever is checked, the machine is needed.
    suite.steps.run("contract 1: it boots from kernel, initial RAM disk and command line", || {
        suite.guest = Some(boot::start(image));
    });
    suite.check(&[1], "a guest that cannot boot ends QEMU by its first reset", |_| boot::no_boot(image));
    suite.check(&[1], "kernel and system speak on ttyS0", boot::console);
    suite.check(&[1], "the root is a virtio disk, an overlay on the base", boot::root_disk);
    suite.check(&[1], "the root filesystem has its full size from the start", boot::full_size);
    suite.check(&[2], "the agent runs programs, by absolute path and by /bin/sh", agent::runs_programs);
    suite.check(&[2], "the agent reads files", agent::reads_files);
    suite.check(&[3], "the key from the host opens, and the host key is the given one", ssh::opens);
    suite.check(&[3], "another key is refused, and passwords are off", ssh::refuses);
    suite.check(&[3], "the data of the instance can be read", ssh::instance_data);
    suite.check(&[4], "the API has a certificate for 127.0.0.1 and localhost", api::certificate);
    suite.check(&[4], "the node has its name and becomes Ready", api::node_ready);
    suite.check(&[4], "the Services of API and DNS answer", api::services_answer);
    suite.check(&[4], "they survive a restart of the cluster's process", api::services_survive_a_restart);
    suite.check(&[4], "nobody listens in the guest who is not known to", listeners::of_the_guest);
    suite.check(&[4], "a pod can connect to what wants to know who asks, and to nothing else", listeners::from_a_pod);
    suite.check(&[4], "the kubelet answers nobody without credentials", listeners::the_kubelet_wants_to_know_who_asks);
    suite.check(&[4], "on the host only the forwarded ports are open", listeners::from_the_host);
    suite.check(&[4], "services on the host's loopback are closed to pods and to the guest", host_access::closed);
    suite.check(&[4], "they are closed by the guest's own table alone", host_access::open_without_the_table);
    suite.check(&[2], "the agent sets the clock", agent::sets_the_clock);
    suite.check(&[5], "no balloon, 9p or virtiofs is in use", devices::none_that_break_restores);
    suite.check(&[6], "modules that Kubernetes needs are there by name", power::modules);
    suite.check(&[6], "files that components and containers expect of a host are there", host_files::files);
    suite.check(&[6], "commands that components call are there", host_files::commands);
    suite.check(&[6], "nft prints protocols as kube-proxy reads them", host_files::nft_prints_what_kube_proxy_reads);
    suite.check_any(&[3, 5], "it goes on in another QEMU, saved and restored", LiveGuest::save_and_restore);
    suite.check(&[3], "keys, host key and data are those of the QEMU that runs now", ssh::after_the_restore);
    suite.check(&[4, 5], "the host's loopback is closed after the restore, too", host_access::closed);
    suite.check(&[5], "its random numbers are reseeded after the restore", devices::reseeded);
    suite.check(&[4, 5], "the Services answer after the restore", api::services_answer);
    suite.check(&[4, 5], "the node stays Ready when the clock steps three days ahead", api::clock_step);
    suite.check(&[6], "the power button powers it off", power::button);
    suite.check(&[1, 6], "the base was only read", boot::base_untouched);
}

/// The checks share one VM.
struct Suite<'a> {
    steps: &'a mut Steps,
    points: &'a Points,
    guest: Option<LiveGuest<'a>>,
}

impl<'a> Suite<'a> {
    /// One check, if all points that it needs are wanted.
    fn check(&mut self, needs: &[u8], name: &str, check: impl FnOnce(&mut LiveGuest<'a>)) {
        self.checked(needs, self.points.have_all(needs), name, check);
    }

    /// One check, if one of the points that need it is wanted.
    fn check_any(&mut self, serves: &[u8], name: &str, check: impl FnOnce(&mut LiveGuest<'a>)) {
        self.checked(serves, serves.iter().any(|point| self.points.have_all(&[*point])), name, check);
    }

    fn checked(&mut self, needs: &[u8], wanted: bool, name: &str, check: impl FnOnce(&mut LiveGuest<'a>)) {
        let name = numbered(needs, name);
        if wanted {
            let guest = &mut self.guest;
            self.steps.run(&name, || check(guest.as_mut().expect("the guest was started")));
        } else {
            self.steps.skip(&name, &format!("only the points {} are wanted", self.points));
        }
    }
}

/// The name of a check with the points that it is for.
fn numbered(points: &[u8], name: &str) -> String {
    let numbers: Vec<String> = points.iter().map(u8::to_string).collect();
    format!("contract {}: {name}", numbers.join(" and "))
}
