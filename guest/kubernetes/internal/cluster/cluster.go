// Package cluster has the fixed names, addresses and paths of the guest's cluster.
// They are part of the guest contract, so there is no configuration for them.
package cluster

const (
	// NodeName is fixed: the database is keyed on it.
	NodeName = "k3s-vm"

	PodCIDR     = "10.42.0.0/16"
	NodeCIDR    = "10.42.0.0/24"
	ServiceCIDR = "10.43.0.0/16"
	// APIServiceIP is the first address of ServiceCIDR, where pods find the API.
	APIServiceIP = "10.43.0.1"
	DNSServiceIP = "10.43.0.10"
	Domain       = "cluster.local"

	// HostName is the host's name for pods, Host its address in QEMU's user network.
	HostName = "host.k3s-vm.internal"
	Host     = "10.0.2.2"

	APIPort = 6443
	// APIServer is the address that every kubeconfig in the guest names.
	APIServer = "https://127.0.0.1:6443"

	// AdminKubeconfig is the kubeconfig for the host and for users in the guest.
	AdminKubeconfig = "/etc/kubernetes/admin.conf"
	// StateDir has everything that must survive a boot, except for containerd's and the kubelet's own directories.
	StateDir   = "/var/lib/kubernetes"
	PKIDir     = StateDir + "/pki"
	ClientsDir = StateDir + "/clients"
	Database   = StateDir + "/db/state.db"
	// DatabaseMarker exists once there has been a database. It is in another directory, so that removing the database leaves it.
	DatabaseMarker = StateDir + "/database-exists"
	// StorageDir is the parent of the volumes of the StorageClass local-path.
	StorageDir = StateDir + "/storage"

	// RunDir is made by systemd when the unit starts and removed when it stops.
	RunDir           = "/run/kubernetes"
	DatabaseSocket   = "unix://" + RunDir + "/kine.sock"
	ContainerdSocket = "unix:///run/containerd/containerd.sock"

	// PauseImage and AddonsImage are put into the guest image by the program seed, under these full names.
	PauseImage  = "registry.k8s.io/pause:3.10.1"
	AddonsImage = "docker.io/k3s-vm/addons:v1.37.2"
)
