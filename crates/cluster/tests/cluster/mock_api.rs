//! A Kubernetes API in memory behind real TLS: discovery, lists, server-side apply, and answers that a test scripts.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use cluster::{ClusterClient, Kubeconfig};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::certificates::Authority;
use crate::mock_account::Issued;

/// Plural name, kind, whether it is namespaced.
type Kind = (String, String, bool);

/// The objects of the server and the requests that it got.
#[derive(Default)]
pub(crate) struct State {
    /// The kinds of each API version.
    kinds: BTreeMap<String, Vec<Kind>>,
    /// Path of an object -> the object.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Method and path -> the status and body to answer with, and how often; the others are answered as usual.
    scripted: HashMap<String, (u16, Value, usize)>,
    /// The number of requests after which connections are cut.
    patience: Option<usize>,
    /// The bearer token that every request must have.
    pub(crate) token: Option<String>,
    /// The tokens that were issued.
    pub(crate) tokens: Vec<Issued>,
    /// API version -> the number of requests for it before it is served.
    coming: HashMap<String, (usize, Vec<Kind>)>,
    /// Method, path and query of each request, in order.
    pub(crate) requests: Vec<String>,
    /// How many connections were made.
    pub(crate) connections: usize,
    version: u64,
}

impl State {
    /// Adds a kind.
    pub(crate) fn serve(&mut self, api_version: &str, plural: &str, kind: &str, namespaced: bool) {
        let kinds = self.kinds.entry(api_version.to_owned()).or_default();
        kinds.push((plural.to_owned(), kind.to_owned(), namespaced));
    }

    /// Removes the kinds of an API version.
    pub(crate) fn withdraw(&mut self, api_version: &str) {
        self.kinds.remove(api_version);
    }

    /// Adds a kind that is served only after `questions` requests for its API version, as after a new definition.
    pub(crate) fn serve_after(
        &mut self,
        questions: usize,
        api_version: &str,
        plural: &str,
        kind: &str,
        namespaced: bool,
    ) {
        let kinds = vec![(plural.to_owned(), kind.to_owned(), namespaced)];
        self.coming.insert(api_version.to_owned(), (questions, kinds));
    }

    /// Sets the answer to `request` ("PATCH /api/v1/…") from now on.
    pub(crate) fn script(&mut self, request: &str, status: u16, body: Value) {
        self.script_times(usize::MAX, request, status, body);
    }

    /// Sets the answer to the next `times` requests.
    pub(crate) fn script_times(&mut self, times: usize, request: &str, status: u16, body: Value) {
        self.scripted.insert(request.to_owned(), (status, body, times));
    }

    /// Goes away after `requests` more.
    pub(crate) fn go_away_after(&mut self, requests: usize) {
        self.patience = Some(requests);
    }

