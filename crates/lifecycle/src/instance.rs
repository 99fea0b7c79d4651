//! One VM of a project: its lock, its observed state, its files and ports, its launch and end, and the waits for it.

pub(crate) mod accelerator;
pub(crate) mod awake;
pub(crate) mod files;
pub(crate) mod forwards;
pub(crate) mod interrupted_restore;
pub(crate) mod launch;
pub(crate) mod launch_error;
pub(crate) mod lock;
pub(crate) mod machine;
pub mod observe;
pub mod orphans;
pub mod ownership;
pub(crate) mod paused;
pub(crate) mod ports;
pub(crate) mod qmp;
pub mod registry;
pub(crate) mod saved_cluster;
pub(crate) mod shutdown;
pub(crate) mod ssh;
pub(crate) mod state;
pub(crate) mod state_file;
pub(crate) mod supervisor_lock;
pub(crate) mod supervisor_process;
pub(crate) mod suspended_files;
pub(crate) mod vm_log;
pub mod wait;
