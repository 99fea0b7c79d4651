package seed

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// libraryDirs are where a Debian tree keeps shared libraries; "*" is the machine's triplet.
var libraryDirs = []string{"usr/lib/*-linux-gnu", "usr/lib64", "usr/lib"}

// Libraries returns the dynamic loader and the shared libraries that a program needs, as files of the guest tree, keyed by the path
// where a container looks for them. A static program needs none. They come from the tree and not from the host,
// so that they are of the same make as everything else in the guest.
func Libraries(program, root string) (map[string]string, error) {
	found := map[string]string{}
	pending := []string{program}
	for len(pending) > 0 {
		path := pending[0]
		pending = pending[1:]
		interpreter, needed, err := dependencies(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if interpreter != "" {
			file, err := securejoin.SecureJoin(root, interpreter)
			if err != nil {
				return nil, err
			}
			if _, err := os.Stat(file); err != nil {
				return nil, fmt.Errorf("the loader of %s is not in the guest tree: %w", program, err)
			}
			found[interpreter] = file
		}
		for _, name := range needed {
			place := "/lib/" + name
			if _, ok := found[place]; ok || strings.HasPrefix(name, "ld-linux") {
				continue
			}
			file, err := findLibrary(root, name)
			if err != nil {
				return nil, fmt.Errorf("%s needs %s: %w", program, name, err)
			}
			found[place] = file
			pending = append(pending, file)
		}
	}
	return found, nil
}

// dependencies reads the dependencies of an executable or library.
func dependencies(path string) (interpreter string, needed []string, err error) {
	file, err := elf.Open(path)
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			data, err := io.ReadAll(segment.Open())
			if err != nil {
				return "", nil, err
			}
			interpreter = strings.TrimRight(string(data), "\x00")
		}
	}
	needed, err = file.ImportedLibraries()
	return interpreter, needed, err
}

func findLibrary(root, name string) (string, error) {
	for _, dir := range libraryDirs {
		matches, err := filepath.Glob(filepath.Join(root, dir, name))
		if err != nil {
			return "", err
		}
		for _, match := range matches {
			inside, err := filepath.Rel(root, match)
			if err != nil {
				return "", err
			}
			// Links in the tree are meant relative to the tree.
			return securejoin.SecureJoin(root, inside)
		}
	}
	return "", os.ErrNotExist
}
