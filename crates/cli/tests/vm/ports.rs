//! A port that another process holds: the error names it and what to type.

use std::net::{Ipv6Addr, TcpListener};

use testkit::Script;

use crate::isolation::{isolated, skip};
use crate::process::{Stranger, is_alive, pid};
use crate::setup::Setup;

/// A QEMU that opens its ports.
fn listening() -> Script {
    Script { listen: true, ..Script::default() }
}

/// The error of a start, without the steps before it.
fn error(setup: &Setup) -> String {
    let text = setup.says(&["start", "--no-wait"], 6);
    text[text.find("Error:").expect("an error")..].to_owned()
}

/// A program, `web-server` by name, that listens on `port`, as `user` if root may become that.
fn listener(setup: &Setup, address: &str, port: u16, user: Option<u32>) -> Stranger {
    let network = format!(r#"{{"type":"user","id":"n","hostfwd":[{{"str":"tcp:{address}:{port}-:80"}}]}}"#);
    setup.foreign_qemu("web-server", &["-netdev", &network], port, user)
}

#[test]
fn another_program_on_one_port() {
    let setup = Setup::new(&listening());
    let _holder = listener(&setup, "127.0.0.1", setup.api, None);
    insta::assert_snapshot!(error(&setup), @r#"
    Error: API_PORT on 127.0.0.1 is taken
      pid PID is `web-server -qmp unix:qmp.sock,server=on -netdev {"type":"user","id":"n","hostfwd":[{"str":"tcp:127.0.0.1:API_PORT-:80"}]}`; it listens on 127.0.0.1:API_PORT

    Next: kill PID    # if you can do without it
    Next: or choose another port: ports.api in .k3s-vm/config.toml
    "#);
}

#[test]
fn another_users_program() {
    // Only root can start a process of another user. What other users see is tested in the engine.
    if !is_root() {
        return skip("only root can start a program as another user");
    }
    isolated("ports::another_users_program", || {
        let setup = Setup::new(&listening());
        let holder = listener(&setup, "127.0.0.1", setup.ssh, Some(65534));
        insta::assert_snapshot!(error(&setup), @r#"
    Error: SSH_PORT on 127.0.0.1 is taken
      pid PID of user nobody is `web-server -qmp unix:qmp.sock,server=on -netdev {"type":"user","id":"n","hostfwd":[{"str":"tcp:127.0.0.1:SSH_PORT-:80"}]}`; it listens on 127.0.0.1:SSH_PORT

    Next: sudo kill PID    # if that user can do without it
    Next: or choose another port: ports.ssh in .k3s-vm/config.toml
    "#);
        setup.says(&["reset", "--no-wait"], 6);
        assert!(holder.is_alive());
    });
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t0"))
}

#[test]
fn a_wildcard_listener_is_in_the_way() {
    let setup = Setup::new(&listening());
    let _holder = listener(&setup, "0.0.0.0", setup.api, None);
    insta::assert_snapshot!(error(&setup), @r#"
    Error: API_PORT on 127.0.0.1 is taken
      pid PID is `web-server -qmp unix:qmp.sock,server=on -netdev {"type":"user","id":"n","hostfwd":[{"str":"tcp:0.0.0.0:API_PORT-:80"}]}`; it listens on 0.0.0.0:API_PORT

    Next: kill PID    # if you can do without it
    Next: or choose another port: ports.api in .k3s-vm/config.toml
    "#);
}

#[test]
fn listeners_on_other_addresses_are_not_in_the_way() {
    isolated("ports::listeners_on_other_addresses_are_not_in_the_way", || {
        let setup = Setup::new(&listening());
        let _second = TcpListener::bind(("127.0.0.2", setup.api)).unwrap();
        // A machine without IPv6 has no such listener.
        let _sixth = TcpListener::bind((Ipv6Addr::LOCALHOST, setup.ssh));
        setup.says(&["start", "--no-wait"], 0);
        setup.says(&["reset", "--no-wait"], 0);
    });
}

#[test]
fn the_vm_of_another_project() {
    isolated("ports::the_vm_of_another_project", || {
        let other = Setup::new(&listening());
        other.says(&["start", "--no-wait"], 0);
        let vm = pid(&other);
        let setup = Setup::beside(&other, &listening());
        let said = |text: String| text.replace(&other.project.root().display().to_string(), "OTHER");
        insta::assert_snapshot!(said(error(&setup)), @r"
    Error: ports API_PORT, SSH_PORT, WEB_PORT on 127.0.0.1 are taken
      pid PID is the VM k3s-vm of the project OTHER; it listens on 127.0.0.1:API_PORT, 127.0.0.1:SSH_PORT, 127.0.0.1:WEB_PORT

    Next: k3s-vm --project OTHER stop
    Next: or choose another port: ports.api in .k3s-vm/config.toml, ports.ssh in .k3s-vm/config.toml, WEB_PORT in .env
    ");
        setup.says(&["stop"], 0);
        setup.says(&["reset", "--no-wait"], 6);
        assert!(is_alive(vm));
        // The proposed command works.
        let directory = other.project.root().display().to_string();
        setup.says(&["--project", &directory, "stop"], 0);
        setup.says(&["start", "--no-wait"], 0);
    });
}

#[test]
fn a_qemu_that_is_not_of_this_tool() {
    isolated("ports::a_qemu_that_is_not_of_this_tool", || {
        let setup = Setup::new(&listening());
        let network = format!(r#"{{"type":"user","id":"n","hostfwd":[{{"str":"tcp:127.0.0.1:{}-:80"}}]}}"#, setup.web);
        let qemu = setup.foreign_qemu("qemu-system-x86_64", &["-name", "k3s-vm", "-netdev", &network], setup.web, None);
        insta::assert_snapshot!(error(&setup), @r#"
    Error: WEB_PORT on 127.0.0.1 is taken
      pid PID is `qemu-system-x86_64 -qmp unix:qmp.sock,server=on -name k3s-vm -netdev {"type":"user","id":"n","hostfwd":[{"str":"tcp:127.0.0.1:WEB_PORT-:80"}]}`; it listens on 127.0.0.1:WEB_PORT

    Next: kill PID    # if you can do without it
    Next: or choose another port: WEB_PORT in .env
    "#);
        setup.says(&["stop"], 0);
        setup.says(&["reset", "--no-wait"], 6);
        assert!(qemu.is_alive());
    });
}

/// They were `http://localhost:PORT`, where nothing listens with another address, and where ::1 may be another program.
#[test]
fn urls_named_localhost_whatever_the_address_of_the_listeners_was() {
    for (bind, reached) in [("127.0.0.9", "127.0.0.9"), ("0.0.0.0", "127.0.0.1")] {
        let setup = Setup::new(&listening());
        let (web, api) = (format!("http://{reached}:{}", setup.web), format!("https://{reached}:{}", setup.api));
        let started = setup.json(&["start", "--no-wait", "--bind", bind, "-o", "json"]);
        assert_eq!((&started["web"], &started["api"]), (&web.clone().into(), &api.clone().into()), "{bind}");
        // The URL has the address of the running VM, not that of the configuration.
        let status = setup.json(&["status", "-o", "json"]);
        assert_eq!((&status["web"], &status["api"]), (&web.clone().into(), &api.clone().into()), "{bind}");
        let listed = &setup.json(&["list", "-o", "json"])["instances"][0];
        assert_eq!((&listed["web"], &listed["api"]), (&web.into(), &api.into()), "{bind}");
        let config = std::fs::read_to_string(setup.vm_dir().join("ssh.config")).unwrap();
        assert!(config.contains(&format!("\n  HostName {reached}\n")), "{config}");
        std::net::TcpStream::connect((reached, setup.web)).unwrap();
    }
}

#[test]
fn a_reset_with_an_ipv6_bind_destroyed_the_cluster_before_it_failed() {
    let setup = Setup::new(&listening());
    setup.says(&["start", "--no-wait"], 0);
    let before = setup.json(&["status", "-o", "json"]);
    insta::assert_snapshot!(setup.says(&["reset", "--no-wait", "--bind", "::1"], 2), @r"
    Error: the configuration has a mistake
      --bind ::1: an IPv6 address, and QEMU's user network forwards IPv4 only: write 127.0.0.1

    Next: correct it where it stands, then run the command again
    ");
    let after = setup.json(&["status", "-o", "json"]);
    assert_eq!((&before["state"], &before["pid"]), (&after["state"], &after["pid"]));
    assert_eq!(after["state"], "running");
}

#[test]
fn a_reset_destroyed_the_cluster_before_it_noticed_that_the_address_is_not_one_of_this_host() {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    let pid = pid(&setup);
    // An address of documentation (RFC 5737), which no host has.
    for verb in [
        &["reset", "--no-wait", "--set", "ports.bind=203.0.113.9"][..],
        &["reset", "--dry-run", "--set", "ports.bind=203.0.113.9"],
    ] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(setup.says(verb, 2), @r"
            Error: ports.bind = 203.0.113.9 cannot be used
              it is not an address of this host

            Next: ip -4 address    # shows the addresses of this host
            Next: or leave ports.bind out: the default is 127.0.0.1
            ");
        }
        assert!(is_alive(pid), "the VM was ended");
    }
    // A VM that runs is on the address that it has.
    setup.says(&["start", "--no-wait", "--set", "ports.bind=203.0.113.9"], 0);
}
