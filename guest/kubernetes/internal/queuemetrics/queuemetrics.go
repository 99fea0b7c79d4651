// Package queuemetrics turns off the metrics of client-go's work queues, for the programs that import it.
//
// Each queue that has metrics wakes up twice a second to bring them up to date. Kubernetes' components make some hundred queues, and
// under emulation these wake-ups were a quarter of what an idle cluster cost.
package queuemetrics

import (
	"sync"
	_ "unsafe" // for go:linkname

	_ "k8s.io/client-go/util/workqueue"
)

// providerOnce registers only the first provider of metrics. Upstream has no switch for "none".
//
//go:linkname providerOnce k8s.io/client-go/util/workqueue.setGlobalMetricsProviderOnce
var providerOnce sync.Once

// Of all packages whose imports are initialised, Go initialises the first by import path. The provider registers itself when
// k8s.io/component-base/metrics/prometheus/workqueue is initialised, which this package's path comes before. A test checks that.
func init() { providerOnce.Do(func() {}) }
