package server

import (
	"context"

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
		"--healthz-bind-address=",
		"--metrics-bind-address=",
		// The guest's kernel settings belong to sysctl.d.
		"--conntrack-max-per-core=0",
		"--conntrack-tcp-timeout-established=0",
		"--conntrack-tcp-timeout-close-wait=0",
	}
}

func (n *node) proxy(ctx context.Context) error {
	s := proxy.NewOptions()
	flags := pflag.NewFlagSet("kube-proxy", pflag.ContinueOnError)
	flags.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	s.AddFlags(flags)
	if err := flags.Parse(n.proxyArgs()); err != nil {
		return err
	}
	if err := s.Complete(flags); err != nil {
		return err
	}
	if err := s.Validate(); err != nil {
		return err
	}
	return s.Run(ctx)
}
