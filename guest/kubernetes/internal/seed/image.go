// Package seed puts container images into a guest tree before its first boot: into containerd's content store, its database and
// its overlayfs snapshotter, as an import would leave them, already unpacked. It uses containerd's own packages for all three,
// mounts nothing and needs no daemon.
package seed

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image of one layer, described by the files that are in it.
type Image struct {
	// Name is the full reference, as the kubelet asks for it.
	Name       string
	Entrypoint []string
	// Files maps a path in the image to a file of the host.
	Files map[string]string
	// Dirs are empty directories, with their modes.
	Dirs map[string]os.FileMode
	// Pinned images are never removed to make room.
	Pinned bool
}

// entry is one file or directory of a layer.
type entry struct {
	path   string
	source string
	mode   os.FileMode
}

// entries returns all files and directories of the layer, parents first.
func (i Image) entries() []entry {
	all := map[string]entry{}
	add := func(e entry) {
		for dir := filepath.Dir(e.path); dir != "."; dir = filepath.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = entry{path: dir, mode: os.ModeDir | 0o755}
			}
		}
		all[e.path] = e
	}
	for path, source := range i.Files {
		add(entry{path: relative(path), source: source, mode: 0o755})
	}
	for path, mode := range i.Dirs {
		add(entry{path: relative(path), mode: os.ModeDir | mode})
	}
	sorted := make([]entry, 0, len(all))
	for _, e := range all {
		sorted = append(sorted, e)
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a].path < sorted[b].path })
	return sorted
}

func relative(path string) string { return strings.TrimPrefix(filepath.Clean("/"+path), "/") }

// epoch is the time of every file, so that the same programs always make the same image.
var epoch = time.Unix(0, 0).UTC()

// layer describes the layer as the archive that it would be. The archive itself is not stored: containers use the unpacked copy.
func (i Image) layer() (ocispec.Descriptor, error) {
	hash := sha256.New()
	counter := &countingWriter{to: hash}
	archive := tar.NewWriter(counter)
	for _, e := range i.entries() {
		header := &tar.Header{Name: e.path, Mode: int64(tarMode(e.mode)), ModTime: epoch, Typeflag: tar.TypeReg}
		if e.mode.IsDir() {
			header.Name += "/"
			header.Typeflag = tar.TypeDir
			if err := archive.WriteHeader(header); err != nil {
				return ocispec.Descriptor{}, err
			}
			continue
		}
		if err := addFile(archive, header, e.source); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	if err := archive.Close(); err != nil {
		return ocispec.Descriptor{}, err
	}
	return ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayer,
		Digest:    digest.NewDigest(digest.SHA256, hash),
		Size:      counter.n,
	}, nil
}

func addFile(archive *tar.Writer, header *tar.Header, source string) error {
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header.Size = info.Size()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}

func tarMode(mode os.FileMode) uint32 {
	bits := uint32(mode.Perm())
	if mode&os.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}

type countingWriter struct {
	to io.Writer
	n  int64
}

func (w *countingWriter) Write(data []byte) (int, error) {
	n, err := w.to.Write(data)
	w.n += int64(n)
	return n, err
}

// unpack writes the layer's files into dir.
func (i Image) unpack(dir string) error {
	for _, e := range i.entries() {
		path := filepath.Join(dir, e.path)
		if e.mode.IsDir() {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			if err := os.Chmod(path, e.mode&^os.ModeDir); err != nil {
				return err
			}
		} else if err := copyFile(path, e.source, e.mode); err != nil {
			return err
		}
		if err := os.Chtimes(path, epoch, epoch); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(path, source string, mode os.FileMode) error {
	from, err := os.Open(source)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	if err := to.Chmod(mode); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}

// blob is a document of an image with its address.
type blob struct {
	ocispec.Descriptor
	data []byte
}

func newBlob(mediaType string, document any) (blob, error) {
	data, err := json.Marshal(document)
	if err != nil {
		return blob{}, err
	}
	return blob{ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}, data}, nil
}

// documents returns the image's configuration and manifest.
func (i Image) documents(layer ocispec.Descriptor, architecture string) (config, manifest blob, err error) {
	config, err = newBlob(ocispec.MediaTypeImageConfig, ocispec.Image{
		Created:  &epoch,
		Platform: ocispec.Platform{Architecture: architecture, OS: "linux"},
		Config:   ocispec.ImageConfig{Entrypoint: i.Entrypoint, WorkingDir: "/"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	if err != nil {
		return config, manifest, fmt.Errorf("%s: %w", i.Name, err)
	}
	manifest, err = newBlob(ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config.Descriptor,
		Layers:    []ocispec.Descriptor{layer},
	})
	return config, manifest, err
}
