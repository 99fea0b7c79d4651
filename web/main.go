// Command web is the example application: it shows its variables, lists the nodes of its cluster and counts visits on a
// persistent volume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "resolve":
			os.Exit(resolve(os.Args[2:]))
		case "connect":
			os.Exit(dial(os.Args[2:]))
		}
	}
	listen := flag.String("listen", ":8080", "address to listen on")
	data := flag.String("data", "/data", "directory for what must survive a restart")
	flag.Parse()
	if err := serve(*listen, *data); err != nil {
		log.Fatal(err)
	}
}

// serve runs until SIGINT or SIGTERM, then finishes the open requests.
func serve(listen, data string) error {
	visits, err := openVisits(data)
	if err != nil {
		return err
	}
	app := &application{
		environment: os.Environ,
		visits:      visits,
		cluster:     clusterFromEnvironment(os.Getenv(kubeconfigVariable)),
		started:     time.Now(),
	}
	server := &http.Server{Addr: listen, Handler: app.handler(), ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	log.Printf("listening on %s", listen)
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(shutdown); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot shut down cleanly: %w", err)
	}
	return nil
}

// resolve prints the addresses of each name by the pod's DNS: a check for an image without a shell.
func resolve(names []string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, name := range names {
		addresses, err := net.DefaultResolver.LookupHost(ctx, name)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		for _, address := range addresses {
			fmt.Println(address)
		}
	}
	return 0
}

// dial opens a new connection to each HOST:PORT and prints the remote address; the server itself may reuse connections.
func dial(targets []string) int {
	for _, target := range targets {
		connection, err := net.DialTimeout("tcp", target, 10*time.Second)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(connection.RemoteAddr())
		connection.Close()
	}
	return 0
}
