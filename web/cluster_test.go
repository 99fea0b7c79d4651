package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

const nodeList = `{"kind": "NodeList", "items": [
  {"metadata": {"name": "k3s-vm"}, "status": {
    "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    "nodeInfo": {"kubeletVersion": "v1.37.2", "osImage": "Debian GNU/Linux 13 (trixie)"}}},
  {"metadata": {"name": "other"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
]}`

// apiServer starts an API server that accepts only clients with a certificate, and returns the value of
// KUBECONFIG_PRIMARY for it.
func apiServer(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	certificate, key := clientCertificate(t)
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(certificate)
	server := httptest.NewUnstartedServer(answer)
	server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	text, err := json.Marshal(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": "k3s-vm",
		"contexts": []any{
			map[string]any{"name": "k3s-vm", "context": map[string]any{"cluster": "c", "user": "u"}},
		},
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{
			"server": server.URL, "certificate-authority-data": authority,
		}}},
		"users": []any{map[string]any{"name": "u", "user": map[string]any{
			"client-certificate-data": certificate, "client-key-data": key,
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(text)
}

func clientCertificate(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "admin"},
		NotAfter:              time.Now().Add(time.Hour),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded})
}

func TestNodesAreListedWithTheClientCertificate(t *testing.T) {
	value := apiServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/nodes" || r.TLS.PeerCertificates[0].Subject.CommonName != "admin" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		w.Write([]byte(nodeList))
	})
	got, err := clusterFromEnvironment(value).nodes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	want := []node{
		{Name: "k3s-vm", Ready: true, Version: "v1.37.2", System: "Debian GNU/Linux 13 (trixie)"},
		{Name: "other"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestAnotherAuthorityIsRefused(t *testing.T) {
	value := apiServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(nodeList)) })
	text, _ := base64.StdEncoding.DecodeString(value)
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	other, _ := clientCertificate(t)
	entry := config["clusters"].([]any)[0].(map[string]any)["cluster"].(map[string]any)
	entry["certificate-authority-data"] = base64.StdEncoding.EncodeToString(other)
	text, _ = json.Marshal(config)
	_, err := clusterFromEnvironment(base64.StdEncoding.EncodeToString(text)).nodes(context.Background())
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

func TestRefusalsOfTheServerAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"status":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "the API server answered 403 Forbidden"},
		"other":     {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"kind": "PodList"}`)) }, "the API server sent no list of nodes"},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "cannot reach the API server"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := clusterFromEnvironment(apiServer(t, test.answer)).nodes(context.Background())
			if err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestAnUnusableKubeconfigIsTold(t *testing.T) {
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for _, test := range []struct{ value, want string }{
		{"", "KUBECONFIG_PRIMARY: is not set"},
		{"%", "KUBECONFIG_PRIMARY: is not base64"},
		{encode("apiVersion: v1"), "KUBECONFIG_PRIMARY: holds no kubeconfig in JSON"},
		{encode(`{"current-context": "x"}`), `KUBECONFIG_PRIMARY: has no context "x"`},
		{encode(`{"current-context": "x", "contexts": [{"name": "x"}]}`), `KUBECONFIG_PRIMARY: context "x" names`},
		{
			encode(`{"current-context": "x", "contexts": [{"name": "x"}], "clusters": [{}], "users": [{}]}`),
			"KUBECONFIG_PRIMARY: names no certificate authority",
		},
	} {
		_, err := clusterFromEnvironment(test.value).nodes(context.Background())
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: got %v, want %s", test.value, err, test.want)
		}
	}
}
