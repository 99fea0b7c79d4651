//! The command line, word by word.

use std::path::PathBuf;

use model::BindAddress;
use model::instance::InstanceName;
use model::port::Port;
use proptest::prelude::*;

use super::*;
use crate::Forward;
use crate::machine::FirmwareFile;

fn machine() -> Machine {
    let bind = BindAddress::LOOPBACK;
    Machine {
        name: InstanceName::default(),
        uuid: "6f1b9f0a-7a0e-4f0e-8f5e-0123456789ab".to_owned(),
        pid_file: "/home/ada/shop/.k3s-vm/vm.pid".into(),
        directory: "/home/ada/shop/.k3s-vm/vm".into(),
        version: Version::new(7, 2, 22),
        sandbox: true,
        accelerator: Accelerator::Tcg,
        cpus: 2,
        memory: 2 << 30,
        memory_backend: MemoryBackend::Ram,
        kernel: "/home/ada/.cache/k3s-vm/images/1f/kernel".into(),
        initrd: "/home/ada/.cache/k3s-vm/images/1f/initrd".into(),
        kernel_command_line: "console=ttyS0 root=/dev/vda rw".to_owned(),
        disk: "disk.qcow2".into(),
        forwards: vec![
            Forward { bind, host: Port::literal(6443), guest: 6443 },
            Forward { bind, host: Port::literal(2666), guest: 22 },
            Forward { bind, host: Port::literal(30080), guest: 30080 },
        ],
        firmware_files: vec![FirmwareFile {
            name: "opt/k3s-vm/authorized_keys".to_owned(),
            path: "authorized_keys".into(),
        }],
        host_access: false,
    }
}

/// One option a line.
fn lines(machine: &Machine) -> String {
    let mut lines = String::new();
    for word in arguments(machine) {
        let word = word.to_string_lossy().into_owned();
        lines.push_str(if word.starts_with('-') { "\n" } else { " " });
        lines.push_str(&word);
    }
    lines.trim_start().to_owned()
}

/// The value of the first `option` that contains `part`.
fn value(machine: &Machine, option: &str, part: &str) -> String {
    let words = arguments(machine);
    words
        .windows(2)
        .map(|pair| (pair[0].to_string_lossy(), pair[1].to_string_lossy()))
        .find(|(name, value)| name == option && value.contains(part))
        .map(|(_, value)| value.into_owned())
        .unwrap_or_else(|| panic!("no {option} with {part} in {words:?}"))
}

