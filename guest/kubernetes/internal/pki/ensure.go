package pki

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Layout has the paths, names and addresses for certificates and kubeconfigs.
type Layout struct {
	// Dir holds certificates and keys, Clients the kubeconfigs of the cluster's own parts.
	Dir, Clients string
	// Admin is the path of the administrator's kubeconfig.
	Admin string
	// Server is the API's address in all kubeconfigs.
	Server string
	// Domain is the cluster's DNS domain, ServiceIP the API's address for pods.
	Domain, ServiceIP string
	// NodeName and NodeIP are the guest's own.
	NodeName, NodeIP string
}

// Names of the kubeconfigs in Layout.Clients.
const (
	ControllerManager = "controller-manager"
	Scheduler         = "scheduler"
	Kubelet           = "kubelet"
	Proxy             = "kube-proxy"
	Addons            = "addons"
)

// File names (without .crt, .key or .pub) in Layout.Dir.
const (
	CA             = "ca"
	FrontProxyCA   = "front-proxy-ca"
	FrontProxy     = "front-proxy-client"
	APIServer      = "apiserver"
	APIToKubelet   = "apiserver-kubelet-client"
	KubeletServer  = "kubelet"
	ServiceAccount = "service-account"
)

// Ensure makes everything that is missing or outdated at the time now.
func Ensure(l Layout, now time.Time) error {
	for _, dir := range []string{l.Dir, l.Clients} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(l.Admin), 0o755); err != nil {
		return err
	}
	s := store{dir: l.Dir, now: now}
	ca, err := s.authority(CA)
	if err != nil {
		return err
	}
	frontProxyCA, err := s.authority(FrontProxyCA)
	if err != nil {
		return err
	}
	if err := s.signingKey(ServiceAccount); err != nil {
		return err
	}
	apiHosts := []string{"127.0.0.1", "localhost", l.NodeName, l.NodeIP, l.ServiceIP,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + l.Domain}
	_, err = s.leaf(ca, leaf{name: APIServer, user: "kube-apiserver", hosts: apiHosts, server: true})
	if err == nil {
		_, err = s.leaf(ca, leaf{name: APIToKubelet, user: "kube-apiserver-kubelet-client", groups: []string{"system:masters"}, client: true})
	}
	if err == nil {
		_, err = s.leaf(ca, leaf{name: KubeletServer, user: "system:node:" + l.NodeName, groups: []string{"system:nodes"},
			hosts: []string{l.NodeName, l.NodeIP, "127.0.0.1"}, server: true})
	}
	if err == nil {
		_, err = s.leaf(frontProxyCA, leaf{name: FrontProxy, user: FrontProxy, client: true})
	}
	if err != nil {
		return err
	}

	admins := []string{"system:masters"}
	clients := []struct {
		path string
		leaf leaf
	}{
		{l.Admin, leaf{name: "client-admin", user: "kubernetes-admin", groups: admins}},
		// One identity for all controllers instead of a service account for each of some thirty: they share a process
		// with the API server, so separate accounts would cost seconds at every boot and protect nothing.
		{l.ClientConfig(ControllerManager), leaf{name: "client-controller-manager", user: "system:kube-controller-manager", groups: admins}},
		{l.ClientConfig(Addons), leaf{name: "client-addons", user: "k3s-vm:addons", groups: admins}},
		{l.ClientConfig(Scheduler), leaf{name: "client-scheduler", user: "system:kube-scheduler"}},
		{l.ClientConfig(Proxy), leaf{name: "client-kube-proxy", user: "system:kube-proxy"}},
		{l.ClientConfig(Kubelet), leaf{name: "client-kubelet", user: "system:node:" + l.NodeName, groups: []string{"system:nodes"}}},
	}
	for _, c := range clients {
		c.leaf.client = true
		p, err := s.leaf(ca, c.leaf)
		if err != nil {
			return err
		}
		data, err := kubeconfig(l.Server, ca, p)
		if err != nil {
			return err
		}
		if err := writeFile(c.path, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// File returns the path of a file in Dir, as in l.File(pki.CA + ".crt").
func (l Layout) File(name string) string { return filepath.Join(l.Dir, name) }

// ClientConfig returns the path of one of the kubeconfigs in Clients.
func (l Layout) ClientConfig(name string) string { return filepath.Join(l.Clients, name+".conf") }

// kubeconfig has everything inline, so that the file works wherever it is copied to.
func kubeconfig(server string, ca, client *pair) ([]byte, error) {
	config := clientcmdapi.NewConfig()
	config.Clusters["k3s-vm"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca.certPEM}
	config.AuthInfos["k3s-vm"] = &clientcmdapi.AuthInfo{ClientCertificateData: client.certPEM, ClientKeyData: client.keyPEM}
	config.Contexts["k3s-vm"] = &clientcmdapi.Context{Cluster: "k3s-vm", AuthInfo: "k3s-vm"}
	config.CurrentContext = "k3s-vm"
	data, err := clientcmd.Write(*config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("kubeconfig of %s", client.cert.Subject.CommonName), err)
	}
	return data, nil
}
