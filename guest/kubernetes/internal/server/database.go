package server

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	// The database's driver registers itself with kine.
	_ "github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/endpoint"
	"k8s.io/klog/v2"

	"k3s-vm.dev/guest/kubernetes/internal/cluster"
)

// sqliteOptions: with a write-ahead log and synchronous=NORMAL a power cut may lose the last transactions but cannot damage the file.
// The startup VACUUM is off because it rewrites the whole file at every boot.
const sqliteOptions = "_journal_mode=WAL&_busy_timeout=30000&_synchronous=NORMAL&_txlock=immediate&_stmt_cache_size=64&cache=shared&_kine_disable_startup_vacuum=true"

// startDatabase runs kine, which speaks etcd's protocol on a socket in RunDir and keeps its data in one SQLite file.
func startDatabase(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(cluster.Database), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(cluster.RunDir, 0o700); err != nil {
		return err
	}
	if err := checkAfterCrash(ctx, cluster.Database); err != nil {
		return err
	}
	_, err := endpoint.Listen(ctx, endpoint.Config{
		Listener: cluster.DatabaseSocket,
		Endpoint: "sqlite://" + cluster.Database + "?" + sqliteOptions,
		// Writers in this process wake the readers; the interval only matters for writes from elsewhere, and there are none.
		PollInterval:  time.Second,
		PollBatchSize: 500,
		// Not longer: lists that must be current wait for it where a watch is new and nothing is written.
		NotifyInterval:      5 * time.Second,
		CompactInterval:     5 * time.Minute,
		CompactTimeout:      5 * time.Second,
		CompactMinRetain:    1000,
		CompactBatchSize:    1000,
		EmulatedETCDVersion: "3.5.13",
	})
	return err
}

// checkAfterCrash looks the database over when the last run did not end cleanly: a clean end removes the write-ahead log.
// A damaged file is moved aside, so that the guest comes up with an empty cluster instead of not at all, and nothing is lost for good.
func checkAfterCrash(ctx context.Context, path string) error {
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() == 0 {
		return nil
	}
	problem := quickCheck(ctx, path)
	if problem == nil {
		return nil
	}
	aside := fmt.Sprintf("%s.damaged-%s", path, time.Now().UTC().Format("20060102T150405"))
	klog.ErrorS(problem, "The cluster's database is damaged and was moved aside; the cluster starts empty", "movedTo", aside)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, aside+suffix); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

func quickCheck(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite3", "file:"+path)
	if err != nil {
		return err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "PRAGMA quick_check")
	if err != nil {
		return err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if line != "ok" {
			found = append(found, line)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s", strings.Join(found, "; "))
	}
	return nil
}
