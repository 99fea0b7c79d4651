//! The supervisor: a process of this program beside every VM. It ends with the VM.
//!
//! While no command runs, it bounds the log, allows resets of the guest and resumes a paused guest when somebody
//! connects to it. With `auto_pause` it pauses a guest that nobody uses. Nothing depends on it: if it was killed, the
//! next verb does its work and starts another one.

pub mod run;
mod unattended;
