package manifests

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
)

func TestEveryObjectCanBeApplied(t *testing.T) {
	objects, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, object := range objects {
		if _, ok := resources[object.GroupVersionKind()]; !ok {
			t.Errorf("%s %s: kind is not in the table", object.GroupVersionKind(), object.GetName())
		}
		if object.GetAnnotations()[digestAnnotation] == "" {
			t.Errorf("%s %s: no digest", object.GetKind(), object.GetName())
		}
		key := object.GetKind() + "/" + object.GetNamespace() + "/" + object.GetName()
		if seen[key] {
			t.Errorf("%s occurs twice", key)
		}
		seen[key] = true
	}
	for _, want := range []string{"Deployment/kube-system/coredns", "Deployment/kube-system/metrics-server",
		"Deployment/kube-system/local-path-provisioner", "StorageClass//local-path", "APIService//v1beta1.metrics.k8s.io"} {
		if !seen[want] {
			t.Errorf("%s is missing", want)
		}
	}
}

func TestFilesAgreeWithTheConstantsOfTheCluster(t *testing.T) {
	for name, wants := range map[string][]string{
		"coredns.yaml":        {"image: " + cluster.AddonsImage, "clusterIP: " + cluster.DNSServiceIP, "kubernetes " + cluster.Domain, cluster.Host + " " + cluster.HostName},
		"metrics-server.yaml": {"image: " + cluster.AddonsImage},
		"local-storage.yaml":  {"image: " + cluster.AddonsImage, "path: " + cluster.StorageDir, "--directory=" + cluster.StorageDir},
	} {
		data, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !strings.Contains(string(data), want) {
				t.Errorf("%s does not contain %q", name, want)
			}
		}
	}
}

// From the second start on the API answers like this for the cluster's DNS, and each start kept trying for two minutes.
func TestServiceWhoseOwnAddressIsTakenIsLeftAlone(t *testing.T) {
	objects, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	taken := apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "kube-dns", nil)
	for _, object := range objects {
		if object.GetKind() != "Service" || object.GetName() != "kube-dns" {
			continue
		}
		for _, exists := range []bool{true, false} {
			var there []runtime.Object
			if exists {
				there = append(there, object.DeepCopy())
			}
			client := fake.NewSimpleDynamicClient(runtime.NewScheme(), there...)
			client.PrependReactor("create", "services", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, taken })
			err := apply(t.Context(), client, object)
			if exists && err != nil {
				t.Errorf("it exists: %v", err)
			}
			if !exists && !apierrors.IsInvalid(err) {
				t.Errorf("it does not exist: %v", err)
			}
		}
	}
}
