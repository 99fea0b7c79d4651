//! The verbs with a scripted fake of QEMU: output and exit codes when things go wrong.
#![allow(clippy::unwrap_used)]

mod accelerator;
mod damage;
mod dry_runs;
mod ends;
mod errors;
mod forwards;
mod host_access;
mod idle;
mod interrupted_restores;
mod interrupts;
mod isolation;
mod kubectl;
mod kvm_host;
mod launches;
mod locks;
mod nix;
mod orphans;
mod paths;
mod ports;
mod process;
mod release;
mod services;
mod setup;
mod snapshots;
mod state;
mod storage;
mod suspends;
mod unwatched;
mod user_files;
