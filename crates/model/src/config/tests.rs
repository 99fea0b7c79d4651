//! Tables of configurations and what they resolve to.

use super::*;

fn resolve(text: &str, web_port: Option<&str>) -> Result<Config> {
    let file = Config::parse_file("config.toml", text)?;
    Config::resolve(&file, web_port.map(|port| (port, ".env")))
}

#[test]
fn an_empty_file_gives_the_ports_of_the_documentation() {
    let config = resolve("", Some("30080")).expect("valid");
    assert_eq!((config.ports.api.number(), config.ports.ssh.number(), config.ports.web.number()), (6443, 2666, 30080));
    assert!(config.ports.bind.is_loopback());
    assert_eq!(config.inject, InjectMode::Secret);
}

#[test]
fn the_file_wins_over_dot_env() {
    assert_eq!(resolve("ports.web = 31000", Some("30080")).expect("valid").ports.web.number(), 31000);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "version = 2\nports.api = 70000\nports.bind = \"here\"\nvm.cpus = 0\nvm.memory = \"1 GB\"\nvm.accel = \"hvf\"\n\
                image.disk = \"lots\"\ninject.mode = \"file\"\ntimeouts.start = \"soon\"\n[[images]]\nname = \"a\"\n";
    let fault = resolve(text, Some("web")).expect_err("mistakes");
    insta::assert_snapshot!(fault.why().join("\n"), @r#"
    version = 2: this k3s-vm reads version 1
    ports.api = 70000: not a port (1 to 65535)
    WEB_PORT=web in .env: not a port (1 to 65535)
    ports.bind = "here": not an IP address
    vm.cpus = 0: must be 1 to 64
    vm.memory = "1 GB": at least 1.0 GiB is needed
    vm.accel = "hvf": must be one of "auto", "tcg", "kvm"
    image.disk = "lots": not a size such as "4GiB"
    inject.mode = "file": must be one of "secret", "env", "off"
    timeouts.start = "soon": not a duration such as "90s" or "15m"
    images[0] (a): needs either archive or files
    "#);
    assert_eq!(fault.class(), FaultClass::Config);
}

#[test]
fn web_port_must_be_a_port_of_its_own() {
    for (text, port, expected) in [
        ("", None, "WEB_PORT is not set: add a line such as WEB_PORT=30080 to .env"),
        ("", Some("0"), "WEB_PORT=0 in .env: not a port (1 to 65535)"),
        ("ports.api = 30080", Some("30080"), "ports.api and WEB_PORT are both 30080: each needs a port of its own"),
    ] {
        let fault = resolve(text, port).expect_err(expected);
        assert_eq!(fault.why(), [expected]);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let fault = resolve("version = 1\n[ports]\nhttp = 80\n", Some("30080")).expect_err("unknown key");
    insta::assert_snapshot!(fault.why().join("\n"), @r"
    TOML parse error at line 3, column 1
      |
    3 | http = 80
      | ^^^^
    unknown field `http`, expected one of `api`, `ssh`, `web`, `bind`
    ");
}

#[test]
fn an_image_is_an_archive_or_files() {
    let archive = resolve("[[images]]\nname = \"a\"\narchive = \"a.tar\"\n", Some("30080")).expect("valid");
    assert_eq!(archive.images[0].source, ContainerImageSource::Archive("a.tar".to_owned()));
    let both = "[[images]]\nname = \"a\"\narchive = \"a.tar\"\nentrypoint = [\"/a\"]\nfiles = { \"/a\" = \"a\" }\n";
    assert!(resolve(both, Some("30080")).is_err());
}
