//! Tests against the scripted fake and, where they are installed, the real programs. It is one executable, which is linked
//! once.

#![allow(clippy::unwrap_used, reason = "the lint spares tests but not the functions they share")]

mod accelerator;
mod agent;
mod boot_sector;
mod image_info;
mod launch;
mod overlay;
mod power;
mod qmp;
mod real;
mod real_chain;
mod real_disk;
mod real_restore;
mod save;
mod user_network;
mod vm;
mod wake_line;
