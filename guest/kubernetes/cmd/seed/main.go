// Command seed runs on the build host and puts the images that the cluster itself needs into a guest tree.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/log"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
	"k3s-vm.dev/guest/kubernetes/internal/seed"
)

func main() {
	root := flag.String("root", "", "the guest tree")
	bin := flag.String("bin", "", "directory with the built programs addons and pause")
	flag.Parse()
	// containerd's packages warn about the host's filesystem, which does not matter for the guest.
	_ = log.SetLevel("error")
	if *root == "" || *bin == "" || flag.NArg() != 0 {
		flag.Usage()
		os.Exit(64)
	}
	if err := run(*root, *bin); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func run(root, bin string) (err error) {
	images := []seed.Image{
		{Name: cluster.PauseImage, Entrypoint: []string{"/pause"}, Files: map[string]string{"/pause": filepath.Join(bin, "pause")}, Pinned: true},
		{Name: cluster.AddonsImage, Entrypoint: []string{"/addons"}, Files: map[string]string{"/addons": filepath.Join(bin, "addons")}, Pinned: true,
			Dirs: map[string]os.FileMode{"/tmp": 0o777 | os.ModeSticky, "/etc": 0o755}},
	}
	store, err := seed.Open(context.Background(), filepath.Join(root, "var/lib/containerd"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, image := range images {
		libraries, err := seed.Libraries(image.Files[image.Entrypoint[0]], root)
		if err != nil {
			return err
		}
		for place, file := range libraries {
			image.Files[place] = file
		}
		if err := store.Add(image); err != nil {
			return err
		}
	}
	return store.Sweep()
}
