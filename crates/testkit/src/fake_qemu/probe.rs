//! The fake as the guest that tests KVM: it prints the nonce of its initial RAM disk, or does not.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use super::calls::say;
use crate::script::Probe;

/// The beginning of the nonce in the initial RAM disk.
const NONCE: &[u8] = b"k3s-vm nonce ";

/// Whether the command line is that of such a guest: it has no monitor.
pub(super) fn is_meant(words: &[OsString]) -> bool {
    !words.iter().any(|word| word == "-qmp")
}

/// Acts as the guest.
pub(super) fn run(script: &Probe, words: &[OsString]) -> ExitCode {
    match script {
        Probe::Print => match nonce(words) {
            Some(line) => ExitCode::from(u8::from(std::io::stdout().write_all(&line).is_err())),
            None => {
                say("qemu-system-x86_64: the initial RAM disk has no nonce");
                ExitCode::FAILURE
            }
        },
        Probe::Hang(console) => {
            let _ = std::io::stdout().write_all(console.as_bytes());
            loop {
                std::thread::park();
            }
        }
        Probe::Die(death) => {
            say(&death.stderr);
            ExitCode::from(death.code)
        }
    }
}

/// The line with the nonce in the file that `-initrd` names.
fn nonce(words: &[OsString]) -> Option<Vec<u8>> {
    let initrd = &words.windows(2).find(|pair| pair[0] == "-initrd")?[1];
    let bytes = std::fs::read(initrd).ok()?;
    let begin = bytes.windows(NONCE.len()).position(|window| window == NONCE)?;
    let length = bytes[begin..].iter().position(|byte| *byte == b'\n')? + 1;
    Some(bytes[begin..begin + length].to_vec())
}
