package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestListOfDocumentsIsMadeOnce(t *testing.T) {
	begun := make(chan struct{})
	close(begun)
	d := &deferredOpenAPI{begin: begun, published: make(chan struct{})}
	asked := map[string]int{}
	status := http.StatusInternalServerError
	d.once.Do(func() {
		d.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[r.URL.Path]++
			w.WriteHeader(status)
			_, _ = io.WriteString(w, r.URL.Path)
		})
	})
	get := func(path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		d.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		return answer
	}
	if answer := get(discoveryPath); answer.Code != status {
		t.Errorf("a failure became %d", answer.Code)
	}
	select {
	case <-d.published:
		t.Error("a failure was published")
	default:
	}
	status = http.StatusOK
	for range 3 {
		if answer := get(discoveryPath); answer.Code != status || answer.Body.String() != discoveryPath {
			t.Errorf("%d %s", answer.Code, answer.Body)
		}
	}
	<-d.published
	document := discoveryPath + "/api/v1"
	for range 2 {
		if answer := get(document); answer.Body.String() != document {
			t.Errorf("%s", answer.Body)
		}
	}
	if asked[discoveryPath] != 2 || asked[document] != 2 {
		t.Errorf("asked %v", asked)
	}
}
