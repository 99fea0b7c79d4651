package main

import (
	"slices"
	"testing"
)

func TestInjectedLeavesOutTheRuntimeAndHidesSecrets(t *testing.T) {
	got := injected([]string{
		"PATH=/bin", "HOSTNAME=web-1", "HOME=/", "KUBERNETES_SERVICE_HOST=10.43.0.1",
		"GREETING=Hi = there", "KUBECONFIG_PRIMARY=abcdef", "API_TOKEN=xyz", "DB_PASSWORD=", "MONKEY=banana", "EMPTY=",
	})
	want := []variable{
		{Name: "API_TOKEN", Value: "set, 3 characters", Secret: true},
		{Name: "DB_PASSWORD", Value: "empty", Secret: true},
		{Name: "EMPTY"},
		{Name: "GREETING", Value: "Hi = there"},
		{Name: "KUBECONFIG_PRIMARY", Value: "set, 6 characters", Secret: true},
		{Name: "MONKEY", Value: "banana"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
