//! A port that somebody else holds: who it is, whose, and what to type.

use std::net::{Ipv6Addr, TcpListener};
use std::process::Command;

use testkit::Script;

use crate::process::{Stranger, is_alive, pid};
use crate::setup::Setup;

/// A QEMU that opens its ports.
fn listening() -> Script {
    Script { listen: true, ..Script::default() }
}

/// The fault of a start, without the phases before it.
fn fault(setup: &Setup) -> String {
    let text = setup.says(&["start", "--no-wait"], 6);
    text[text.find("Error:").expect("a fault")..].to_owned()
}

/// A program that listens on `port`; its command line is steady from run to run.
fn listener(address: &str, port: u16) -> Command {
    let mut command = Command::new("python3");
    let script = "import socket,sys; s=socket.create_server((sys.argv[1], int(sys.argv[2]))); print('listens', flush=True); \
                  sys.stdin.read()";
    command.args(["-c", script, address, &port.to_string()]);
    command
}

fn has(program: &str) -> bool {
    use std::io::Write;
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        std::io::stderr().write_all(format!("SKIPPED: {program} is not installed\n").as_bytes()).unwrap();
    }
    found
}

#[test]
fn another_program_on_one_port() {
    if !has("python3") {
        return;
    }
    let setup = Setup::new(&listening());
    let _holder = Stranger::start(listener("127.0.0.1", setup.api));
    insta::assert_snapshot!(fault(&setup), @r"
    Error: API_PORT on 127.0.0.1 is taken
      pid PID is `/root/.pyenv/versions/3.11.7/bin/python3 -c import socket,sys; s=socket.create_server((sys.argv[1], int(sys.argv[2]))); print('listens', flush=True); sys.stdin.`; it listens on 127.0.0.1:API_PORT

    Next: kill PID    # if you can do without it
    Next: or choose another port: ports.api in .k3s-vm/config.toml
    ");
}

#[test]
fn another_users_program() {
    // Only root can become somebody else; what an ordinary user sees of it is a table in the engine.
    if !has("python3") || !is_root() || !has("setpriv") {
        return;
    }
    let setup = Setup::new(&listening());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--clear-groups"]);
    let python = listener("127.0.0.1", setup.ssh);
    command.arg(python.get_program()).args(python.get_args());
    let holder = Stranger::start(command);
    insta::assert_snapshot!(fault(&setup), @"");
    setup.says(&["reset", "--no-wait"], 6);
    assert!(holder.is_alive());
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}

#[test]
fn a_wildcard_listener_is_in_the_way() {
    if !has("python3") {
        return;
    }
    let setup = Setup::new(&listening());
    let _holder = Stranger::start(listener("0.0.0.0", setup.api));
    insta::assert_snapshot!(fault(&setup), @r"
    Error: API_PORT on 127.0.0.1 is taken
      pid PID is `/root/.pyenv/versions/3.11.7/bin/python3 -c import socket,sys; s=socket.create_server((sys.argv[1], int(sys.argv[2]))); print('listens', flush=True); sys.stdin.`; it listens on 0.0.0.0:API_PORT

    Next: kill PID    # if you can do without it
    Next: or choose another port: ports.api in .k3s-vm/config.toml
    ");
}

#[test]
fn listeners_on_other_addresses_are_not_in_the_way() {
    let setup = Setup::new(&listening());
    let _second = TcpListener::bind(("127.0.0.2", setup.api)).unwrap();
    // A machine without IPv6 has nothing to be in the way.
    let _sixth = TcpListener::bind((Ipv6Addr::LOCALHOST, setup.ssh));
    setup.says(&["start", "--no-wait"], 0);
    setup.says(&["reset", "--no-wait"], 0);
}

#[test]
fn the_vm_of_another_project() {
    let other = Setup::new(&listening());
    other.says(&["start", "--no-wait"], 0);
    let vm = pid(&other);
    let setup = Setup::beside(&other, &listening());
    let told = |text: String| text.replace(&other.project.root().display().to_string(), "OTHER");
    insta::assert_snapshot!(told(fault(&setup)), @r"
    Error: ports API_PORT, SSH_PORT, WEB_PORT on 127.0.0.1 are taken
      pid PID is the VM k3s-vm of the project OTHER; it listens on 127.0.0.1:API_PORT, 127.0.0.1:SSH_PORT, 127.0.0.1:WEB_PORT

    Next: k3s-vm --project OTHER stop
    Next: or choose another port: ports.api in .k3s-vm/config.toml, ports.ssh in .k3s-vm/config.toml, WEB_PORT in .env
    ");
    setup.says(&["stop"], 0);
    setup.says(&["reset", "--no-wait"], 6);
    assert!(is_alive(vm));
    // What it says to type works.
    let folder = other.project.root().display().to_string();
    setup.says(&["--project", &folder, "stop"], 0);
    setup.says(&["start", "--no-wait"], 0);
}

#[test]
fn a_qemu_that_is_not_of_this_tool() {
    let setup = Setup::new(&listening());
    let folder = tempfile::tempdir().unwrap();
    let network = format!(r#"{{"type":"user","id":"n","hostfwd":[{{"str":"tcp:127.0.0.1:{}-:80"}}]}}"#, setup.web);
    let mut qemu = setup.foreign_qemu(folder.path(), &["-name", "k3s-vm", "-netdev", &network]);
    insta::assert_snapshot!(fault(&setup), @r#"
    Error: WEB_PORT on 127.0.0.1 is taken
      pid PID is `/tmp/.tmpzKTE4V/qemu-system-x86_64 -qmp unix:qmp.sock,server=on -name k3s-vm -netdev {"type":"user","id":"n","hostfwd":[{"str":"tcp:127.0.0.1:WEB_PORT-:80"}]}`; it listens on 127.0.0.1:WEB_PORT

    Next: kill PID    # if you can do without it
    Next: or choose another port: WEB_PORT in .env
    "#);
    setup.says(&["stop"], 0);
    setup.says(&["reset", "--no-wait"], 6);
    assert!(qemu.try_wait().unwrap().is_none(), "it was ended");
    qemu.kill().unwrap();
    qemu.wait().unwrap();
}
