//! Which kubectl runs, with which arguments and input, and its exit code.

use std::io::Write;
use std::process::Stdio;

use testkit::Script;

use crate::isolation::isolated;
use crate::setup::Setup;

/// A running VM with Kubernetes v1.0.0 and a kubeconfig, and an ssh that prints its command and input.
fn running() -> Setup {
    let setup = Setup::new(&Script::default());
    setup.says(&["start", "--no-wait"], 0);
    setup.project.write("web/.kube/config", "");
    setup.program("ssh", "#!/bin/sh\nfor word do :; done; printf '%s\\n' \"$word\"; cat; exit 42\n");
    setup
}

/// Installs a kubectl of this version that prints its arguments and input.
fn install(setup: &Setup, version: &str) {
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = version ] && {{ echo '{{\"clientVersion\": {{\"gitVersion\": \"{version}\"}}}}'; exit; }}\n\
         echo \"the host's kubectl with $KUBECONFIG: $*\"; cat; exit 41\n"
    );
    setup.program("kubectl", &text);
}

/// stderr and stdout, with `input` as the standard input.
fn says(setup: &Setup, arguments: &[&str], input: &[u8], code: i32) -> String {
    let mut command = setup.command(&[&["kubectl"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = setup.steady(&String::from_utf8_lossy(&[output.stderr, output.stdout].concat()));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn the_hosts_kubectl_within_one_minor_version() {
    let setup = running();
    for version in ["v1.0.9", "v1.1.0", "not a version"] {
        install(&setup, version);
        insta::allow_duplicates! {
            insta::assert_snapshot!(says(&setup, &["get", "pods"], b"input", 41), @r"
            the host's kubectl with PROJECT/web/.kube/config: get pods
            input
            ");
        }
    }
}

#[test]
fn a_command_for_the_vms_cluster_went_to_the_cluster_of_a_kubeconfig_of_the_users_own() {
    let setup = running();
    install(&setup, "v1.0.9");
    let production = "apiVersion: v1\nkind: Config\nclusters:\n- cluster: {server: https://prod.example.com}\n  name: k3s-vm\n\
                      contexts: []\nusers: []\n";
    setup.project.write("web/.kube/config", production);
    insta::assert_snapshot!(says(&setup, &["delete", "namespace", "shop"], b"", 3), @r#"
    Error: the kubeconfig of the project is not k3s-vm's
      PROJECT/web/.kube/config is not k3s-vm's: its server is "https://prod.example.com"

    Next: mv PROJECT/web/.kube/config PROJECT/web/.kube/config.old
    "#);
    setup.says(&["stop", "--power-off"], 0);
    assert!(says(&setup, &["get", "pods"], b"", 3).contains("web/.kube/config is not k3s-vm's"));
}

#[test]
fn the_vms_kubectl_in_place_of_one_that_is_too_far_from_the_server() {
    let setup = running();
    install(&setup, "v1.32.4-dispatcher");
    insta::assert_snapshot!(says(&setup, &["get", "pods", "-l", "a=b c"], b"input", 42), @r#"
    Note: PROGRAMS/kubectl v1.32.4-dispatcher is too far from the cluster's kubernetes v1.0.0 (one minor version is supported): using the VM's, which is slower under emulation
    exec /bin/sh -c 'PATH=$PATH:/usr/local/bin KUBECONFIG=$1; export PATH KUBECONFIG; shift; exec kubectl "$@"' sh /etc/kubernetes/admin.conf get pods -l 'a=b c'
    input
    "#);
}

#[test]
fn input_that_is_no_text_reaches_the_vm_as_it_is() {
    let setup = running();
    install(&setup, "v1.32.4");
    setup.program("ssh", "#!/bin/sh\nexec sha256sum\n");
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    std::fs::write(setup.vm_dir().join("bytes"), &bytes).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(setup.vm_dir().join("bytes")).output().unwrap();
    let expected = String::from_utf8(sum.stdout).unwrap();
    let text = says(&setup, &["exec", "-i", "web", "--", "cat"], &bytes, 0);
    assert!(text.contains(expected.split(' ').next().unwrap()), "{text}");
}

#[test]
fn one_file_of_the_host_becomes_the_input_of_the_vms_kubectl() {
    let setup = running();
    install(&setup, "v1.32.4");
    setup.project.write("web.yaml", "kind: Service\n");
    insta::assert_snapshot!(says(&setup, &["apply", "-f", "web.yaml"], b"", 42), @r#"
    Note: PROGRAMS/kubectl v1.32.4 is too far from the cluster's kubernetes v1.0.0 (one minor version is supported): using the VM's, which is slower under emulation
    exec /bin/sh -c 'PATH=$PATH:/usr/local/bin KUBECONFIG=$1; export PATH KUBECONFIG; shift; exec kubectl "$@"' sh /etc/kubernetes/admin.conf apply -f -
    kind: Service
    "#);
}

#[test]
fn what_only_the_host_can_do_is_done_by_its_kubectl_whatever_its_version() {
    let setup = running();
    install(&setup, "v1.32.4");
    insta::assert_snapshot!(says(&setup, &["port-forward", "svc/web", "8080:80"], b"", 41), @r"
    Note: PROGRAMS/kubectl v1.32.4 is too far from the cluster's kubernetes v1.0.0 (one minor version is supported); it is used nevertheless, since `kubectl port-forward` has to listen on this host
    the host's kubectl with PROJECT/web/.kube/config: port-forward svc/web 8080:80
    ");
    insta::assert_snapshot!(says(&setup, &["apply", "-k", "image"], b"", 41), @r"
    Note: PROGRAMS/kubectl v1.32.4 is too far from the cluster's kubernetes v1.0.0 (one minor version is supported); it is used nevertheless, since image is on this host
    the host's kubectl with PROJECT/web/.kube/config: apply -k image
    ");
}

#[test]
fn without_a_kubectl_on_the_host() {
    isolated("kubectl::without_a_kubectl_on_the_host", || {
        let setup = running();
        // Only programs of the test and of the shell are in the PATH.
        let tools = tempfile::tempdir().unwrap();
        for tool in ["sh", "cat"] {
            let found = ["/bin", "/usr/bin"].map(|directory| std::path::Path::new(directory).join(tool));
            let found = found.iter().find(|path| path.exists()).unwrap();
            std::os::unix::fs::symlink(found, tools.path().join(tool)).unwrap();
        }
        let run = |arguments: &[&str], code: i32| {
            let path = format!("{}:{}", setup.programs_path().display(), tools.path().display());
            let output = setup.command(&[&["kubectl"], arguments].concat()).env("PATH", path).output().unwrap();
            let text = setup.steady(&String::from_utf8_lossy(&[output.stderr, output.stdout].concat()));
            assert_eq!(output.status.code(), Some(code), "{text}");
            text
        };
        insta::assert_snapshot!(run(&["get", "pods"], 42), @r#"exec /bin/sh -c 'PATH=$PATH:/usr/local/bin KUBECONFIG=$1; export PATH KUBECONFIG; shift; exec kubectl "$@"' sh /etc/kubernetes/admin.conf get pods"#);
        insta::assert_snapshot!(run(&["cp", "web-0:/a", "a"], 2), @r"
    Error: the VM's kubectl cannot do this
      this host has no kubectl, so the VM's is used
      `kubectl cp` has to read and write files on this host

    Next: k3s-vm kubectl apply -f - < FILE    # one file, or one stream, reaches it
    Next: install a kubectl of about kubernetes v1.0.0 on this host, which sees its files and ports
    ");
        setup.says(&["stop"], 0);
        insta::assert_snapshot!(run(&["get", "pods"], 3), @r"
    Error: k3s-vm is not running
      this host has no kubectl, so the VM's would be used

    Next: k3s-vm start
    ");
    });
}

#[test]
fn a_debug_line_says_which_one_and_why() {
    let setup = running();
    install(&setup, "v1.0.9");
    let output = setup.command(&["--debug", "kubectl", "get", "pods"]).output().unwrap();
    let text = setup.steady(&String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| line.contains("cluster runs")).unwrap_or(&text).trim();
    insta::assert_snapshot!(line.split_once("using ").unwrap_or((line, "")).1.rsplit_once("/kubectl").unwrap().1, @" v1.0.9, the cluster runs kubernetes v1.0.0");
}

#[test]
fn people_get_a_terminal_in_the_vm_and_files_the_bare_output() {
    let setup = running();
    install(&setup, "v1.32.4");
    setup.program("ssh", "#!/bin/sh\n[ \"$3\" = -t ] && echo a terminal || echo no terminal\n");
    // script(1) gives its command a terminal.
    let on_terminal = |redirection: &str| {
        let inner = setup.command(&[]);
        let line = format!("{} -q kubectl get pods {redirection}", inner.get_program().display());
        let mut outer = std::process::Command::new("script");
        outer.args(["-qec", &line, "/dev/null"]).current_dir(setup.project.root()).stdin(Stdio::null());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        let output = outer.output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(seen) = on_terminal("") else { return crate::isolation::skip("script(1) is not installed") };
    assert_eq!(seen, "a terminal");
    on_terminal("> pods.txt");
    assert_eq!(setup.project.read("pods.txt"), "no terminal\n");
}
