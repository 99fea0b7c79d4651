package main

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestVisitsSurviveTheProcess(t *testing.T) {
	directory := t.TempDir()
	for want := uint64(1); want <= 3; want++ {
		counter, err := openVisits(directory)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := counter.add(); err != nil || got != want {
			t.Fatalf("got %d and %v, want %d", got, err, want)
		}
	}
	left, err := os.ReadDir(directory)
	if err != nil || len(left) != 1 {
		t.Errorf("the directory holds %v (%v), want the count alone", left, err)
	}
}

func TestVisitsAtOnceAreAllCounted(t *testing.T) {
	counter, err := openVisits(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			if _, err := counter.add(); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
	if got := counter.now(); got != 20 {
		t.Errorf("got %d", got)
	}
}

func TestABrokenCountIsNoNewBeginning(t *testing.T) {
	directory := t.TempDir()
	if err := os.WriteFile(filepath.Join(directory, "visits"), []byte("many"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openVisits(directory); err == nil {
		t.Error("a broken count was taken")
	}
}

func TestAFailedWriteIsNotCounted(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "gone")
	counter, err := openVisits(directory)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := counter.add(); err == nil || counter.now() != 0 {
		t.Errorf("got %v and count %d", err, counter.now())
	}
}
