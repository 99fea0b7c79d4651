//! A kubeconfig as the program writes it into a web directory.

/// The kubeconfig of the default instance, with placeholders for certificates.
pub const OF_THE_PROGRAM: &str = "\
apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://127.0.0.1:6443
  name: k3s-vm
contexts:
- context:
    cluster: k3s-vm
    user: k3s-vm
  name: k3s-vm
current-context: k3s-vm
users:
- name: k3s-vm
  user:
    client-certificate-data: Q0U=
    client-key-data: S0U=
";
