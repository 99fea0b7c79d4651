package server

import (
	"math"
	"runtime/debug"
)

// startHeap is how large the heap may grow during a start before the garbage collector runs. A start makes a lot of garbage in a short
// time; collecting it again and again costs a tenth of the processor time until Ready.
const startHeap = 320 << 20

// collectLess turns the collector off below startHeap. The returned function restores the default.
func collectLess() func() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(startHeap)
	return func() {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
	}
}
