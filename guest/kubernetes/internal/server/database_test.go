package server

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newDatabase makes a database of some pages, as kine leaves it: in mode WAL.
func newDatabase(t *testing.T) (string, *sql.DB) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db", "state.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeMarker(markerOf(path)); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	for _, statement := range []string{
		"CREATE TABLE kine (id INTEGER PRIMARY KEY, name TEXT, value BLOB)",
		"CREATE INDEX kine_name ON kine (name)",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<500) INSERT INTO kine SELECT i, 'name' || i, zeroblob(200) FROM n",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return path, db
}

// markerOf is where the marker of a test's database is: not in its directory.
func markerOf(path string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(path)), "marker")
}

// contents of all files beside path.
func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		// The index of the log, and a log without content, are no data.
		if !strings.HasSuffix(entry.Name(), "-shm") && len(content) > 0 {
			found[entry.Name()] = string(content)
		}
	}
	return found
}

func TestDamagedDatabaseWasReplacedByAnEmptyClusterWithoutAWord(t *testing.T) {
	damage := map[string]func(t *testing.T, path string, content []byte){
		"no database at all": func(t *testing.T, path string, content []byte) {
			write(t, path, slices.Repeat([]byte("damaged"), 1000))
		},
		"pages in its middle, after a clean end": func(t *testing.T, path string, content []byte) {
			for i := len(content) / 3; i < len(content)/2; i++ {
				content[i] = 0x5a
			}
			write(t, path, content)
		},
		"cut off": func(t *testing.T, path string, content []byte) { write(t, path, content[:len(content)/2]) },
		"empty":   func(t *testing.T, path string, content []byte) { write(t, path, nil) },
		"missing, and its log is there": func(t *testing.T, path string, content []byte) {
			write(t, path+"-wal", []byte("x"))
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"missing with all its files": func(t *testing.T, path string, content []byte) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			path, db := newDatabase(t)
			db.Close()
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			do(t, path, content)
			before := contents(t, path)
			err = checkDatabase(t.Context(), path, markerOf(path))
			var damaged *DamagedDatabase
			if !errors.As(err, &damaged) {
				t.Fatalf("it was taken for sound: %v", err)
			}
			for _, command := range []string{"k3s-vm ssh -- tar -C " + filepath.Dir(path), "k3s-vm reset"} {
				if !strings.Contains(damaged.Advice(), command) {
					t.Errorf("the user is not told %q: %s", command, damaged.Advice())
				}
			}
			after := contents(t, path)
			if len(before) != len(after) {
				t.Errorf("files: %d before, %d after", len(before), len(after))
			}
			for name, content := range before {
				if after[name] != content {
					t.Errorf("%s was changed", name)
				}
			}
		})
	}
}

func TestSoundDatabaseIsLeftAlone(t *testing.T) {
	path, db := newDatabase(t)
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		t.Fatalf("no write-ahead log: %v", err)
	}
	// As after a crash: files without the process that had them open.
	crashed := filepath.Join(t.TempDir(), "state.db")
	for name, content := range contents(t, path) {
		write(t, filepath.Join(filepath.Dir(crashed), name), []byte(content))
	}
	before := contents(t, crashed)
	if err := checkDatabase(t.Context(), crashed, markerOf(path)); err != nil {
		t.Error(err)
	}
	for name, content := range contents(t, crashed) {
		if before[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	db.Close()
	if err := checkDatabase(t.Context(), path, markerOf(path)); err != nil {
		t.Errorf("after a clean end: %v", err)
	}
}

func TestPowerLossDuringTheFirstStartIsNoDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	marker := filepath.Join(filepath.Dir(path), "marker")
	if err := checkDatabase(t.Context(), path, marker); err != nil {
		t.Errorf("of a new cluster: %v", err)
	}
	write(t, path, nil)
	write(t, path+"-wal", []byte("x"))
	if err := checkDatabase(t.Context(), path, marker); err != nil {
		t.Errorf("of a cluster whose API has never served: %v", err)
	}
}

func TestStartThatIsCancelledFindsNoDamage(t *testing.T) {
	path, _ := newDatabase(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var damaged *DamagedDatabase
	if err := checkDatabase(ctx, path, markerOf(path)); err == nil || errors.As(err, &damaged) {
		t.Errorf("%v", err)
	}
}

// What the API has acknowledged was lost with the power: kine's default is NORMAL, which does not sync the log at a commit.
func TestCommitsAreSynced(t *testing.T) {
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "state.db")+"?"+sqliteOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var synchronous int
	var mode string
	if err := db.QueryRow("PRAGMA synchronous").Scan(&synchronous); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil {
		t.Fatal(err)
	}
	if synchronous != 2 || mode != "wal" {
		t.Errorf("synchronous=%d (2 is FULL), journal_mode=%s", synchronous, mode)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCommit is what the promise of sqliteOptions costs: one row in a transaction of its own, with the options of the cluster and
// with kine's own default. To be run where the cluster runs, in a guest: what a sync takes is the disk's.
func BenchmarkCommit(b *testing.B) {
	for _, synchronous := range []string{"FULL", "NORMAL"} {
		options := strings.Replace(sqliteOptions, "_synchronous=FULL", "_synchronous="+synchronous, 1)
		b.Run(synchronous, func(b *testing.B) {
			db, err := sql.Open("sqlite3", "file:"+filepath.Join(b.TempDir(), "state.db")+"?"+options)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec("CREATE TABLE kine (id INTEGER PRIMARY KEY, name TEXT, value BLOB)"); err != nil {
				b.Fatal(err)
			}
			// As large as a small object.
			value := make([]byte, 1500)
			for b.Loop() {
				if _, err := db.Exec("INSERT INTO kine (name, value) VALUES ('/registry/configmaps/default/one', ?)", value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
