package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func testApplication(t *testing.T, kubeconfig string, environment ...string) http.Handler {
	t.Helper()
	visits, err := openVisits(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	app := &application{
		environment: func() []string { return environment },
		visits:      visits,
		cluster:     clusterFromEnvironment(kubeconfig),
		started:     time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
	}
	return app.handler()
}

func get(handler http.Handler, path string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return recorder
}

func readState(t *testing.T, handler http.Handler) state {
	t.Helper()
	var read state
	if err := json.Unmarshal(get(handler, "/api/state").Body.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	return read
}

func TestThePageShowsEverythingButSecrets(t *testing.T) {
	kubeconfig := apiServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(nodeList)) })
	handler := testApplication(t, kubeconfig, "GREETING=Good <day>", "KUBECONFIG_PRIMARY="+kubeconfig)
	answer := get(handler, "/")
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	text := answer.Body.String()
	for _, want := range []string{"<h1>Good &lt;day&gt;</h1>", `<span class="count">1</span>`, "k3s-vm</th>", "v1.37.2", "set, "} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, kubeconfig) {
		t.Error("the page shows the kubeconfig")
	}
}

func TestOnlyThePageCountsVisits(t *testing.T) {
	handler := testApplication(t, "")
	get(handler, "/")
	get(handler, "/")
	get(handler, "/healthz")
	get(handler, "/favicon.ico")
	readState(t, handler)
	if got := readState(t, handler).Visits; got != 2 {
		t.Errorf("got %d visits", got)
	}
}

func TestTheStateIsForPrograms(t *testing.T) {
	handler := testApplication(t, "", "GREETING=Hi")
	got := readState(t, handler)
	host, _ := os.Hostname()
	if got.Greeting != "Hi" || got.Pod != host || len(got.Variables) != 1 || got.Variables[0].Value != "Hi" {
		t.Errorf("got %+v", got)
	}
	if got.NodesError != "KUBECONFIG_PRIMARY: is not set" {
		t.Errorf("got %q", got.NodesError)
	}
	if body := get(handler, "/api/state").Body.String(); !strings.Contains(body, `"nodes": []`) {
		t.Errorf("no nodes must be an empty list: %s", body)
	}
}

func TestAVisitThatCannotBeCountedIsAnError(t *testing.T) {
	app := &application{
		environment: os.Environ,
		visits:      &visits{path: t.TempDir() + "/gone/visits"},
		cluster:     clusterFromEnvironment(""),
	}
	if answer := get(app.handler(), "/"); answer.Code != http.StatusInternalServerError {
		t.Errorf("got %d", answer.Code)
	}
}

func TestHealthAndUnknownPaths(t *testing.T) {
	handler := testApplication(t, "")
	if answer := get(handler, "/healthz"); answer.Code != http.StatusOK || answer.Body.String() != "ok\n" {
		t.Errorf("got %d %q", answer.Code, answer.Body)
	}
	if answer := get(handler, "/nothing"); answer.Code != http.StatusNotFound {
		t.Errorf("got %d", answer.Code)
	}
}
