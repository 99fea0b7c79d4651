package server

import (
	"context"
	"flag"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/pki"
)

// resolvedConf lists the real nameservers where systemd-resolved runs; /etc/resolv.conf may then name only its stub on loopback,
// which no pod can reach.
const resolvedConf = "/run/systemd/resolve/resolv.conf"

func (n *node) kubeletConfig() (*kubeletconfig.KubeletConfiguration, error) {
	c, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	l := n.layout
	c.ContainerRuntimeEndpoint = cluster.ContainerdSocket
	c.CgroupDriver = "systemd"
	c.ClusterDNS = []string{cluster.DNSServiceIP}
	c.ClusterDomain = cluster.Domain
	c.ResolverConfig = "/etc/resolv.conf"
	if _, err := os.Stat(resolvedConf); err == nil {
		c.ResolverConfig = resolvedConf
	}
	c.TLSCertFile = l.File(pki.KubeletServer + ".crt")
	c.TLSPrivateKeyFile = l.File(pki.KubeletServer + ".key")
	c.Authentication.Anonymous.Enabled = false
	c.Authentication.Webhook.Enabled = true
	c.Authentication.X509.ClientCAFile = l.File(pki.CA + ".crt")
	// The API's default is 10255, which serves everything without authentication.
	c.ReadOnlyPort = 0
	c.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	c.FailSwapOn = false
	// This port is not used; systemd watches the process itself.
	c.HealthzPort = 0
	// kube-proxy and the CNI plugins use nftables, so the kubelet's marker chains in iptables are unused.
	c.MakeIPTablesUtilChains = false
	c.SerializeImagePulls = false
	c.EnableProfilingHandler = false
	// There is one node and its controllers sit in the same process: a slow heartbeat costs nothing but saves a write every ten seconds.
	// The node's state is still checked every ten seconds, and changes are reported.
	c.NodeLeaseDurationSeconds = 160
	c.NodeStatusUpdateFrequency = metav1.Duration{Duration: 10 * time.Second}
	// How long, at first, the figures of a container or of the node may be old; metrics-server asks for them every 30 seconds.
	if err := flag.Set("housekeeping_interval", "20s"); err != nil {
		return nil, err
	}
	c.VolumeStatsAggPeriod = metav1.Duration{Duration: 5 * time.Minute}
	return c, nil
}

func (n *node) kubelet(ctx context.Context) error {
	config, err := n.kubeletConfig()
	if err != nil {
		return err
	}
	flags := options.NewKubeletFlags()
	flags.KubeConfig = n.layout.ClientConfig(pki.Kubelet)
	flags.HostnameOverride = cluster.NodeName
	flags.NodeIP = n.ip
	s := &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *config}
	deps, err := kubelet.UnsecuredDependencies(ctx, s, utilfeature.DefaultFeatureGate)
	if err != nil {
		return err
	}

	client, err := n.clientConfig(pki.Kubelet)
	if err != nil {
		return err
	}
	n.whenServing(client)
	client.ContentType = "application/vnd.kubernetes.protobuf"
	if deps.KubeClient, err = kubernetes.NewForConfig(client); err != nil {
		return err
	}
	if deps.EventClient, err = corev1.NewForConfig(client); err != nil {
		return err
	}
	heartbeat := rest.CopyConfig(client)
	heartbeat.Timeout = config.NodeStatusUpdateFrequency.Duration
	if deps.HeartbeatClient, err = kubernetes.NewForConfig(heartbeat); err != nil {
		return err
	}
	deps.OnHeartbeatFailure = func() { utilnet.CloseIdleConnectionsFor(client.Transport) }
	if err := waitForContainerd(ctx); err != nil {
		return err
	}
	return kubelet.Run(ctx, s, deps, utilfeature.DefaultFeatureGate)
}
