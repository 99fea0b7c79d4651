//! Launches with obstacles: a port that is taken at the last moment, a state file that cannot be written, a QEMU
//! without a system call filter, files that the caller holds open.

use std::path::Path;
use std::process::{Command, Stdio};

use testkit::Script;

use crate::idle::all_supervisors;
use crate::process::{is_alive, pid, until};
use crate::setup::Setup;

/// A QEMU that opens its ports, and fails to open the first one at the first `times` starts.
fn overtaken(times: u32) -> Script {
    Script { listen: true, overtaken: times, ..Script::default() }
}

fn ports(setup: &Setup, name: &str) -> serde_json::Value {
    serde_json::from_str(&setup.project.read(format!(".k3s-vm/instances/{name}/ports.json"))).unwrap()
}

#[test]
fn a_fork_whose_chosen_port_was_taken_in_between_gave_up() {
    let setup = Setup::new(&overtaken(0));
    setup.says(&["start", "--no-wait", "--name", "one"], 0);
    let first = ports(&setup, "one");
    setup.says(&["delete", "--name", "one"], 0);
    // The same name has the same first choice; the first and the second choice are taken.
    setup.script(&overtaken(2));
    setup.says(&["start", "--no-wait", "--name", "one"], 0);
    let third = ports(&setup, "one");
    let status = setup.json(&["status", "--name", "one", "-o", "json"]);
    assert_eq!(status["state"], "running");
    for key in ["api", "ssh", "web"] {
        // The search wraps around after three thousand times three ports.
        let number = |ports: &serde_json::Value| ports[key].as_i64().unwrap();
        let distance = (number(&third) - number(&first)).rem_euclid(9000);
        assert!(distance >= 6 && distance.rem_euclid(3) == 0, "{key}: {first}, then {third}");
    }
    // An existing instance keeps its ports, and the error names who holds one.
    setup.says(&["stop", "--name", "one", "--power-off"], 0);
    setup.script(&overtaken(3));
    setup.says(&["start", "--no-wait", "--name", "one"], 6);
    assert_eq!(ports(&setup, "one"), third);
    setup.says(&["delete", "--name", "one"], 0);
}

#[test]
fn a_port_of_the_configuration_is_never_exchanged_for_another() {
    let setup = Setup::new(&overtaken(1));
    let text = setup.says(&["start", "--no-wait"], 6);
    assert!(text.contains("API_PORT on 127.0.0.1 is taken"), "{text}");
    // Nor is one that was configured for a named instance.
    setup.script(&overtaken(2));
    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let held = holder.local_addr().unwrap().port().to_string();
    setup.says(&["start", "--no-wait", "--name", "two", "--set", &format!("ports.api={held}")], 6);
}

/// The processes with this working directory.
fn working_in(directory: &Path) -> Vec<u64> {
    let pids = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory)).collect()
}

#[test]
fn a_launch_whose_state_file_could_not_be_written_left_an_unknown_qemu() {
    let setup = Setup::new(&Script { spoil: Some("state.json".to_owned()), ..Script::default() });
    let text = setup.says(&["start", "--no-wait"], 1);
    assert!(text.contains("state.json"), "{text}");
    assert!(Script::calls(&setup.vm_dir()).contains(&"qmp_capabilities".to_owned()), "QEMU ran");
    assert_eq!(working_in(&setup.vm_dir()), [0_u64; 0], "a process was left behind");
    // Once it can be written, a start works.
    setup.script(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
}

fn words(pid: u64) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap()).replace('\0', " ")
}

#[test]
fn a_qemu_without_a_system_call_filter_is_reported_and_used() {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    assert!(
        words(pid(&setup))
            .contains(" -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny ")
    );
    let setup = Setup::new(&Script { sandbox: false, ..Script::default() });
    let text = setup.says(&["start", "--no-wait"], 0);
    let warning = "QEMU runs without its filter of system calls, since it has none here: \
                -sandbox support is not enabled in this QEMU binary";
    assert!(text.contains(warning), "{text}");
    assert!(!words(pid(&setup)).contains("-sandbox"));
}

/// Whether the process holds `file` open.
fn holds(pid: u64, file: &Path) -> bool {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok()).any(|open| open == file)
}

/// The program under a shell that holds `file` open under a small number and a large one.
fn holding(setup: &Setup, file: &Path, arguments: &[&str]) -> Command {
    let program = setup.command(arguments);
    let mut command = Command::new("bash");
    command.args(["-c", "exec 9<\"$1\" 57<\"$1\"; shift; exec \"$@\"", "bash"]).arg(file);
    command.arg(program.get_program()).args(arguments).current_dir(setup.project.root()).stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn a_file_that_the_caller_held_open_stayed_open_and_locked_in_qemu_for_days() {
    let setup = Setup::new(&Script::default());
    setup.project.write("lock", "what the caller holds\n");
    let file = setup.project.root().join("lock");
    assert!(holding(&setup, &file, &["start", "--no-wait"]).output().unwrap().status.success());
    let vm = pid(&setup);
    assert!(!holds(vm, &file), "QEMU holds it");
    until(|| !all_supervisors(&setup).is_empty());
    for (supervisor, words) in all_supervisors(&setup) {
        assert!(!holds(supervisor, &file), "{words:?} holds it");
    }
    // The user's program inherits the file.
    setup.program("ssh", "#!/bin/bash\ncat <&9; cat <&57\n");
    let output = holding(&setup, &file, &["ssh", "true"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "what the caller holds\nwhat the caller holds\n");
}

#[test]
fn a_file_that_the_caller_held_open_reached_the_reaper_of_a_fork() {
    let agent = testkit::script::AgentScript { absent: true, ..Default::default() };
    let setup = Setup::new(&Script { agent, ..Script::default() });
    setup.project.write("lock", "");
    let file = setup.project.root().join("lock");
    let mut run =
        holding(&setup, &file, &["run", "--timeout", "10m", "--", "true"]).stderr(Stdio::null()).spawn().unwrap();
    let mine = u64::from(run.id());
    let root = setup.project.root().display().to_string();
    let others = || -> Vec<(u64, String)> {
        let pids =
            std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let command_line = |pid: u64| {
            String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
                .replace('\0', " ")
        };
        pids.filter(|pid| *pid != mine)
            .map(|pid| (pid, command_line(pid)))
            .filter(|(_, words)| words.contains(&root))
            .collect()
    };
    let started = |word: &str| others().iter().any(|(_, words)| words.contains(word) && !words.contains("become-in"));
    until(|| started(" reaper ") && started(" supervisor") && started(" -uuid "));
    assert!(holds(mine, &file), "the test sees who holds it");
    for (pid, words) in others() {
        assert!(!holds(pid, &file), "{words} holds it");
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&run), rustix::process::Signal::INT).unwrap();
    run.wait().unwrap();
    until(|| others().iter().all(|(pid, _)| !is_alive(*pid)));
}