    /// Whether the next request is still answered.
    fn is_there(&mut self) -> bool {
        match &mut self.patience {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// The requests of one method, without their queries.
    pub(crate) fn paths(&self, method: &str) -> Vec<String> {
        let of_method = self.requests.iter().filter_map(|request| request.strip_prefix(method)?.strip_prefix(' '));
        of_method.map(|request| request.split('?').next().unwrap_or_default().to_owned()).collect()
    }

    fn answer(&mut self, method: &Method, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
        self.requests.push(format!("{method} {path}?{query}"));
        if let Some((status, body, times)) = self.scripted.get_mut(&format!("{method} {path}"))
            && *times > 0
        {
            *times -= 1;
            return (*status, body.clone());
        }
        if let Some(answer) = self.of_tokens(method, path, body) {
            return answer;
        }
        let api_version = path.trim_start_matches("/apis/").trim_start_matches("/api/");
        let is_version = if path.starts_with("/api/") { 3 } else { 4 } == path.split('/').count();
        if *method == Method::GET && is_version {
            return self.discovery(api_version);
        }
        if *method == Method::GET {
            return self.read(path, query);
        }
        match *method {
            Method::PATCH => self.apply(path, query, body),
            Method::DELETE => self.delete(path, body),
            _ => self.write(method, path, body),
        }
    }

    /// Creates or replaces an object; a wrong resource version is a conflict.
    fn write(&mut self, method: &Method, path: &str, body: &[u8]) -> (u16, Value) {
        let mut object: Value = serde_json::from_slice(body).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let at = if *method == Method::POST { format!("{path}/{name}") } else { path.to_owned() };
        let there = self.objects.get(&at).map(|there| there["metadata"]["resourceVersion"].clone());
        if there != (*method == Method::PUT).then(|| object["metadata"]["resourceVersion"].clone()) {
            return (409, status(409, "Conflict", "the object has been modified", json!({})));
        }
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        if *method == Method::POST {
            object["metadata"]["uid"] = format!("uid-{}", self.version).into();
        }
        self.objects.insert(at, object.clone());
        (200, object)
    }

    fn delete(&mut self, path: &str, body: &[u8]) -> (u16, Value) {
        let options: Value = serde_json::from_slice(body).unwrap_or_default();
        let Some(object) = self.objects.get(path) else {
            return (404, status(404, "NotFound", "not found", json!({})));
        };
        assert_eq!(options["preconditions"]["uid"], object["metadata"]["uid"], "another object of the same name");
        assert_eq!(options["propagationPolicy"], "Background");
        self.objects.remove(path);
        (200, status(200, "", "deleted", json!({})))
    }

    fn discovery(&mut self, api_version: &str) -> (u16, Value) {
        if let Some((questions, kinds)) = self.coming.get_mut(api_version) {
            if *questions > 0 {
                *questions -= 1;
            } else {
                self.kinds.insert(api_version.to_owned(), kinds.clone());
                self.coming.remove(api_version);
            }
        }
        match self.kinds.get(api_version) {
            None => (404, status(404, "NotFound", "the server could not find the requested resource", json!({}))),
            Some(kinds) => {
                let resources: Vec<Value> = kinds
                    .iter()
                    .flat_map(|(plural, kind, namespaced)| {
                        [plural.clone(), format!("{plural}/status")].map(|name| {
                            json!({"name": name, "kind": kind, "namespaced": namespaced, "singularName": "", "verbs": ["patch"]})
                        })
                    })
                    .collect();
                (
                    200,
                    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}),
                )
            }
        }
    }

    fn read(&self, path: &str, query: &str) -> (u16, Value) {
        if let Some(object) = self.objects.get(path) {
            return (200, object.clone());
        }
        let only = query.split('&').find_map(|part| part.strip_prefix("fieldSelector=metadata.name%3D"));
        let items: Vec<&Value> = self
            .objects
            .iter()
            .filter_map(|(at, object)| {
                let name = at.strip_prefix(path)?.strip_prefix('/')?;
                (!name.contains('/') && only.is_none_or(|only| only == name)).then_some(object)
            })
            .collect();
        let depth = path.split('/').count() + usize::from(path.starts_with("/api/"));
        let is_object = match path.rsplit('/').nth(1) {
            _ if depth == 8 => true,
            plural => {
                depth == 6 && self.kinds.values().flatten().any(|kind| Some(kind.0.as_str()) == plural && !kind.2)
            }
        };
        if items.is_empty() && is_object {
            return (404, status(404, "NotFound", "not found", json!({})));
        }
        (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}))
    }

    fn apply(&mut self, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
        assert!(query.contains("fieldManager=k3s-vm"), "{query}");
        let mut wanted: Value = serde_json::from_slice(body).unwrap();
        let before = self.objects.get(path);
        let code = if before.is_some() { 200 } else { 201 };
        // As the API server does it: an object that is applied without a single field has no manager at first, and
        // gets one that is not the applier the second time.
        let has_fields = wanted.as_object().is_some_and(|object| object.len() > 3);
        let managers = match (has_fields, before.is_some()) {
            (true, _) => json!([{"manager": "k3s-vm"}]),
            (false, true) => json!([{"manager": "before-first-apply"}]),
            (false, false) => json!([]),
        };
        wanted["metadata"]["managedFields"] = managers;
        wanted["metadata"]["resourceVersion"] =
            before.map_or(Value::Null, |before| before["metadata"]["resourceVersion"].clone());
        let uid = before.map_or_else(|| format!("uid-{}", self.version).into(), |b| b["metadata"]["uid"].clone());
        wanted["metadata"]["uid"] = uid;
        if before == Some(&wanted) || query.contains("dryRun=All") {
            return (code, wanted);
        }
        self.version += 1;
        wanted["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path.to_owned(), wanted.clone());
        (code, wanted)
    }
}

