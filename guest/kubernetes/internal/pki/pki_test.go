package pki

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func layout(t *testing.T) Layout {
	t.Helper()
	dir := t.TempDir()
	return Layout{Dir: filepath.Join(dir, "pki"), Clients: filepath.Join(dir, "clients"), Admin: filepath.Join(dir, "etc", "admin.conf"),
		Server: "https://127.0.0.1:6443", Domain: "cluster.local", ServiceIP: "10.43.0.1", NodeName: "k3s-vm", NodeIP: "10.0.2.15"}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func ensure(t *testing.T, l Layout, now time.Time) {
	t.Helper()
	if err := Ensure(l, now); err != nil {
		t.Fatal(err)
	}
}

func TestAPIServerCertificateIsValidForEveryName(t *testing.T) {
	l, now := layout(t), time.Now()
	ensure(t, l, now)
	s := store{dir: l.Dir, now: now}
	ca, err := s.load(CA)
	if err != nil {
		t.Fatal(err)
	}
	server, err := s.load(APIServer)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, name := range []string{"127.0.0.1", "localhost", "k3s-vm", "10.0.2.15", "10.43.0.1", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"} {
		if _, err := server.cert.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := server.cert.NotAfter.Sub(now); left < LeafLifetime-time.Minute || left > LeafLifetime+time.Minute {
		t.Errorf("valid for another %v", left)
	}
}

func TestSecondCallChangesNothing(t *testing.T) {
	l, now := layout(t), time.Now()
	ensure(t, l, now)
	before := map[string]string{}
	for _, dir := range []string{l.Dir, l.Clients} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			before[filepath.Join(dir, e.Name())] = read(t, filepath.Join(dir, e.Name()))
		}
	}
	ensure(t, l, now.Add(24*time.Hour))
	for path, content := range before {
		if read(t, path) != content {
			t.Errorf("%s changed", path)
		}
	}
}

func TestLeavesAreRenewedAndTheAuthorityIsKept(t *testing.T) {
	l, now := layout(t), time.Now()
	ensure(t, l, now)
	ca, server, admin := read(t, l.File("ca.crt")), read(t, l.File("apiserver.crt")), read(t, l.Admin)
	ensure(t, l, now.Add(LeafLifetime-renewBefore+time.Hour))
	if read(t, l.File("ca.crt")) != ca {
		t.Error("the authority changed")
	}
	if read(t, l.File("apiserver.crt")) == server {
		t.Error("the API server's certificate was not renewed")
	}
	if read(t, l.Admin) == admin {
		t.Error("the administrator's kubeconfig was not renewed")
	}
}

func TestNewAddressMakesNewServerCertificate(t *testing.T) {
	l, now := layout(t), time.Now()
	ensure(t, l, now)
	l.NodeIP = "192.0.2.7"
	ensure(t, l, now)
	p, err := store{dir: l.Dir, now: now}.load(APIServer)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cert.VerifyHostname("192.0.2.7"); err != nil {
		t.Error(err)
	}
}

func TestDamagedLeafIsReplaced(t *testing.T) {
	l, now := layout(t), time.Now()
	ensure(t, l, now)
	if err := os.WriteFile(l.File("apiserver.key"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ensure(t, l, now)
	if _, err := (store{dir: l.Dir, now: now}).load(APIServer); err != nil {
		t.Error(err)
	}
}

func TestAdminKubeconfigIsPrivateAndComplete(t *testing.T) {
	l := layout(t)
	ensure(t, l, time.Now())
	info, err := os.Stat(l.Admin)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	config, err := clientcmd.BuildConfigFromFlags("", l.Admin)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != l.Server || len(config.CAData) == 0 || len(config.CertData) == 0 || len(config.KeyData) == 0 {
		t.Errorf("incomplete: %+v", config)
	}
}
