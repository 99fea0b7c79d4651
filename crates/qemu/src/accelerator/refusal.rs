//! Why KVM is not used: the reason, the details, and what the user can do.

use std::time::Duration;

use model::error::LogTail;
use model::{Error, ErrorClass};
use serde::{Deserialize, Serialize};

/// Texts of QEMU for what may pass by itself: another hypervisor uses the CPU's virtualisation, the host is short of
/// memory, a security module denies access.
const PASSING: [&str; 4] = ["resource busy", "allocate memory", "Permission denied", "Operation not permitted"];

/// Why KVM is not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
pub enum Refusal {
    /// There is no device.
    NoDevice {
        /// Its path.
        device: String,
    },
    /// The device does not open, and not for lack of permission.
    Unusable {
        /// Its path.
        device: String,
        /// The reason that the system gives.
        why: String,
    },
    /// This user lacks the permission to open the device.
    Forbidden {
        /// Its path.
        device: String,
        /// The permission that is missing.
        permission: Permission,
    },
    /// The device opens, but the test guest did not print its line.
    Hangs {
        /// How long the test waited.
        waited: Duration,
        /// The last lines of its console and of QEMU.
        console: Vec<String>,
    },
    /// QEMU ended before the guest had printed its line.
    Dies {
        /// Its most telling line.
        words: String,
        /// The last lines of the guest's console and of QEMU.
        console: Vec<String>,
    },
}

/// What this user lacks to open the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Permission {
    /// Membership in the group of this name.
    Group(String),
    /// Membership in the group of this number, which has no name on this host.
    NamelessGroup(u32),
    /// The device's mode, which gives access to no group that a user could join.
    Mode(u32),
    /// The container was not given the device (device cgroup).
    Container,
}

impl Refusal {
    /// The reason in a few words.
    pub fn reason(&self) -> String {
        match self {
            Refusal::NoDevice { device } => format!("there is no {device}"),
            Refusal::Unusable { device, .. } => format!("{device} does not open"),
            Refusal::Forbidden { device, .. } => format!("no permission for {device}"),
            Refusal::Hangs { .. } => "guests hang on this host".to_owned(),
            Refusal::Dies { .. } => "QEMU dies under it".to_owned(),
        }
    }

    /// More about the reason.
    fn detail(&self) -> Option<String> {
        match self {
            Refusal::NoDevice { .. } => None,
            Refusal::Unusable { why, .. } => Some(why.clone()),
            Refusal::Forbidden { permission, .. } => Some(match permission {
                Permission::Group(name) => format!("it is open to the group {name}"),
                Permission::NamelessGroup(number) => {
                    format!("it is open to the group {number}, which has no name here")
                }
                Permission::Mode(mode) => format!("no group that one could join may open it (mode {mode:04o})"),
                Permission::Container => "the container that this runs in was not given it".to_owned(),
            }),
            Refusal::Hangs { waited, .. } => {
                let waited = humantime::format_duration(*waited);
                Some(format!("the device opens, but a guest that was to print one line was silent for {waited}"))
            }
            Refusal::Dies { words, .. } => Some(words.clone()),
        }
    }

    /// A command that gives access to KVM, and a remark on it.
    fn advice(&self) -> Option<(String, &'static str)> {
        const JOINED: &str = "then log in anew";
        let join = |group: &str| format!("sudo usermod -aG {group} \"$USER\"");
        Some(match self {
            Refusal::NoDevice { .. } | Refusal::Unusable { .. } => (
                "sudo modprobe kvm_intel".to_owned(),
                "or kvm_amd; if that fails, turn on virtualisation in the firmware, or nested virtualisation where this \
                 host is itself a VM",
            ),
            Refusal::Forbidden { device, permission } => match permission {
                Permission::Group(name) => (join(name), JOINED),
                Permission::NamelessGroup(number) => {
                    (format!("sudo groupadd --gid {number} kvm && {}", join("kvm")), JOINED)
                }
                Permission::Mode(_) => {
                    (format!("sudo chgrp kvm {device} && sudo chmod 0660 {device} && {}", join("kvm")), JOINED)
                }
                Permission::Container => {
                    ("docker run --device /dev/kvm …".to_owned(), "or as your container tool has it")
                }
            },
            Refusal::Hangs { .. } | Refusal::Dies { .. } => return None,
        })
    }

    /// A note for the user: the VM is emulated, and why.
    pub fn note(&self) -> String {
        let detail = self.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let advice = self.advice().map(|(step, word)| format!("; to change that: {step} ({word})")).unwrap_or_default();
        format!("the VM is emulated, which is several times slower than KVM: {}{detail}{advice}", self.reason())
    }

    /// The error where the configuration demands KVM.
    pub fn error(&self) -> Error {
        let mut error = Error::new(ErrorClass::Host, format!("KVM cannot be used: {}", self.reason()));
        if let Some(detail) = self.detail() {
            error = error.because(detail);
        }
        if let Refusal::Hangs { console, .. } | Refusal::Dies { console, .. } = self
            && !console.is_empty()
        {
            let source = "the test guest's console".to_owned();
            error = error.with_log(LogTail { source, lines: console.clone() });
        }
        if let Some((step, word)) = self.advice() {
            error = error.next(format!("{step}    # {word}"));
        }
        error = match self {
            Refusal::Hangs { .. } => {
                error.next("k3s-vm start --set timeouts.kvm_test=1m    # tests again with more time, for a slow host")
            }
            Refusal::Dies { .. } => error.next("k3s-vm --debug start    # tests again and shows the command"),
            _ => error,
        };
        error.next("k3s-vm start --accel auto    # emulates where KVM does not work")
    }

