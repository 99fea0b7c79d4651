//! The verbs against a scripted fake of QEMU: what a user reads and which exit code a script gets when things go wrong.
#![allow(clippy::unwrap_used)]

mod accelerator;
mod faults;
mod kvm_host;
mod setup;
mod state;
