// Package provisioner makes the volumes of the StorageClass local-path: one directory for each claim, on the node's own disk,
// removed together with the claim.
package provisioner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Name is what StorageClasses call this provisioner.
const Name = "rancher.io/local-path"

// Local makes volumes in the directory Root, which is the same inside and outside the provisioner's container.
type Local struct{ Root string }

var _ controller.Provisioner = Local{}

// Provision makes the claim's directory and describes it as a volume that is tied to the node.
func (l Local) Provision(_ context.Context, options controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	claim := options.PVC
	if err := supported(claim); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if options.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished, errors.New("the StorageClass must have volumeBindingMode WaitForFirstConsumer: no node is selected")
	}
	path, err := l.path(directoryName(options.PVName, claim.Namespace, claim.Name))
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	// Containers run as any user, and the umask has removed bits.
	if err := os.Chmod(path, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, err
	}

	reclaim := v1.PersistentVolumeReclaimDelete
	if options.StorageClass.ReclaimPolicy != nil {
		reclaim = *options.StorageClass.ReclaimPolicy
	}
	mode, kind := v1.PersistentVolumeFilesystem, v1.HostPathDirectoryOrCreate
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: options.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   claim.Spec.AccessModes,
			VolumeMode:                    &mode,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			PersistentVolumeSource:        v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: path, Type: &kind}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{{
					Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{options.SelectedNodeName},
				}},
			}}}},
		},
	}, controller.ProvisioningFinished, nil
}

// Delete removes the directory and all that is in it.
func (l Local) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	if volume.Spec.HostPath == nil {
		return fmt.Errorf("volume %s has no host path", volume.Name)
	}
	path, err := l.path(filepath.Base(volume.Spec.HostPath.Path))
	if err != nil {
		return err
	}
	// A volume's path is data that users can write: nothing but a direct child of Root may ever be removed.
	if filepath.Clean(volume.Spec.HostPath.Path) != path {
		return fmt.Errorf("volume %s: %s is not a directory of %s", volume.Name, volume.Spec.HostPath.Path, l.Root)
	}
	return os.RemoveAll(path)
}

// path returns the path of a volume's directory, or an error if the name would lead out of Root.
func (l Local) path(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, filepath.Separator) {
		return "", fmt.Errorf("%q is no name for a directory", name)
	}
	return filepath.Join(l.Root, name), nil
}

// directoryName lets a person find a claim's data; the volume's name alone makes it unique.
func directoryName(volume, namespace, claim string) string {
	return strings.Join([]string{volume, namespace, claim}, "_")
}

// supported returns an error for claims that a directory cannot satisfy.
func supported(claim *v1.PersistentVolumeClaim) error {
	if claim.Spec.Selector != nil {
		return errors.New("claims with a selector are not supported")
	}
	if claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == v1.PersistentVolumeBlock {
		return errors.New("block volumes are not supported")
	}
	return nil
}
