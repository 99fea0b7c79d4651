package provisioner

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func request() controller.ProvisionOptions {
	return controller.ProvisionOptions{
		StorageClass: &storagev1.StorageClass{}, PVName: "pvc-1", SelectedNodeName: "k3s-vm",
		PVC: &v1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "data"},
			Spec: v1.PersistentVolumeClaimSpec{
				AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
				Resources:   v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
			},
		},
	}
}

func TestVolumeIsADirectoryThatGoesWithIt(t *testing.T) {
	l := Local{Root: t.TempDir()}
	volume, _, err := l.Provision(context.Background(), request())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(l.Root, "pvc-1_default_data")
	if volume.Spec.HostPath.Path != path {
		t.Errorf("path %s", volume.Spec.HostPath.Path)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o777 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := os.WriteFile(filepath.Join(path, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(context.Background(), volume); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if err := l.Delete(context.Background(), volume); err != nil {
		t.Errorf("deleting twice: %v", err)
	}
}

func TestNothingOutsideTheRootIsDeleted(t *testing.T) {
	outside := t.TempDir()
	l := Local{Root: filepath.Join(t.TempDir(), "storage")}
	for _, path := range []string{outside, l.Root, filepath.Join(l.Root, ".."), filepath.Join(l.Root, "a", "..", "..", "b"), filepath.Join(l.Root, "a", "b"), "/", ""} {
		volume := &v1.PersistentVolume{Spec: v1.PersistentVolumeSpec{PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path}}}}
		if err := l.Delete(context.Background(), volume); err == nil {
			t.Errorf("%q was accepted", path)
		}
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

func TestWhatADirectoryCannotBeIsRefused(t *testing.T) {
	l := Local{Root: t.TempDir()}
	block := v1.PersistentVolumeBlock
	for name, change := range map[string]func(*controller.ProvisionOptions){
		"block":     func(o *controller.ProvisionOptions) { o.PVC.Spec.VolumeMode = &block },
		"selector":  func(o *controller.ProvisionOptions) { o.PVC.Spec.Selector = &metav1.LabelSelector{} },
		"no node":   func(o *controller.ProvisionOptions) { o.SelectedNodeName = "" },
		"odd claim": func(o *controller.ProvisionOptions) { o.PVC.Name = "../../etc" },
	} {
		o := request()
		change(&o)
		if _, _, err := l.Provision(context.Background(), o); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
