// A package of its own: with these imports the one under test would be initialised after the provider.
package queuemetrics_test

import (
	"strings"
	"testing"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/workqueue"

	_ "k3s-vm.dev/guest/kubernetes/internal/queuemetrics"
)

func TestQueuesHaveNoMetrics(t *testing.T) {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[string]{Name: "named"})
	defer queue.ShutDown()
	queue.Add("item")
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "workqueue_") {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetValue() == "named" {
					t.Errorf("the queue counts %s", family.GetName())
				}
			}
		}
	}
}
