package server

import (
	"context"
	"io"

	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/pki"
)

func (n *node) proxyArgs() []string {
	return []string{
		"--kubeconfig=" + n.layout.ClientConfig(pki.Proxy),
		"--hostname-override=" + cluster.NodeName,
		"--proxy-mode=nftables",
		"--cluster-cidr=" + cluster.PodCIDR,
		// Empty addresses would mean the defaults, which every pod can reach.
		"--healthz-port=0",
		"--metrics-port=0",
		// The guest's kernel settings belong to sysctl.d.
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-established=0",
		"--conntrack-tcp-timeout-close-wait=0",
	}
}

func (n *node) proxy(ctx context.Context) error {
	s, err := n.proxyOptions()
	if err != nil {
		return err
	}
	return s.Run(ctx)
}

func (n *node) proxyOptions() (*proxy.Options, error) {
	s := proxy.NewOptions()
	flags := pflag.NewFlagSet("kube-proxy", pflag.ContinueOnError)
	// It would warn in the journal that ports are deprecated; nothing else closes them.
	flags.SetOutput(io.Discard)
	flags.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	s.AddFlags(flags)
	if err := flags.Parse(n.proxyArgs()); err != nil {
		return nil, err
	}
	if err := s.Complete(flags); err != nil {
		return nil, err
	}
	// Not validated: validation demands an address for metrics, and having none closes them. The test checks for other errors.
	return s, nil
}
