package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// visits is a counter in a file, so that it survives the process, the pod and the VM.
type visits struct {
	mutex sync.Mutex
	path  string
	count uint64
}

// openVisits reads the counter in the directory; without a file it begins at 0. A file that cannot be read is an error, so
// that no count is lost.
func openVisits(directory string) (*visits, error) {
	path := filepath.Join(directory, "visits")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &visits{path: path}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the count of visits: %w", err)
	}
	count, err := strconv.ParseUint(strings.TrimSpace(string(content)), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s holds no count: %w", path, err)
	}
	return &visits{path: path, count: count}, nil
}

// add counts one visit and returns the new count, which has been synced to the disk.
func (v *visits) add() (uint64, error) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if err := replace(v.path, strconv.FormatUint(v.count+1, 10)+"\n"); err != nil {
		return v.count, fmt.Errorf("cannot keep the count of visits: %w", err)
	}
	v.count++
	return v.count, nil
}

func (v *visits) now() uint64 {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	return v.count
}

// replace replaces the content of the file atomically.
func replace(path, content string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".visits-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(file.Name())
		}
	}()
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Sync()
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
