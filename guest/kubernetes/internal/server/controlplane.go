package server

import (
	"context"
	"strings"

	"k8s.io/client-go/tools/cache"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kcmoptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/pki"
)

// controllers excludes those that have nothing to do in a cluster of one node without a cloud.
var controllers = []string{
	"*",
	"-legacy-serviceaccount-token-cleaner-controller",
	"-storageversion-garbage-collector-controller",
	"-ttl-controller",
}

func (n *node) controllerManagerArgs() []string {
	l := n.layout
	return []string{
		"--kubeconfig=" + l.ClientConfig(pki.ControllerManager),
		"--leader-elect=false",
		// Its own health and metrics port would need a certificate, an authenticator and an authorizer; the process is the health check.
		"--secure-port=0",
		"--profiling=false",
		"--controllers=" + strings.Join(controllers, ","),
		"--root-ca-file=" + l.File(pki.CA+".crt"),
		"--service-account-private-key-file=" + l.File(pki.ServiceAccount+".key"),
		"--cluster-signing-cert-file=" + l.File(pki.CA+".crt"),
		"--cluster-signing-key-file=" + l.File(pki.CA+".key"),
		"--use-service-account-credentials=false",
		"--allocate-node-cidrs=true",
		"--cluster-cidr=" + cluster.PodCIDR,
		"--service-cluster-ip-range=" + cluster.ServiceCIDR,
		"--node-cidr-mask-size=24",
		// The kubelet's heartbeat is slower than upstream's default, see kubelet.go; this must allow for several of them.
		"--node-monitor-period=10s",
		"--node-monitor-grace-period=200s",
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
}

func (n *node) controllerManager(ctx context.Context) error {
	s, err := kcmoptions.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	known, disabled, aliases := controllermanager.KnownControllers(), controllermanager.ControllersDisabledByDefault(), controllermanager.ControllerAliases()
	flags := s.Flags(known, disabled, aliases)
	if err := parse(flags, n.controllerManagerArgs()); err != nil {
		return err
	}
	s.ParsedFlags = &flags
	c, err := s.Config(ctx, known, disabled, aliases)
	if err != nil {
		return err
	}
	return controllermanager.Run(ctx, c.Complete())
}

func (n *node) schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + n.layout.ClientConfig(pki.Scheduler),
		"--leader-elect=false",
		"--secure-port=0",
		"--profiling=false",
	}
}

func (n *node) scheduler(ctx context.Context) error {
	s := scheduleroptions.NewOptions()
	if err := parse(*s.Flags, n.schedulerArgs()); err != nil {
		return err
	}
	name, err := cache.NewInformerName("kube-scheduler")
	if err != nil {
		return err
	}
	s.InformerName = name
	config, sched, err := scheduler.Setup(ctx, s)
	if err != nil {
		return err
	}
	return scheduler.Run(ctx, config, sched)
}
