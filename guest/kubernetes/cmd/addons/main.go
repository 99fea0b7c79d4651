// Command addons is the one executable in the image of the cluster's own workloads: CoreDNS, metrics-server and the provisioner of local-path.
// One image is one layer on disk and one copy in the page cache.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/coredns/coredns/coremain"
	"k8s.io/component-base/logs"
	metricsserver "sigs.k8s.io/metrics-server/cmd/metrics-server/app"

	"k3s-vm.dev/guest/kubernetes/internal/provisioner"
	_ "k3s-vm.dev/guest/kubernetes/internal/queuemetrics"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: addons coredns|metrics-server|local-path-provisioner [argument…]")
		os.Exit(64)
	}
	// Each program reads its own arguments from os.Args.
	name := os.Args[1]
	os.Args = os.Args[1:]
	var err error
	switch name {
	case "coredns":
		coremain.Run()
	case "metrics-server":
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		defer logs.FlushLogs()
		err = metricsserver.NewMetricsServerCommand(ctx.Done()).Execute()
	case "local-path-provisioner":
		flags := flag.NewFlagSet(name, flag.ExitOnError)
		directory := flags.String("directory", "", "directory on the node that holds all volumes")
		_ = flags.Parse(os.Args[1:])
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		if err = provisioner.Run(ctx, *directory); ctx.Err() != nil {
			err = nil
		}
	default:
		err = fmt.Errorf("unknown program %q", name)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}
