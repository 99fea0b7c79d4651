package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/pki"
)

// featureGates differ from upstream's defaults where a feature serves only clusters of several API servers.
var featureGates = []string{
	// A lease for each API server, renewed every ten seconds for as long as it runs.
	"APIServerIdentity=false",
	"UnknownVersionInteroperabilityProxy=false",
}

func (n *node) apiServerArgs() []string {
	l := n.layout
	return []string{
		"--feature-gates=" + strings.Join(featureGates, ","),
		"--advertise-address=" + n.ip,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--bind-address=0.0.0.0",
		fmt.Sprintf("--secure-port=%d", cluster.APIPort),
		"--client-ca-file=" + l.File(pki.CA+".crt"),
		"--enable-admission-plugins=NodeRestriction",
		"--tls-cert-file=" + l.File(pki.APIServer+".crt"),
		"--tls-private-key-file=" + l.File(pki.APIServer+".key"),
		"--kubelet-certificate-authority=" + l.File(pki.CA+".crt"),
		"--kubelet-client-certificate=" + l.File(pki.APIToKubelet+".crt"),
		"--kubelet-client-key=" + l.File(pki.APIToKubelet+".key"),
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		"--proxy-client-cert-file=" + l.File(pki.FrontProxy+".crt"),
		"--proxy-client-key-file=" + l.File(pki.FrontProxy+".key"),
		"--requestheader-client-ca-file=" + l.File(pki.FrontProxyCA+".crt"),
		"--requestheader-allowed-names=" + pki.FrontProxy,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--service-account-issuer=https://kubernetes.default.svc." + cluster.Domain,
		"--service-account-key-file=" + l.File(pki.ServiceAccount+".pub"),
		"--service-account-signing-key-file=" + l.File(pki.ServiceAccount+".key"),
		"--service-cluster-ip-range=" + cluster.ServiceCIDR,
		"--etcd-servers=" + cluster.DatabaseSocket,
		// kine compacts by itself, and nobody reads the metrics that would cost a query for every resource.
		"--etcd-compaction-interval=0",
		"--etcd-count-metric-poll-period=0",
		"--etcd-db-metric-poll-interval=0",
		watchCacheSizes(),
		// One API server needs no lease, and one user's requests need no fair queues.
		"--endpoint-reconciler-type=master-count",
		"--enable-priority-and-fairness=false",
		"--profiling=false",
	}
}

// apiServer parses the options, which also sets the feature gates of the whole process.
func (n *node) apiServer() (part, error) {
	s := options.NewServerRunOptions()
	if err := parse(s.Flags(), n.apiServerArgs()); err != nil {
		return part{}, err
	}
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return part{}, err
	}
	rest.SetDefaultWarningHandler(rest.NoWarnings{})
	name, err := cache.NewInformerName("kube-apiserver")
	if err != nil {
		return part{}, err
	}
	s.InformerName = name
	return part{"kube-apiserver", func(ctx context.Context) error {
		completed, err := s.Complete(ctx)
		if err != nil {
			return err
		}
		if errs := completed.Validate(); len(errs) != 0 {
			return utilerrors.NewAggregate(errs)
		}
		config, err := apiserver.NewConfig(completed)
		if err != nil {
			return err
		}
		openAPI := n.deferOpenAPI(config.KubeAPIs.ControlPlane.Generic, &config.Aggregator.GenericConfig.Config)
		complete, err := config.Complete()
		if err != nil {
			return err
		}
		chain, err := apiserver.CreateServerChain(complete)
		if err != nil {
			return err
		}
		if err := openAPI.install(chain.GenericAPIServer.NextDelegate()); err != nil {
			return err
		}
		prepared, err := chain.PrepareRun()
		if err != nil {
			return err
		}
		return prepared.Run(ctx)
	}}, nil
}

const apiInterval = 100 * time.Millisecond

// watchAPI closes the channels serving and ready. Only this loop polls; everything else waits for the channels.
func (n *node) watchAPI(ctx context.Context, clock stopwatch) error {
	config, err := n.clientConfig(pki.Addons)
	if err != nil {
		return err
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return err
	}
	// The port is open long before the server answers: any answer counts as serving.
	if err := poll(ctx, client, "/livez", func(int) bool { return true }); err != nil {
		return err
	}
	close(n.serving)
	clock.mark("API serving")
	go n.watchNode(ctx, config, clock)
	if err := poll(ctx, client, "/readyz", func(status int) bool { return status == http.StatusOK }); err != nil {
		return err
	}
	close(n.ready)
	clock.mark("API ready")
	return nil
}

// poll asks the API until enough returns true for the status of an answer.
func poll(ctx context.Context, client *http.Client, path string, enough func(status int) bool) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, cluster.APIServer+path, nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(request); err == nil {
			response.Body.Close()
			if enough(response.StatusCode) {
				return nil
			}
		}
		if err := pause(ctx, apiInterval); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// clientConfig reads one of the kubeconfigs in ClientsDir, without client-side throttling: the server shares the process.
func (n *node) clientConfig(name string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", n.layout.ClientConfig(name))
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	config.UserAgent = name
	return config, nil
}

// whenServing makes connections wait for the API instead of failing, which would send the client into its growing retry delays.
func (n *node) whenServing(config *rest.Config) {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case <-n.serving:
			return dialer.DialContext(ctx, network, address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
