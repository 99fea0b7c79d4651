//! How the help of each verb reads, without what several share.

use super::help_tests::own_help;

#[test]
fn help_of_start() {
    insta::assert_snapshot!(own_help("start"), @r"
    Start the cluster, building first what is missing

    A running cluster is verified, and its kubeconfig, variables and manifests are brought up to date.

    Usage: k3s-vm start [OPTIONS]

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

    Examples:
      k3s-vm start --yes --timeout 30m    For CI: install host packages unasked, allow a slow machine
      k3s-vm start --no-wait              Return once the VM runs
    ");
}

#[test]
fn help_of_stop() {
    insta::assert_snapshot!(own_help("stop"), @r"
    Stop the VM; the next `start` goes on where it is

    The VM is suspended: its RAM is kept beside its disk, for the next start alone. Where that cannot be
    done, or is not wanted, the guest powers off; one that does not in time is ended. A stopped cluster
    stays stopped, which is success.

    Usage: k3s-vm stop [OPTIONS]

    Options:
          --power-off
              Shut the guest down; the next start boots it

          --timeout <DURATION>
              End the VM by force when the guest has not powered off after DURATION, for example 90s

      -o, --output <FORMAT>
              Write the result for people or as JSON

              Possible values:
              - human: For people
              - json:  For programs

              [default: human]

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn help_of_status() {
    insta::assert_snapshot!(own_help("status"), @r"
    Show whether the cluster runs and where it answers

    Usage: k3s-vm status [OPTIONS]

    Options:
      -o, --output <FORMAT>
              Write the result for people or as JSON

              Possible values:
              - human: For people
              - json:  For programs

              [default: human]

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      k3s-vm status
      k3s-vm status -o json    For scripts
    ");
}

#[test]
fn help_of_ssh() {
    insta::assert_snapshot!(own_help("ssh"), @r"
    Open a shell in the VM, or run a command there

    Usage: k3s-vm ssh [OPTIONS] [CMD]...

    Arguments:
      [CMD]...
              The command; the guest's shell reads it

    Options:
      -h, --help
              Print help (see a summary with '-h')

    Examples:
      k3s-vm ssh
      k3s-vm ssh -- journalctl -b -u containerd
    ");
}

#[test]
fn help_of_reset() {
    insta::assert_snapshot!(own_help("reset"), @r"
    Destroy the cluster with its data and start a new one

    Ends what is left of former runs, too, and VMs whose project is gone. Configuration, manifests and
    built guest images stay.

    Usage: k3s-vm reset [OPTIONS]

    Options:
          --rebuild
              Build the guest image anew, from the parts in the cache; other instances keep the one they
              have

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

    Examples:
      k3s-vm reset
      k3s-vm reset --rebuild    The guest image is built anew, too
    ");
}

#[test]
fn help_of_apply() {
    insta::assert_snapshot!(own_help("apply"), @r"
    Apply the manifests and the web application's variables, without rebuilding

    Container images of the configuration are loaded first; pods are replaced only where something
    changed. Objects that have left the manifests are deleted, but for namespaces, volumes and
    definitions of kinds.

    Usage: k3s-vm apply [OPTIONS]

    Options:
          --dry-run
              Tell what would change as a diff, and write nothing

          --watch
              Apply again whenever manifests, variables or configuration are saved, until Ctrl-C

          --no-prune
              Leave objects that have left the manifests in the cluster

          --force-conflicts
              Take over fields that others have set, and objects of other projects

          --kubeconfig <FILE>
              Apply to the cluster of this kubeconfig, not to the project's VM; `$KUBECONFIG` is not
              looked at

          --context <NAME>
              The context of the kubeconfig; by default its current one

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

    Examples:
      k3s-vm apply
      k3s-vm apply --dry-run     What would change, as a diff; nothing is written
      k3s-vm apply --watch       Apply whenever manifests or variables are saved
      k3s-vm apply -o json       Every object with what happened to it
      k3s-vm apply --kubeconfig ~/.kube/config --context staging
                                 To another cluster; no VM is needed
    ");
}

#[test]
fn help_of_logs() {
    insta::assert_snapshot!(own_help("logs"), @r"
    Show the console of the VM and the words of QEMU

    Usage: k3s-vm logs [OPTIONS]

    Options:
      -f, --follow
              Go on with what is added, until the VM stops

      -n, --lines <N>
              Begin with the last N lines; all of them by default

      -p, --previous [<N>]
              Show the log of the run before, or of N runs ago; those of three are kept

          --raw
              Write what the guest wrote as it is, escape sequences included, also to a terminal

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      k3s-vm logs -n 50
      k3s-vm logs -f
      k3s-vm logs --previous    The run before: why it failed
    ");
}

#[test]
fn help_of_load() {
    insta::assert_snapshot!(own_help("load"), @r"
    Load container images from a docker or OCI archive into the cluster

    Usage: k3s-vm load [OPTIONS] <FILE>

    Arguments:
      <FILE>
              The archive, or `-` for the standard input

    Options:
      -o, --output <FORMAT>
              Write the result for people or as JSON

              Possible values:
              - human: For people
              - json:  For programs

              [default: human]

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      k3s-vm load web.tar
      docker save local/web:dev | k3s-vm load -
    ");
}

#[test]
fn help_of_kubectl() {
    insta::assert_snapshot!(own_help("kubectl"), @r"
    Run kubectl on the cluster; the arguments are passed on untouched

    Usage: k3s-vm kubectl [OPTIONS] [ARGS]...

    Arguments:
      [ARGS]...
              The arguments of kubectl

    Examples:
      k3s-vm kubectl get nodes
      k3s-vm kubectl -- exec -it deploy/web -- /web resolve kubernetes.default.svc
    ");
}
