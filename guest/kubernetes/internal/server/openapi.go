package server

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/server/routes"
	"k8s.io/apiserver/pkg/util/responsewriter"
)

// discoveryPath lists the documents of version 3.
const discoveryPath = "/openapi/v3"

// deferredOpenAPI serves the API server's OpenAPI documents. Upstream builds them before it opens the port, which takes a tenth of
// the processor time until Ready; but no component needs them for that. Here they are built when the cluster's own workloads are in
// place, or when the first client asks for them.
type deferredOpenAPI struct {
	config *genericapiserver.Config
	server *genericapiserver.GenericAPIServer

	begin  chan struct{}
	demand sync.Once
	// published is closed when the aggregator in front has read the list of the finished documents.
	published chan struct{}
	publish   sync.Once

	once    sync.Once
	handler http.Handler
	// list is the answer for discoveryPath. The aggregator asks for it every second for as long as it runs.
	list atomic.Pointer[[]byte]
}

// deferOpenAPI keeps upstream from building the documents; install must follow when the server has been made.
func (n *node) deferOpenAPI(own, front *genericapiserver.Config) *deferredOpenAPI {
	own.SkipOpenAPIInstallation = true
	d := &deferredOpenAPI{config: own, begin: make(chan struct{}), published: make(chan struct{})}
	buildChain := front.BuildHandlerChainFunc
	front.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		chain := buildChain(handler, c)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// A client requests the list, which must be complete. The API server's own clients poll from the start; they can wait.
			if strings.HasPrefix(r.URL.Path, "/openapi/") && !isLoopback(r) {
				d.start()
				select {
				case <-d.published:
				case <-r.Context().Done():
				}
			}
			chain.ServeHTTP(w, r)
		})
	}
	go func() {
		<-n.settled
		d.start()
	}()
	return d
}

// isLoopback reports whether the API server sent the request to itself, by the server name in its TLS handshake.
func isLoopback(r *http.Request) bool {
	return r.TLS != nil && r.TLS.ServerName == genericapiserver.LoopbackClientServerNameOverride
}

func (d *deferredOpenAPI) start() { d.demand.Do(func() { close(d.begin) }) }

// install registers the documents' paths. The aggregator in front, which merges in those of other API servers, finds them there.
func (d *deferredOpenAPI) install(target genericapiserver.DelegationTarget) error {
	server, ok := target.(*genericapiserver.GenericAPIServer)
	if !ok {
		return fmt.Errorf("the aggregator's delegate is a %T", target)
	}
	d.server = server
	paths := server.Handler.NonGoRestfulMux
	paths.Handle("/openapi/v2", d)
	paths.Handle(discoveryPath, d)
	paths.HandlePrefix(discoveryPath+"/", d)
	return nil
}

func (d *deferredOpenAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-d.begin:
	default:
		if r.URL.Path == discoveryPath {
			// The aggregator asks while it is being made, which delays the start, and again every second.
			writeJSON(w, []byte(`{"paths":{}}`))
			return
		}
		<-d.begin
	}
	if list := d.list.Load(); list != nil && r.URL.Path == discoveryPath {
		writeJSON(w, *list)
		return
	}
	d.once.Do(d.build)
	if r.URL.Path != discoveryPath {
		d.handler.ServeHTTP(w, r)
		return
	}
	// Upstream checks every document for changes. These cannot change: other servers serve what users add.
	answer := responsewriter.NewInMemoryResponseWriter()
	d.handler.ServeHTTP(answer, r)
	if answer.RespCode() != http.StatusOK {
		http.Error(w, string(answer.Data()), answer.RespCode())
		return
	}
	list := answer.Data()
	d.list.Store(&list)
	writeJSON(w, list)
	d.publish.Do(func() { close(d.published) })
}

func writeJSON(w http.ResponseWriter, document []byte) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(document)
}

func (d *deferredOpenAPI) build() {
	documents := mux.NewPathRecorderMux("openapi")
	install := routes.OpenAPI{Config: d.config.OpenAPIConfig, V3Config: d.config.OpenAPIV3Config}
	install.InstallV2(d.server.Handler.GoRestfulContainer, documents)
	install.InstallV3(d.server.Handler.GoRestfulContainer, documents)
	d.handler = documents
}
