//! How the help of the program reads, and what of it several verbs share.

use super::*;

#[test]
fn first_lines_of_help_are_imperative_without_a_full_stop() {
    for verb in CommandLine::command().get_subcommands() {
        let about = verb.get_about().unwrap_or_else(|| panic!("{} has no help", verb.get_name())).to_string();
        assert!(!about.ends_with('.'), "{about}");
        assert!(!about.split(' ').next().unwrap().ends_with('s'), "{about}: third person");
    }
}

/// The long help of a verb, or of the program for the empty name; line ends trimmed.
fn help(name: &str) -> String {
    let mut command = CommandLine::command().term_width(100);
    command.build();
    let text = match name {
        "" => command.render_long_help(),
        name => command.find_subcommand_mut(name).unwrap().render_long_help(),
    };
    text.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// The help of a verb without the sections that several share.
pub(super) fn own_help(name: &str) -> String {
    let mut shared = false;
    let mut own = String::new();
    for line in help(name).split_inclusive('\n') {
        if !line.starts_with([' ', '\n']) {
            shared = line.starts_with("Global options:") || line.starts_with("Configuration (");
        }
        if !shared {
            own.push_str(line);
        }
    }
    own
}

#[test]
fn help_of_the_configurations_flags() {
    let whole = help("start");
    let section = whole.split("Configuration (").nth(1).and_then(|rest| rest.split("Global options:").next()).unwrap();
    insta::assert_snapshot!(section, @r"
    any key: --set KEY=VALUE):
          --api-port <PORT>
              Host port of the Kubernetes API

          --ssh-port <PORT>
              Host port of the guest's sshd

          --web-port <PORT>
              Host port of the web application

          --bind <ADDRESS>
              Host address of all listeners

          --cpus <NUMBER>
              Virtual CPUs

          --memory <SIZE>
              RAM, for example 4GiB

          --disk <SIZE>
              Virtual size of the root disk of a new image, for example 40GiB

          --accel <ACCELERATOR>
              auto, tcg or kvm

          --provider <PROVIDER>
              Who makes the guest image: auto, nix, debian or prebuilt

          --nixpkgs <NIXPKGS>
              Another nixpkgs for a NixOS guest: a folder, the address of an archive, or channel:NAME

          --offline
              Fetch nothing to build the guest image

          --distribution <DISTRIBUTION>
              What runs in the guest: auto, k3s or kubernetes

          --k3s-version <VERSION>
              A K3s channel such as stable, or a version such as v1.33.5+k3s1

          --k3s-binary <FILE>
              A local K3s binary instead of a release's

          --k3s-images <FILE>
              A local archive of K3s' air-gap images instead of a release's
    ");
}

#[test]
fn help_of_the_program() {
    insta::assert_snapshot!(help(""), @r"
    Give a project a real Kubernetes cluster in a VM of its own

    Without a verb it starts the cluster, and builds first what is missing. A project is a folder that
    holds `.k3s-vm/`.

    Usage: k3s-vm [OPTIONS] [VERB]

    Verbs:
      start     Start the cluster, building first what is missing
      stop      Stop the VM; the next `start` goes on where it is
      pause     Let the VM stand still; the next connection to one of its ports lets it go on
      resume    Let a paused VM go on, and wait until its API answers
      forward   Open ports of the host that lead into the guest, while it runs
      status    Show whether the cluster runs and where it answers
      ssh       Open a shell in the VM, or run a command there
      reset     Destroy the cluster with its data and start a new one
      apply     Apply the manifests and the web application's variables, without rebuilding
      logs      Show the console of the VM and the words of QEMU
      load      Load container images from a docker or OCI archive into the cluster
      config    Show what is configured, and where each value is from
      nix       Look after what NixOS guests are made from
      kubectl   Run kubectl on the cluster; the arguments are passed on untouched
      clone     Make another instance of the project and start it, from the template or a snapshot
      run       Run a command with a cluster of its own, which is gone when the command ends
      delete    Destroy the instance with its data; snapshots, templates and built images stay
      snapshot  Keep states of the cluster by name, and put it back to them
      list      List the instances, templates and snapshots of the project with what they take
      prune     Give back the space of what nothing can use any more

    Options:
          --wait
              Wait until the web application answers (the default)

          --no-wait
              Return as soon as possible: `start` once the VM runs, `apply` once the cluster has taken
              the manifests

          --timeout <DURATION>
              Fail when it is not ready after DURATION, for example 90s or 15m

      -o, --output <FORMAT>
              Write the result for people or as JSON

              Possible values:
              - human: For people
              - json:  For programs

              [default: human]

      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Configuration (any key: --set KEY=VALUE):
          --api-port <PORT>
              Host port of the Kubernetes API

          --ssh-port <PORT>
              Host port of the guest's sshd

          --web-port <PORT>
              Host port of the web application

          --bind <ADDRESS>
              Host address of all listeners

          --cpus <NUMBER>
              Virtual CPUs

          --memory <SIZE>
              RAM, for example 4GiB

          --disk <SIZE>
              Virtual size of the root disk of a new image, for example 40GiB

          --accel <ACCELERATOR>
              auto, tcg or kvm

          --provider <PROVIDER>
              Who makes the guest image: auto, nix, debian or prebuilt

          --nixpkgs <NIXPKGS>
              Another nixpkgs for a NixOS guest: a folder, the address of an archive, or channel:NAME

          --offline
              Fetch nothing to build the guest image

          --distribution <DISTRIBUTION>
              What runs in the guest: auto, k3s or kubernetes

          --k3s-version <VERSION>
              A K3s channel such as stable, or a version such as v1.33.5+k3s1

          --k3s-binary <FILE>
              A local K3s binary instead of a release's

          --k3s-images <FILE>
              A local archive of K3s' air-gap images instead of a release's

    Global options:
          --project <DIR>
              Work on the project in DIR, not on the one around the working directory

              [env: K3S_VM_PROJECT]

          --name <NAME>
              Work on the instance NAME, not on the project's default one; `list` shows them

              [env: K3S_VM_NAME]

          --debug
              Tell every command, request and step

              [env: K3S_VM_DEBUG]

          --set <KEY=VALUE>
              Set a key of the configuration for this run; `config show` lists all keys

      -y, --yes
              Agree to the installation of host packages

              [env: K3S_VM_YES]

      -q, --quiet
              Tell only warnings and errors

              [env: K3S_VM_QUIET]

          --color <WHEN>
              Colour the output

              Possible values:
              - auto:   On a terminal, unless NO_COLOR is set
              - always: Always
              - never:  Never

              [env: K3S_VM_COLOR]
              [default: auto]

          --events <FORMAT>
              Tell progress as text for people or as one JSON object a line

              Possible values:
              - human: For people
              - json:  For programs

              [env: K3S_VM_EVENTS]
              [default: human]

    Examples:
      k3s-vm                        Build what is missing, start, wait until the web application answers
      k3s-vm apply                  Apply changed manifests and variables to the running cluster
      k3s-vm kubectl get pods -A    Talk to the cluster
      k3s-vm stop                   Suspend; the next start goes on where it is
      k3s-vm reset                  Throw the data away and start anew

    Exit codes:
      0  done                            5  the guest or its QEMU died
      1  failed                          6  a port is held by somebody else
      2  wrong usage or configuration    7  the cluster refused a request
      3  the verb does not fit the state 69 the host lacks something
      4  a deadline passed               130 interrupted
      `ssh` and `kubectl` pass on the exit code of what they run.
    ");
}

#[test]
fn every_exit_code_is_documented() {
    for class in model::FaultClass::ALL {
        let code = class.exit_code().to_string();
        assert!(EXIT_CODES.split_whitespace().any(|word| word == code), "{class:?} exits with {code}");
    }
}
