package server

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	// The database's driver registers itself with kine.
	_ "github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/endpoint"
	"github.com/mattn/go-sqlite3"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
)

// sqliteOptions: with a write-ahead log and synchronous=FULL what the API has acknowledged is on the disk, whenever the power goes
// (https://www.sqlite.org/pragma.html#pragma_synchronous). With NORMAL, kine's default, the last transactions would be lost.
// The startup VACUUM is off because it rewrites the whole file at every boot.
const sqliteOptions = "_journal_mode=WAL&_busy_timeout=30000&_synchronous=FULL&_txlock=immediate&_stmt_cache_size=64&cache=shared&_kine_disable_startup_vacuum=true"

// startDatabase runs kine, which speaks etcd's protocol on a socket in RunDir and keeps its data in one SQLite file.
func startDatabase(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(cluster.Database), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(cluster.RunDir, 0o700); err != nil {
		return err
	}
	if err := checkDatabase(ctx, cluster.Database, cluster.DatabaseMarker); err != nil {
		return err
	}
	_, err := endpoint.Listen(ctx, endpoint.Config{
		Listener: cluster.DatabaseSocket,
		Endpoint: "sqlite://" + cluster.Database + "?" + sqliteOptions,
		// Writers in this process wake the readers; the interval only matters for writes from elsewhere, and there are none.
		PollInterval:  time.Second,
		PollBatchSize: 500,
		// Not longer: consistent lists wait for it when a watch is new and nothing is written.
		NotifyInterval:      5 * time.Second,
		CompactInterval:     5 * time.Minute,
		CompactTimeout:      5 * time.Second,
		CompactMinRetain:    1000,
		CompactBatchSize:    1000,
		EmulatedETCDVersion: "3.5.13",
	})
	if err != nil {
		return err
	}
	return writeMarker(cluster.DatabaseMarker)
}

// writeMarker records that there is a database, before the API acknowledges anything. The file and its name are on the disk when it
// returns.
func writeMarker(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// DamagedDatabase is the error of a start with a damaged database. The files are left as they are: an empty cluster in their place
// would hide the loss.
type DamagedDatabase struct {
	Path    string
	Problem error
}

// ExitDamaged is the exit status for it (EX_DATAERR of sysexits.h): the unit does not restart the process, and the host recognises the status.
const ExitDamaged = 65

func (d *DamagedDatabase) Error() string {
	return fmt.Sprintf("the cluster's database %s is damaged: %v", d.Path, d.Problem)
}

func (d *DamagedDatabase) Unwrap() error { return d.Problem }

// Advice is what the user can do, for the journal and the console.
func (d *DamagedDatabase) Advice() string {
	dir := filepath.Dir(d.Path)
	return fmt.Sprintf(`It was left as it is, and the cluster does not start.
k3s-vm ssh -- tar -C %s -c . > database.tar    # keeps it
k3s-vm reset    # a new, empty cluster; data on the old disk are lost
`, dir)
}

// checkDatabase checks the database before every start, not only after an unclean end: a file can be damaged without a crash.
// A missing or empty database is that of a new cluster only if marker is missing, too.
func checkDatabase(ctx context.Context, path, marker string) error {
	damaged := func(problem error) error { return &DamagedDatabase{path, problem} }
	info, err := os.Stat(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if err != nil || info.Size() == 0 {
		// SQLite would take both for a new database, and remove its log.
		_, unmarked := os.Stat(marker)
		switch {
		case os.IsNotExist(unmarked):
			return nil
		case unmarked != nil:
			return unmarked
		case err != nil:
			return damaged(errors.New("the file is missing"))
		}
		return damaged(errors.New("the file is empty"))
	}
	found, err := quickCheck(ctx, path)
	var answer sqlite3.Error
	switch {
	case errors.As(err, &answer) && (answer.Code == sqlite3.ErrCorrupt || answer.Code == sqlite3.ErrNotADB):
		return damaged(err)
	// A read error, or a start that is cancelled, says nothing about the content.
	case err != nil:
		return err
	case found != "":
		return damaged(errors.New(found))
	}
	return nil
}

// quickCheck returns what is wrong with the content (https://www.sqlite.org/pragma.html#pragma_quick_check).
func quickCheck(ctx context.Context, path string) (string, error) {
	// Read-only: the end of another connection would write the log into a file that may be damaged.
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&_busy_timeout=30000")
	if err != nil {
		return "", err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "PRAGMA quick_check(5)")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return "", err
		}
		if line != "ok" {
			found = append(found, line)
		}
	}
	return strings.Join(found, "; "), rows.Err()
}
