package seed

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
)

func testImage(t *testing.T, text string) Image {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Image{Name: "example.com/test:1", Entrypoint: []string{"/bin/program"}, Files: map[string]string{"/bin/program": program},
		Dirs: map[string]os.FileMode{"/tmp": 0o777 | os.ModeSticky}, Pinned: true}
}

func open(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// check reads the store as containerd's CRI plugin does, and returns the directory with the unpacked files.
func check(t *testing.T, s *Store, name string) string {
	t.Helper()
	image, err := metadata.NewImageStore(s.db).Get(s.ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	if image.Labels["io.cri-containerd.image"] != "managed" || image.Labels["io.cri-containerd.pinned"] != "pinned" {
		t.Errorf("labels %v", image.Labels)
	}
	manifest, err := images.Manifest(s.ctx, s.db.ContentStore(), image.Target, platforms.Default())
	if err != nil {
		t.Fatal(err)
	}
	diffIDs, err := images.RootFS(s.ctx, s.db.ContentStore(), manifest.Config)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := s.db.Snapshotter(snapshotter).View(s.ctx, t.Name()+diffIDs[0].String(), identity.ChainID(diffIDs).String())
	if err != nil {
		t.Fatal(err)
	}
	return mounts[0].Source
}

func TestSeededImageIsCompleteAndUnpacked(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	if err := s.Add(testImage(t, "hello")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, root)
	defer s.Close()
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	dir := check(t, s, "example.com/test:1")
	data, err := os.ReadFile(filepath.Join(dir, "bin/program"))
	if err != nil || string(data) != "hello" {
		t.Errorf("%q, %v", data, err)
	}
	for path, mode := range map[string]os.FileMode{"bin/program": 0o755, "bin": os.ModeDir | 0o755, "tmp": os.ModeDir | os.ModeSticky | 0o777} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != mode {
			t.Errorf("%s: %v", path, info.Mode())
		}
	}
}

func TestSeedingTwiceChangesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	image := testImage(t, "hello")
	for range 2 {
		if err := s.Add(image); err != nil {
			t.Fatal(err)
		}
	}
	check(t, s, image.Name)
}

func TestNewContentReplacesOldContent(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	for _, text := range []string{"old", "new"} {
		if err := s.Add(testImage(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(filepath.Join(check(t, s, "example.com/test:1"), "bin/program")); string(data) != "new" {
		t.Errorf("%q", data)
	}
	blobs := 0
	if err := s.db.ContentStore().Walk(s.ctx, func(content.Info) error { blobs++; return nil }); err != nil {
		t.Fatal(err)
	}
	if blobs != 2 {
		t.Errorf("%d blobs are left", blobs)
	}
}

func TestStaticProgramNeedsNoLibraries(t *testing.T) {
	found, err := Libraries(os.Args[0], t.TempDir())
	if err != nil && !os.IsNotExist(err) {
		t.Skip("the test itself is linked dynamically")
	}
	if len(found) != 0 {
		t.Errorf("%v", found)
	}
}
