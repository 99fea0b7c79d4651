// Package manifests holds the cluster's own workloads (DNS, metrics, storage) and brings them into the cluster at every start.
package manifests

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

//go:embed *.yaml
var files embed.FS

const (
	fieldManager = "k3s-vm"
	// digestAnnotation is the digest of an object's manifest. While it is current the object is not applied again, so that
	// a restart costs one read for each object, and users' changes stay.
	digestAnnotation = "k3s-vm.dev/manifest"

	retryInterval = 500 * time.Millisecond
	retryPatience = 2 * time.Minute
)

// resources are the kinds that occur in the files. With this table no discovery is needed, which is slow on a cluster that just started.
var resources = map[schema.GroupVersionKind]schema.GroupVersionResource{}

func init() {
	for _, r := range []struct{ group, version, kind, resource string }{
		{"", "v1", "ServiceAccount", "serviceaccounts"},
		{"", "v1", "ConfigMap", "configmaps"},
		{"", "v1", "Service", "services"},
		{"apps", "v1", "Deployment", "deployments"},
		{"rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"},
		{"rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"},
		{"rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"},
		{"storage.k8s.io", "v1", "StorageClass", "storageclasses"},
		{"apiregistration.k8s.io", "v1", "APIService", "apiservices"},
	} {
		resources[schema.GroupVersionKind{Group: r.group, Version: r.version, Kind: r.kind}] =
			schema.GroupVersionResource{Group: r.group, Version: r.version, Resource: r.resource}
	}
}

// Apply brings all objects into the cluster that the kubeconfig names.
func Apply(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	objects, err := load(files)
	if err != nil {
		return err
	}
	var failed []error
	for _, object := range objects {
		if err := applyPatiently(ctx, client, object); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err))
		}
	}
	return errors.Join(failed...)
}

// applyPatiently tries again for a while: just after a start, namespaces and defaults may not be there yet.
func applyPatiently(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured) error {
	ctx, cancel := context.WithTimeout(ctx, retryPatience)
	defer cancel()
	for {
		err := apply(ctx, client, object)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(retryInterval):
		case <-ctx.Done():
			return err
		}
	}
}

func apply(ctx context.Context, client dynamic.Interface, object *unstructured.Unstructured) error {
	resource, ok := resources[object.GroupVersionKind()]
	if !ok {
		return fmt.Errorf("the kind %s is not in the table of resources", object.GroupVersionKind())
	}
	var target dynamic.ResourceInterface = client.Resource(resource)
	if namespace := object.GetNamespace(); namespace != "" {
		target = client.Resource(resource).Namespace(namespace)
	}
	// Creating first: at the first start, the one whose duration matters, every object is new.
	_, refused := target.Create(ctx, object, metav1.CreateOptions{FieldManager: fieldManager})
	// Creating a Service with a fixed address again fails because its address is taken, before the API checks its name.
	if !apierrors.IsAlreadyExists(refused) && !apierrors.IsInvalid(refused) {
		return refused
	}
	current, err := target.Get(ctx, object.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return refused
	}
	if err != nil {
		return err
	}
	if current.GetAnnotations()[digestAnnotation] == object.GetAnnotations()[digestAnnotation] {
		return nil
	}
	data, err := json.Marshal(object)
	if err != nil {
		return err
	}
	force := true
	_, err = target.Patch(ctx, object.GetName(), types.ApplyPatchType, data, metav1.PatchOptions{FieldManager: fieldManager, Force: &force})
	return err
}

// load reads all objects of all files and marks each with the digest of its content.
func load(from fs.FS) ([]*unstructured.Unstructured, error) {
	names, err := fs.Glob(from, "*.yaml")
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, name := range names {
		data, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, err
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
		for {
			object := &unstructured.Unstructured{}
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if len(object.Object) == 0 {
				continue
			}
			content, err := json.Marshal(object)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			digest := sha256.Sum256(content)
			annotations := object.GetAnnotations()
			if annotations == nil {
				annotations = map[string]string{}
			}
			annotations[digestAnnotation] = hex.EncodeToString(digest[:8])
			object.SetAnnotations(annotations)
			objects = append(objects, object)
		}
	}
	return objects, nil
}