/// A `Status` object as the API server answers with.
pub(crate) fn status(code: u16, reason: &str, message: &str, details: Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details})
}

/// A running server. It ends with the test's process.
pub(crate) struct MockApi {
    state: Arc<Mutex<State>>,
    authority: Authority,
    address: SocketAddr,
}

impl MockApi {
    /// Starts a server that knows the kinds of a web project.
    pub(crate) fn start() -> Self {
        Self::start_with(|authority| authority.server(&["127.0.0.1", "localhost"]))
    }

    /// A server with an expired certificate.
    pub(crate) fn start_expired() -> Self {
        Self::start_with(|authority| authority.expired_server(&["127.0.0.1", "localhost"]))
    }

    fn start_with(tls: impl FnOnce(&Authority) -> Arc<rustls::ServerConfig>) -> Self {
        let mut state = State::default();
        for (plural, kind, namespaced) in [
            ("namespaces", "Namespace", false),
            ("secrets", "Secret", true),
            ("configmaps", "ConfigMap", true),
            ("services", "Service", true),
        ] {
            state.serve("v1", plural, kind, namespaced);
        }
        state.serve("apps/v1", "deployments", "Deployment", true);
        state.serve("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", false);
        let state = Arc::new(Mutex::new(state));
        let authority = Authority::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tokio_rustls::TlsAcceptor::from(tls(&authority));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || run(listener, tls, &shared));
        MockApi { state, authority, address }
    }

    /// The state of the server.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A kubeconfig for the server.
    pub(crate) fn kubeconfig(&self) -> Kubeconfig {
        self.authority.kubeconfig(self.address)
    }

    /// A kubeconfig of another cluster with the address of this one.
    pub(crate) fn kubeconfig_of(&self, other: &MockApi) -> Kubeconfig {
        other.authority.kubeconfig(self.address)
    }

    /// A client of the server.
    pub(crate) fn client(&self) -> ClusterClient {
        ClusterClient::new(&self.kubeconfig()).unwrap()
    }

    /// `text` without the port, which differs from run to run.
    pub(crate) fn without_port(&self, text: &str) -> String {
        text.replace(&self.address.port().to_string(), "PORT")
    }
}

fn run(listener: std::net::TcpListener, tls: tokio_rustls::TlsAcceptor, state: &Arc<Mutex<State>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    state.lock().unwrap().connections += 1;
                    let (tls, state) = (tls.clone(), Arc::clone(state));
                    tokio::task::spawn_local(async move {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        let service = service_fn(|request| handle(Arc::clone(&state), request));
                        let connection = hyper::server::conn::http1::Builder::new();
                        let _ = connection.serve_connection(TokioIo::new(stream), service).await;
                    });
                }
            })
            .await;
    });
}

/// Cuts the connection.
#[derive(Debug)]
struct GoneAway;

impl std::fmt::Display for GoneAway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("gone away")
    }
}

impl std::error::Error for GoneAway {}

async fn handle(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, GoneAway> {
    let (parts, body) = request.into_parts();
    if !state.lock().unwrap().is_there() {
        return Err(GoneAway);
    }
    let wanted = state.lock().unwrap().token.as_ref().map(|token| format!("Bearer {token}"));
    let given = parts.headers.get("authorization").and_then(|header| header.to_str().ok());
    if wanted.is_some() && wanted.as_deref() != given {
        let body = status(401, "Unauthorized", "Unauthorized", json!({}));
        return Ok(Response::builder().status(401).body(Full::from(body.to_string())).unwrap());
    }
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let (code, answer) = state.lock().unwrap().answer(&parts.method, parts.uri.path(), query, &body);
    let response = Response::builder().status(code).header("content-type", "application/json");
    // A busy server says when to retry.
    let response = if matches!(code, 429 | 503) { response.header("retry-after", "0") } else { response };
    Ok(response.body(Full::from(answer.to_string())).unwrap())
}
