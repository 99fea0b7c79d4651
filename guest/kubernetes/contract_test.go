//go:build !tools

// Package contract checks that contract.json agrees with the code.
package contract

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/pki"
)

type contract struct {
	KubernetesVersion string   `json:"kubernetesVersion"`
	Kubeconfig        string   `json:"kubeconfig"`
	Service           string   `json:"service"`
	ContainerdSocket  string   `json:"containerdSocket"`
	NodeName          string   `json:"nodeName"`
	CertificateDays   int      `json:"certificateDays"`
	BuildCommand      []string `json:"buildCommand"`
	GoPackages        []string `json:"goPackages"`
	Overlay           string   `json:"overlay"`
	Install           []struct{ From, To, Mode string }
}

func read(t *testing.T) contract {
	t.Helper()
	data, err := os.ReadFile("contract.json")
	if err != nil {
		t.Fatal(err)
	}
	var c contract
	if err := json.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestContractAgreesWithTheCode(t *testing.T) {
	c := read(t)
	for what, pair := range map[string][2]string{
		"kubeconfig":       {c.Kubeconfig, cluster.AdminKubeconfig},
		"node name":        {c.NodeName, cluster.NodeName},
		"containerdSocket": {"unix://" + c.ContainerdSocket, cluster.ContainerdSocket},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, but the code says %q", what, pair[0], pair[1])
		}
	}
	if days := int(pki.LeafLifetime.Hours() / 24); days != c.CertificateDays {
		t.Errorf("certificates live for %d days", days)
	}
	if _, err := os.Stat(filepath.Join(c.Overlay, "etc/systemd/system", c.Service)); err != nil {
		t.Error(err)
	}
}

func TestVersionIsTheOneOfTheModule(t *testing.T) {
	c := read(t)
	modules, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(modules), "\tk8s.io/kubernetes "+c.KubernetesVersion+"\n") {
		t.Errorf("go.mod does not require k8s.io/kubernetes %s", c.KubernetesVersion)
	}
	if !strings.Contains(strings.Join(c.BuildCommand, " "), "gitVersion="+c.KubernetesVersion+" ") {
		t.Error("the build command sets another version")
	}
	if !strings.HasSuffix(cluster.AddonsImage, ":"+c.KubernetesVersion) {
		t.Errorf("the image of the workloads is %s", cluster.AddonsImage)
	}
}

func TestEveryInstalledProgramIsBuilt(t *testing.T) {
	c := read(t)
	built := map[string]bool{}
	for _, p := range c.GoPackages {
		if built[filepath.Base(p)] {
			t.Errorf("two packages make a program %s", filepath.Base(p))
		}
		built[filepath.Base(p)] = true
	}
	for _, i := range c.Install {
		if !built[i.From] {
			t.Errorf("%s is installed but not built", i.From)
		}
		if !filepath.IsAbs(i.To) {
			t.Errorf("%s is not absolute", i.To)
		}
	}
}