#[test]
fn the_whole_command_line() {
    insta::assert_snapshot!(lines(&machine()), @r#"
    -name k3s-vm
    -uuid 6f1b9f0a-7a0e-4f0e-8f5e-0123456789ab
    -pidfile /home/ada/shop/.k3s-vm/vm.pid
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    -nodefaults
    -no-user-config
    -display none
    -machine pc-q35-7.2,memory-backend=ram0,usb=off,vmport=off
    -accel tcg,thread=multi,tb-size=512
    -cpu max,-cx16
    -smp cpus=2,sockets=1,cores=2,threads=1
    -m 2048M
    -object {"qom-type":"memory-backend-ram","id":"ram0","size":2147483648}
    -rtc base=utc
    -action panic=exit-failure
    -kernel /home/ada/.cache/k3s-vm/images/1f/kernel
    -initrd /home/ada/.cache/k3s-vm/images/1f/initrd
    -append console=ttyS0 root=/dev/vda rw maxcpus=1
    -fw_cfg name=opt/k3s-vm/authorized_keys,file=authorized_keys
    -fw_cfg name=opt/k3s-vm/host_access,string=closed
    -chardev stdio,id=console,signal=off
    -device {"driver":"isa-serial","index":0,"chardev":"console"}
    -device {"driver":"vmgenid","guid":"auto"}
    -device {"driver":"pvpanic"}
    -blockdev {"driver":"file","node-name":"disk-file","filename":"disk.qcow2","discard":"unmap","cache":{"direct":false,"no-flush":false}}
    -blockdev {"driver":"qcow2","node-name":"disk","file":"disk-file","discard":"unmap","cache":{"direct":false,"no-flush":false}}
    -device {"driver":"virtio-blk-pci","id":"root-disk","drive":"disk","bus":"pcie.0","addr":"0x2"}
    -netdev {"type":"user","id":"net0","ipv6":false,"hostfwd":[{"str":"tcp:127.0.0.1:6443-:6443"},{"str":"tcp:127.0.0.1:2666-:22"},{"str":"tcp:127.0.0.1:30080-:30080"}]}
    -device {"driver":"virtio-net-pci","id":"nic","netdev":"net0","mac":"52:54:00:6b:33:73","romfile":"","bus":"pcie.0","addr":"0x3"}
    -chardev socket,id=agent,path=agent.sock,server=on,wait=off
    -device {"driver":"virtio-serial-pci","id":"ports","bus":"pcie.0","addr":"0x4"}
    -device {"driver":"virtserialport","bus":"ports.0","nr":1,"chardev":"agent","name":"org.qemu.guest_agent.0"}
    -object {"qom-type":"rng-builtin","id":"entropy"}
    -device {"driver":"virtio-rng-pci","id":"rng","rng":"entropy","bus":"pcie.0","addr":"0x5"}
    -qmp unix:qmp.sock,server=on,wait=off
    -action reboot=shutdown
    "#);
}

#[test]
fn a_qemu_that_waits_for_a_saved_state_has_the_same_devices_no_ports_and_a_paused_guest() {
    let without_ports = Machine { forwards: Vec::new(), ..machine() };
    let (started, waiting) = (arguments(&without_ports), waiting_arguments(&machine()));
    assert_eq!(waiting[..started.len()], started);
    assert_eq!(waiting[started.len()..], ["-incoming", "defer", "-S"]);
}

#[test]
fn a_saved_state_depends_on_no_name_path_or_port_of_the_instance() {
    let words = lasting_arguments(&machine()).join(" ");
    for part in ["/", "6f1b9f0a", "6443", "2666", "30080"] {
        assert!(!words.replace("opt/k3s-vm/", "").replace("/dev/vda", "").contains(part), "{part}: {words}");
    }
    assert!(words.contains("-m 2048M") && words.contains("name=opt/k3s-vm/authorized_keys,file=file"), "{words}");
}

#[test]
fn a_saved_state_depends_neither_on_the_sandbox_nor_on_the_action_at_a_reset() {
    let without = Machine { sandbox: false, ..machine() };
    assert!(!arguments(&without).iter().any(|word| word == "-sandbox"));
    assert_eq!(lasting_arguments(&without), lasting_arguments(&machine()));
    let lasting = lasting_arguments(&machine()).join(" ");
    assert!(!lasting.contains("sandbox") && !lasting.contains("reboot"), "{lasting}");
}

#[test]
fn the_seeds_pattern_finds_every_instance() {
    let mut machine = machine();
    machine.name = InstanceName::with_suffix("ci").unwrap();
    assert!(lines(&machine).starts_with("-name k3s-vm-ci\n"));
}

#[test]
fn kvm_uses_the_hosts_cpu() {
    let mut machine = machine();
    machine.accelerator = Accelerator::Kvm;
    assert_eq!(value(&machine, "-accel", ""), "kvm");
    assert_eq!(value(&machine, "-cpu", ""), "host");
}

#[test]
fn the_guest_that_tests_kvm_has_the_same_board_and_no_port_disk_or_socket() {
    let machine = Machine { accelerator: Accelerator::Kvm, ..machine() };
    let probe = ProbeMachine {
        version: machine.version,
        sandbox: true,
        accelerator: machine.accelerator,
        cpus: machine.cpus,
        kernel: &machine.kernel,
        kernel_command_line: &machine.kernel_command_line,
    };
    let words: Vec<String> = probe_arguments(&probe).iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let whole = words.join(" ").replace(" -", "\n-");
    insta::assert_snapshot!(whole, @r#"
    -name k3s-vm-kvm-test
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
    -nodefaults
    -no-user-config
    -display none
    -machine pc-q35-7.2,memory-backend=ram0,usb=off,vmport=off
    -accel kvm
    -cpu host
    -smp cpus=2,sockets=1,cores=2,threads=1
    -m 256M
    -object {"qom-type":"memory-backend-ram","id":"ram0","size":268435456}
    -rtc base=utc
    -action panic=exit-failure
    -action reboot=shutdown
    -kernel /home/ada/.cache/k3s-vm/images/1f/kernel
    -initrd initrd
    -append console=ttyS0 root=/dev/vda rw console=ttyS0 rdinit=/init
    -chardev stdio,id=console,signal=off
    -device {"driver":"isa-serial","index":0,"chardev":"console"}
    "#);
    for option in ["-machine", "-accel", "-cpu", "-smp"] {
        let found = words.windows(2).find(|pair| pair[0] == option).map(|pair| pair[1].clone());
        assert_eq!(found, Some(value(&machine, option, "")), "{option} is not that of the VM");
    }
}

#[test]
fn paths_with_special_characters_stay_whole() {
    let directory = "/tmp/a, b=c/\"quoted\" 'x' \\ ümläut 网";
    let mut machine = machine();
    machine.pid_file = format!("{directory}/vm.pid").into();
    machine.kernel = format!("{directory}/kernel").into();
    machine.disk = format!("{directory}/disk.qcow2").into();
    machine.firmware_files[0].path = format!("{directory}/keys").into();
    insta::assert_snapshot!(value(&machine, "-pidfile", ""), @r#"/tmp/a, b=c/"quoted" 'x' \ ümläut 网/vm.pid"#);
    insta::assert_snapshot!(value(&machine, "-kernel", ""), @r#"/tmp/a, b=c/"quoted" 'x' \ ümläut 网/kernel"#);
    insta::assert_snapshot!(value(&machine, "-blockdev", "disk-file"), @r#"{"driver":"file","node-name":"disk-file","filename":"/tmp/a, b=c/\"quoted\" 'x' \\ ümläut 网/disk.qcow2","discard":"unmap","cache":{"direct":false,"no-flush":false}}"#);
    insta::assert_snapshot!(value(&machine, "-fw_cfg", ""), @r#"name=opt/k3s-vm/authorized_keys,file=/tmp/a,, b=c/"quoted" 'x' \ ümläut 网/keys"#);
}

#[test]
fn ram_in_a_file_is_opened_as_its_version_allows() {
    let mut machine = machine();
    machine.memory_backend = MemoryBackend::File("ram".into());
    insta::assert_snapshot!(value(&machine, "-object", "ram0"), @r#"{"qom-type":"memory-backend-file","id":"ram0","size":2147483648,"mem-path":"ram","share":false}"#);
    machine.version = Version::new(8, 2, 0);
    insta::assert_snapshot!(value(&machine, "-object", "ram0"), @r#"{"qom-type":"memory-backend-file","id":"ram0","size":2147483648,"mem-path":"ram","share":false,"readonly":true,"rom":"off"}"#);
}

#[test]
fn paths_that_are_not_text_are_refused() {
    let mut machine = machine();
    machine.check().unwrap();
    machine.disk = PathBuf::from(OsString::from_vec(b"/tmp/\xff/disk.qcow2".to_vec()));
    insta::assert_snapshot!(machine.check().unwrap_err(), @"QEMU cannot open /tmp/�/disk.qcow2: its options carry only paths that are valid UTF-8");
}

proptest! {
    /// QEMU reads the same path, whatever characters it has.
    #[test]
    fn json_and_doubled_commas_carry_any_path(path in "/[^\0]{1,40}") {
        let mut machine = machine();
        machine.disk = PathBuf::from(&path);
        machine.firmware_files[0].path = PathBuf::from(&path);
        let blockdev: Value = serde_json::from_str(&value(&machine, "-blockdev", "disk-file")).unwrap();
        prop_assert_eq!(blockdev["filename"].as_str(), Some(path.as_str()));
        let firmware = value(&machine, "-fw_cfg", "");
        let file = firmware.strip_prefix("name=opt/k3s-vm/authorized_keys,file=").unwrap();
        prop_assert_eq!(file.replace(",,", "\0").find(','), None);
        prop_assert_eq!(file.replace(",,", ","), path);
    }
}
