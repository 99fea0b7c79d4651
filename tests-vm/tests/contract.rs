//! The guest contract, checked on the image in the directory `K3S_VM_CONTRACT_IMAGE`, or on the one of this checkout.
//!
//! `K3S_VM_CONTRACT_POINTS=1,2,6` checks only these points. `K3S_VM_IMAGE_PROVIDER=nix` selects the NixOS guest.

use std::process::ExitCode;

use k3s_vm_tests_vm::contract::{self, Points};
use k3s_vm_tests_vm::steps::Steps;

fn main() -> ExitCode {
    let mut steps = Steps::default();
    let (mut image, points) = (None, Points::from_environment());
    steps.run("there is an image with the files and the manifest that the contract demands", || {
        image = Some(contract::chosen());
    });
    if let Some(image) = &image {
        contract::run(&mut steps, image, &points);
    }
    steps.finish()
}
