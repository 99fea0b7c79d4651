package seed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
)

// Directories below containerd's root directory: names of plugins, so part of its stable layout.
const (
	contentDir     = "io.containerd.content.v1.content"
	snapshotterDir = "io.containerd.snapshotter.v1.overlayfs"
	metadataFile   = "io.containerd.metadata.v1.bolt/meta.db"
	snapshotter    = "overlayfs"

	// kubernetesNamespace is containerd's namespace for the kubelet.
	kubernetesNamespace = "k8s.io"
)

// Store is containerd's state in a guest tree.
type Store struct {
	db    *metadata.DB
	bolt  *bolt.DB
	snaps snapshots.Snapshotter
	ctx   context.Context
}

// Open opens or makes the state below root, containerd's root directory.
func Open(ctx context.Context, root string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(root, filepath.Dir(metadataFile)), 0o700); err != nil {
		return nil, err
	}
	contents, err := local.NewStore(filepath.Join(root, contentDir))
	if err != nil {
		return nil, err
	}
	// With this option given, the snapshotter need not find out by a trial mount whether it is necessary. It is used for mounts only.
	snaps, err := overlay.NewSnapshotter(filepath.Join(root, snapshotterDir), overlay.WithMountOptions([]string{"userxattr"}))
	if err != nil {
		return nil, err
	}
	file, err := bolt.Open(filepath.Join(root, metadataFile), 0o644, &bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return nil, errors.Join(err, snaps.Close())
	}
	ctx = namespaces.WithNamespace(ctx, kubernetesNamespace)
	db := metadata.NewDB(file, contents, map[string]snapshots.Snapshotter{snapshotter: snaps})
	s := &Store{db: db, bolt: file, snaps: snaps, ctx: ctx}
	if err := db.Init(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close writes everything out and closes the files.
func (s *Store) Close() error { return errors.Join(s.snaps.Close(), s.bolt.Close()) }

// Add puts an image in, or replaces the one of that name. Adding the same again changes nothing.
func (s *Store) Add(image Image) error {
	layer, err := image.layer()
	if err != nil {
		return err
	}
	config, manifest, err := image.documents(layer, runtime.GOARCH)
	if err != nil {
		return err
	}
	// containerd's garbage collector keeps what it can reach by these labels: image -> manifest -> configuration -> snapshot.
	if err := s.write(config, map[string]string{"containerd.io/gc.ref.snapshot." + snapshotter: layer.Digest.String()}); err != nil {
		return err
	}
	if err := s.write(manifest, map[string]string{"containerd.io/gc.ref.content.config": config.Digest.String()}); err != nil {
		return err
	}
	// The chain of a single layer is named like the layer.
	if err := s.snapshot(layer.Digest.String(), image); err != nil {
		return err
	}
	labels := map[string]string{"io.cri-containerd.image": "managed"}
	if image.Pinned {
		labels["io.cri-containerd.pinned"] = "pinned"
	}
	record := images.Image{Name: image.Name, Target: manifest.Descriptor, Labels: labels}
	store := metadata.NewImageStore(s.db)
	if _, err = store.Create(s.ctx, record); errdefs.IsAlreadyExists(err) {
		_, err = store.Update(s.ctx, record)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", image.Name, err)
	}
	return nil
}

func (s *Store) write(b blob, labels map[string]string) error {
	err := content.WriteBlob(s.ctx, s.db.ContentStore(), b.Digest.String(), bytes.NewReader(b.data), b.Descriptor, content.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// snapshot unpacks the image and commits it under name.
func (s *Store) snapshot(name string, image Image) error {
	snaps := s.db.Snapshotter(snapshotter)
	if _, err := snaps.Stat(s.ctx, name); err == nil {
		return nil
	} else if !errdefs.IsNotFound(err) {
		return err
	}
	key := "seed " + name
	// An interrupted run may have left it behind.
	if err := snaps.Remove(s.ctx, key); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	mounts, err := snaps.Prepare(s.ctx, key, "")
	if err != nil {
		return err
	}
	// A snapshot without a parent is one plain directory that would be bound somewhere; it can be written where it is.
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return fmt.Errorf("snapshot of %s: expected one bind mount, got %v", image.Name, mounts)
	}
	if err := os.Chmod(mounts[0].Source, 0o755); err != nil {
		return err
	}
	if err := image.unpack(mounts[0].Source); err != nil {
		return err
	}
	return snaps.Commit(s.ctx, name, key)
}

// Sweep removes content that no image refers to any more.
func (s *Store) Sweep() error {
	_, err := s.db.GarbageCollect(s.ctx)
	return err
}
