package server

import (
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kcmoptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	kubeletvalidation "k8s.io/kubernetes/pkg/kubelet/apis/config/validation"

	utilfeature "k8s.io/apiserver/pkg/util/feature"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/pki"
)

func testNode() *node {
	return &node{ip: "10.0.2.15", layout: pki.Layout{Dir: cluster.PKIDir, Clients: cluster.ClientsDir}}
}

func TestUpstreamAcceptsTheArguments(t *testing.T) {
	n := testNode()
	if _, err := n.apiServer(); err != nil {
		t.Errorf("kube-apiserver: %v", err)
	}
	s, err := kcmoptions.NewKubeControllerManagerOptions()
	if err != nil {
		t.Fatal(err)
	}
	known, disabled, aliases := controllermanager.KnownControllers(), controllermanager.ControllersDisabledByDefault(), controllermanager.ControllerAliases()
	if err := parse(s.Flags(known, disabled, aliases), n.controllerManagerArgs()); err != nil {
		t.Errorf("kube-controller-manager: %v", err)
	}
	if err := s.Validate(known, disabled, aliases); err != nil {
		t.Errorf("kube-controller-manager: %v", err)
	}
	config, err := n.kubeletConfig()
	if err != nil {
		t.Fatal(err)
	}
	// The host of this test may have more than the guest.
	config.FailCgroupV1 = false
	if err := kubeletvalidation.ValidateKubeletConfiguration(config, utilfeature.DefaultFeatureGate); err != nil {
		t.Errorf("kubelet: %v", err)
	}
}

// Its read-only port listed all pods to every pod, without authentication.
func TestTheKubeletServedAnybody(t *testing.T) {
	config, err := testNode().kubeletConfig()
	if err != nil {
		t.Fatal(err)
	}
	if config.ReadOnlyPort != 0 {
		t.Errorf("the read-only port is %d", config.ReadOnlyPort)
	}
	if config.HealthzPort != 0 {
		t.Errorf("the health port is %d", config.HealthzPort)
	}
	if config.Authentication.Anonymous.Enabled {
		t.Error("anonymous requests are answered")
	}
}

// Empty addresses were taken for the defaults: 10256 was open to every pod, and 10249 to what is in the guest's own network.
func TestKubeProxyListenedWhereItHadBeenClosed(t *testing.T) {
	options, err := testNode().proxyOptions()
	if err != nil {
		t.Fatal(err)
	}
	config := reflect.ValueOf(options).Elem().FieldByName("config").Elem()
	for _, name := range []string{"HealthzBindAddress", "MetricsBindAddress"} {
		if address := config.FieldByName(name).String(); address != "" {
			t.Errorf("%s is %s", name, address)
		}
	}
	if err := options.Validate(); err == nil || !strings.HasPrefix(err.Error(), "KubeProxyConfiguration.MetricsBindAddress:") || strings.Contains(err.Error(), ",") {
		t.Errorf("something else is wrong, too: %v", err)
	}
}

func TestResourcesWithoutAWatchCacheExist(t *testing.T) {
	known := map[string]bool{}
	for kind := range legacyscheme.Scheme.AllKnownTypes() {
		plural, _ := meta.UnsafeGuessKindToResource(kind)
		known[plural.GroupResource().String()] = true
	}
	for _, resource := range withoutWatchCache {
		if !known[resource] {
			t.Errorf("%s is not known", resource)
		}
	}
}

func TestGuestAddressIsTheOneThatLeadsOut(t *testing.T) {
	address := func(text string) []net.Addr {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		return []net.Addr{&net.IPNet{IP: ip, Mask: network.Mask}}
	}
	for _, c := range []struct {
		name, address, want string
		flags               net.Flags
	}{
		{"eth0", "10.0.2.15/24", "10.0.2.15", net.FlagUp},
		{"ens3", "192.168.1.4/24", "192.168.1.4", net.FlagUp},
		{"eth0", "10.0.2.15/24", "", 0},
		{"lo", "127.0.0.1/8", "", net.FlagUp | net.FlagLoopback},
		{"cni0", "10.42.0.1/24", "", net.FlagUp},
		{"eth0", "fe80::1/64", "", net.FlagUp},
		{"eth0", "169.254.3.4/16", "", net.FlagUp},
	} {
		if got := guestAddress(net.Interface{Name: c.name, Flags: c.flags}, address(c.address)); got != c.want {
			t.Errorf("%s %s: %q", c.name, c.address, got)
		}
	}
}

func TestOwnRequestsAreToldFromOthers(t *testing.T) {
	for name, want := range map[string]bool{"apiserver-loopback-client": true, "localhost": false, "": false} {
		if got := isLoopback(&http.Request{TLS: &tls.ConnectionState{ServerName: name}}); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
