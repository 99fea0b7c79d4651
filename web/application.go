package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"html/template"
	"log"
	"net/http"
	"os"
	"time"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// application handles the requests.
type application struct {
	environment func() []string
	visits      *visits
	cluster     *cluster
	started     time.Time
}

// state is the content of the page and of /api/state.
type state struct {
	Greeting   string     `json:"greeting"`
	Pod        string     `json:"pod"`
	Started    time.Time  `json:"started"`
	Visits     uint64     `json:"visits"`
	Variables  []variable `json:"variables"`
	Nodes      []node     `json:"nodes"`
	NodesError string     `json:"nodesError,omitempty"`
}

func (a *application) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.showPage)
	mux.HandleFunc("GET /api/state", a.showState)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
	})
	return mux
}

// showPage counts the visit and shows the state.
func (a *application) showPage(w http.ResponseWriter, r *http.Request) {
	if _, err := a.visits.add(); err != nil {
		log.Print(err)
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var text bytes.Buffer
	if err := page.Execute(&text, a.state(r.Context())); err != nil {
		log.Print(err)
		http.Error(w, "the page cannot be made", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.Write(text.Bytes())
}

// showState writes the state as JSON, and does not count as a visit.
func (a *application) showState(w http.ResponseWriter, r *http.Request) {
	text, err := json.MarshalIndent(a.state(r.Context()), "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Write(append(text, '\n'))
}

func (a *application) state(ctx context.Context) state {
	current := state{
		Greeting:  "Hello",
		Started:   a.started.UTC().Truncate(time.Second),
		Visits:    a.visits.now(),
		Variables: injected(a.environment()),
		Nodes:     []node{},
	}
	current.Pod, _ = os.Hostname()
	for _, variable := range current.Variables {
		if variable.Name == "GREETING" && variable.Value != "" {
			current.Greeting = variable.Value
		}
	}
	nodes, err := a.cluster.nodes(ctx)
	if err != nil {
		current.NodesError = err.Error()
	} else {
		current.Nodes = nodes
	}
	return current
}