    /// Whether it is saved as a verdict until the host reboots. What is found again at once, or may pass by itself, is not.
    pub(super) fn is_lasting(&self) -> bool {
        match self {
            Refusal::NoDevice { .. } | Refusal::Unusable { .. } | Refusal::Forbidden { .. } => false,
            Refusal::Hangs { .. } => true,
            Refusal::Dies { console, .. } => {
                !console.iter().any(|line| PASSING.iter().any(|passing| line.contains(passing)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(refusal: &Refusal) -> String {
        let error = refusal.error();
        let steps: String = error.next_steps().iter().map(|step| format!("\n-> {step}")).collect();
        format!("{error}{steps}\nNote: {}", refusal.note())
    }

    fn forbidden(permission: Permission) -> Refusal {
        Refusal::Forbidden { device: "/dev/kvm".to_owned(), permission }
    }

    #[test]
    fn each_permission_has_its_own_remedy() {
        insta::assert_snapshot!(told(&forbidden(Permission::Group("virt".to_owned()))), @r#"
        KVM cannot be used: no permission for /dev/kvm: it is open to the group virt
        -> sudo usermod -aG virt "$USER"    # then log in anew
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: no permission for /dev/kvm: it is open to the group virt; to change that: sudo usermod -aG virt "$USER" (then log in anew)
        "#);
        insta::assert_snapshot!(told(&forbidden(Permission::NamelessGroup(104))), @r#"
        KVM cannot be used: no permission for /dev/kvm: it is open to the group 104, which has no name here
        -> sudo groupadd --gid 104 kvm && sudo usermod -aG kvm "$USER"    # then log in anew
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: no permission for /dev/kvm: it is open to the group 104, which has no name here; to change that: sudo groupadd --gid 104 kvm && sudo usermod -aG kvm "$USER" (then log in anew)
        "#);
        insta::assert_snapshot!(told(&forbidden(Permission::Mode(0o600))), @r#"
        KVM cannot be used: no permission for /dev/kvm: no group that one could join may open it (mode 0600)
        -> sudo chgrp kvm /dev/kvm && sudo chmod 0660 /dev/kvm && sudo usermod -aG kvm "$USER"    # then log in anew
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: no permission for /dev/kvm: no group that one could join may open it (mode 0600); to change that: sudo chgrp kvm /dev/kvm && sudo chmod 0660 /dev/kvm && sudo usermod -aG kvm "$USER" (then log in anew)
        "#);
        insta::assert_snapshot!(told(&forbidden(Permission::Container)), @r"
        KVM cannot be used: no permission for /dev/kvm: the container that this runs in was not given it
        -> docker run --device /dev/kvm …    # or as your container tool has it
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: no permission for /dev/kvm: the container that this runs in was not given it; to change that: docker run --device /dev/kvm … (or as your container tool has it)
        ");
    }

    #[test]
    fn a_device_that_is_missing_or_does_not_open_is_named() {
        let device = "/dev/kvm".to_owned();
        insta::assert_snapshot!(told(&Refusal::NoDevice { device: device.clone() }), @r"
        KVM cannot be used: there is no /dev/kvm
        -> sudo modprobe kvm_intel    # or kvm_amd; if that fails, turn on virtualisation in the firmware, or nested virtualisation where this host is itself a VM
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: there is no /dev/kvm; to change that: sudo modprobe kvm_intel (or kvm_amd; if that fails, turn on virtualisation in the firmware, or nested virtualisation where this host is itself a VM)
        ");
        insta::assert_snapshot!(told(&Refusal::Unusable { device, why: "No such device".to_owned() }), @r"
        KVM cannot be used: /dev/kvm does not open: No such device
        -> sudo modprobe kvm_intel    # or kvm_amd; if that fails, turn on virtualisation in the firmware, or nested virtualisation where this host is itself a VM
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: /dev/kvm does not open: No such device; to change that: sudo modprobe kvm_intel (or kvm_amd; if that fails, turn on virtualisation in the firmware, or nested virtualisation where this host is itself a VM)
        ");
    }

    #[test]
    fn the_result_of_the_test_guest_is_shown() {
        insta::assert_snapshot!(told(&Refusal::Hangs { waited: Duration::from_secs(15), console: Vec::new() }), @r"
        KVM cannot be used: guests hang on this host: the device opens, but a guest that was to print one line was silent for 15s
        -> k3s-vm start --set timeouts.kvm_test=1m    # tests again with more time, for a slow host
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: guests hang on this host: the device opens, but a guest that was to print one line was silent for 15s
        ");
        let words = "error: failed to set MSR 0x10a to 0x0".to_owned();
        insta::assert_snapshot!(told(&Refusal::Dies { words: words.clone(), console: vec![words] }), @r"
        KVM cannot be used: QEMU dies under it: error: failed to set MSR 0x10a to 0x0
        -> k3s-vm --debug start    # tests again and shows the command
        -> k3s-vm start --accel auto    # emulates where KVM does not work
        Note: the VM is emulated, which is several times slower than KVM: QEMU dies under it: error: failed to set MSR 0x10a to 0x0
        ");
    }

    #[test]
    fn what_may_pass_by_itself_is_not_lasting() {
        let dies = |line: &str| Refusal::Dies { words: line.to_owned(), console: vec![line.to_owned()] }.is_lasting();
        assert!(dies("error: failed to set MSR 0x10a to 0x0"));
        assert!(!dies("ioctl(KVM_CREATE_VM) failed: 16 Device or resource busy"));
        assert!(!dies("Could not access KVM kernel module: Permission denied"));
        assert!(!forbidden(Permission::Container).is_lasting());
        assert!(Refusal::Hangs { waited: Duration::from_secs(15), console: Vec::new() }.is_lasting());
    }
}
