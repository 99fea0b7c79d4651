package server

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
)

// ConfigureLogging logs warnings and errors to the journal. With verbose, all that upstream logs by default: some thousand lines
// a start, which cost seconds under emulation.
func ConfigureLogging(verbose bool) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	klog.InitFlags(flags)
	if verbose {
		return
	}
	_ = flags.Set("logtostderr", "false")
	_ = flags.Set("alsologtostderr", "false")
	_ = flags.Set("stderrthreshold", "WARNING")
	klog.SetOutput(io.Discard)
	logrus.SetLevel(logrus.WarnLevel)
}

// milestone logs one of the few lines that show how long the parts of a start took.
func milestone(what string, since time.Duration, details ...any) {
	fmt.Fprintf(os.Stderr, "%s after %.2fs", what, since.Seconds())
	for i := 0; i+1 < len(details); i += 2 {
		fmt.Fprintf(os.Stderr, " %v=%v", details[i], details[i+1])
	}
	fmt.Fprintln(os.Stderr)
}
