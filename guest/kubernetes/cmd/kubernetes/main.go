// Command kubernetes is the guest's cluster in one executable. Called as kubectl it is kubectl; otherwise it runs the server until it is told to stop.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"

	"k3s-vm.dev/guest/kubernetes/internal/server"
)

const usage = `usage: kubernetes server     run the cluster
       kubernetes kubectl …  or a link named kubectl: the command-line client

KUBERNETES_VERBOSE=1 makes the server log all that upstream logs.
`

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name != "kubectl" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "kubectl":
		os.Args = append([]string{"kubectl"}, args...)
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			util.CheckErr(err)
		}
	case "server":
		os.Exit(serve())
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(64)
	}
}

func serve() int {
	server.ConfigureLogging(os.Getenv("KUBERNETES_VERBOSE") != "")
	// The second signal ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	if err := server.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		var damaged *server.DamagedDatabase
		if errors.As(err, &damaged) {
			fmt.Fprint(os.Stderr, damaged.Advice())
			tellConsole(fmt.Sprintf("kubernetes: %v\n%s", damaged, damaged.Advice()))
			return server.ExitDamaged
		}
		return 1
	}
	return 0
}

// tellConsole writes text to the console, which the host logs, for errors that must be visible without the journal.
func tellConsole(text string) {
	console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer console.Close()
	fmt.Fprint(console, text)
}
