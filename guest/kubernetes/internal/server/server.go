// Package server runs a whole single-node cluster in one process: the database, the API server, the controllers, the scheduler,
// the kubelet and kube-proxy. Compared with a process for each, the Go runtime and the packages that all of them share are loaded
// and initialised once, and every part learns at once, without polling, that the API has come up.
package server

import (
	"context"
	"fmt"
	"time"

	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/manifests"
	"k3s-vm.dev/guest/kubernetes/internal/pki"
	_ "k3s-vm.dev/guest/kubernetes/internal/queuemetrics"
)

// part is one component. It runs until ctx ends or it fails.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// Run starts everything and returns when ctx ends, or with the error of the first part that stops: the parts cannot be restarted
// one by one inside a process, so systemd restarts them together. Pods keep running in the meantime, they belong to containerd.
func Run(ctx context.Context) error {
	// Every component would like to configure logging for itself; the process has one configuration.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	collectNormally := collectLess()
	clock := newStopwatch()
	ip, err := nodeIP(ctx)
	if err != nil {
		return err
	}
	clock.mark("address", "ip", ip)

	layout := pki.Layout{
		Dir: cluster.PKIDir, Clients: cluster.ClientsDir, Admin: cluster.AdminKubeconfig,
		Server: cluster.APIServer, Domain: cluster.Domain, ServiceIP: cluster.APIServiceIP,
		NodeName: cluster.NodeName, NodeIP: ip,
	}
	if err := pki.Ensure(layout, time.Now()); err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	clock.mark("certificates")

	n := &node{layout: layout, ip: ip, serving: make(chan struct{}), ready: make(chan struct{}), settled: make(chan struct{})}
	failed := make(chan error, 16)
	start := func(p part) {
		go func() {
			err := p.run(ctx)
			if ctx.Err() != nil {
				err = ctx.Err()
			} else if err == nil {
				err = fmt.Errorf("stopped without an error")
			}
			failed <- fmt.Errorf("%s: %w", p.name, err)
		}()
	}

	if err := startDatabase(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	clock.mark("database")
	// Feature gates are global to the process. The API server's flags set them, so its options come before every other part.
	api, err := n.apiServer()
	if err != nil {
		return fmt.Errorf("kube-apiserver: %w", err)
	}
	start(api)
	start(part{"kubelet", n.kubelet})
	go func() {
		if err := n.watchAPI(ctx, clock); err != nil && ctx.Err() == nil {
			failed <- fmt.Errorf("waiting for the API: %w", err)
		}
	}()
	for _, p := range []part{{"kube-controller-manager", n.controllerManager}, {"kube-scheduler", n.scheduler}, {"kube-proxy", n.proxy}} {
		start(part{p.name, after(n.ready, p.run)})
	}
	go func() {
		err := after(n.ready, func(ctx context.Context) error {
			return manifests.Apply(ctx, layout.ClientConfig(pki.Addons))
		})(ctx)
		if err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "The manifests of the cluster's own workloads were not all applied")
		}
		clock.mark("manifests")
		close(n.settled)
		collectNormally()
	}()

	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// node is what the parts share.
type node struct {
	layout pki.Layout
	ip     string
	// serving is closed when the API accepts requests, ready when /readyz says so, settled when the cluster's own workloads have been
	// applied.
	serving, ready, settled chan struct{}
}

// after delays run until begin is closed.
func after(begin <-chan struct{}, run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-begin:
			return run(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stopwatch logs how long a start has taken so far.
type stopwatch struct{ begin time.Time }

func newStopwatch() stopwatch { return stopwatch{time.Now()} }

func (s stopwatch) mark(what string, details ...any) {
	milestone(what, time.Since(s.begin), details...)
}
