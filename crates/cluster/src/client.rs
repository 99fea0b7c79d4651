//! The connection to a cluster: a Kubernetes client whose every call has a deadline, without async for its callers.

mod advice;
mod request_error;
pub(crate) mod tls_verdict;

use std::future::Future;
use std::time::Duration;

use http_body_util::Limited;
use kube::client::ClientBuilder;
use model::{Error, ErrorClass, Result};
use tower::util::MapResponseLayer;

use crate::error_text::chain;
use crate::kubeconfig::context::{self, Destination};
use crate::kubeconfig::{Kubeconfig, KubeconfigContext};

pub(crate) use advice::Advice;
pub(crate) use request_error::RequestError;

/// How often a running request checks whether the user has interrupted.
const INTERRUPT_INTERVAL: Duration = Duration::from_millis(100);

/// The largest answer in bytes. Answers are read into memory, and a guest may send one without end; real ones have a
/// few megabytes at most.
const LONGEST_ANSWER: usize = 64 << 20;

/// A connection to one cluster, with the credentials of one kubeconfig.
///
/// Calls block. The first call opens the connection, and later ones reuse it.
pub struct ClusterClient {
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    server: String,
    advice: Advice,
}

impl ClusterClient {
    /// Prepares a client of the project's own instance, which trusts the instance's certificate authority alone; no
    /// byte is sent. It connects directly, ignores the proxies of the environment, and can run no program: see
    /// [`Kubeconfig`].
    ///
    /// # Errors
    /// A Cluster error where the credentials cannot be used.
    pub fn new(kubeconfig: &Kubeconfig) -> Result<Self> {
        let server = kubeconfig.server().to_owned();
        let runtime = runtime()?;
        let config = kubeconfig.client_config().map_err(|why| cannot_use(&server, ErrorClass::Cluster).because(why))?;
        let client = runtime
            .block_on(async { client_of(config) })
            .map_err(|error| cannot_use(&server, ErrorClass::Cluster).because(chain(&error)))?;
        Ok(ClusterClient { runtime, client, server, advice: Advice::own() })
    }

    /// Prepares a client of any cluster: the context of a kubeconfig that the user names, with every kind of login that
    /// kubectl supports. A program that provides credentials (`exec`) runs now.
    ///
    /// # Errors
    /// A Config error where the file or its context cannot be used.
    pub fn of_kubeconfig(target: &KubeconfigContext) -> Result<Self> {
        let Destination { context, config } = context::read(target)?;
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let advice = Advice::of_kubeconfig(&target.file, &context);
        let runtime = runtime()?;
        let program = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        let client = runtime.block_on(async { client_of(config) }).map_err(|error| {
            let error = cannot_use(&server, ErrorClass::Config).because(chain(&error));
            let error = match program {
                Some(program) => error.because(format!("the kubeconfig takes them from {program}")),
                None => error,
            };
            error.next(format!("{} auth whoami    # tries the same credentials", advice.kubectl))
        })?;
        Ok(ClusterClient { runtime, client, server, advice })
    }

    /// The server's address, for messages.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The namespace of objects that name none: that of the context, else `default`.
    pub fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// The commands that messages propose.
    pub(crate) fn advice(&self) -> &Advice {
        &self.advice
    }

    /// The server's version, `v1.37.2`.
    ///
    /// # Errors
    /// A Cluster error, or a Timeout error after `deadline`.
    pub fn version(&self, deadline: Duration) -> Result<String> {
        let info = self.request("the version of the server", deadline, self.client.apiserver_version())?;
        Ok(info.git_version)
    }

    pub(crate) fn kube(&self) -> &kube::Client {
        &self.client
    }

    /// Runs `future` until it ends, the deadline passes (`None`) or the user interrupts (an error).
    pub(crate) fn within<T>(&self, deadline: Duration, future: impl Future<Output = T>) -> Result<Option<T>> {
        self.runtime.block_on(async {
            let mut ticks = tokio::time::interval(INTERRUPT_INTERVAL);
            let end = tokio::time::sleep(deadline);
            tokio::pin!(future, end);
            loop {
                tokio::select! {
                    biased;
                    value = &mut future => return Ok(Some(value)),
                    () = &mut end => return Ok(None),
                    _ = ticks.tick() => host::interrupt::check()?,
                }
            }
        })
    }

    /// Sends one request; `what` names what is asked for, as in "the version of the server".
    pub(crate) fn request<T>(
        &self,
        what: &str,
        deadline: Duration,
        future: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, RequestError> {
        match self.within(deadline, future).map_err(RequestError::Final)? {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(self.request_error(what, &error)),
            None => Err(RequestError::Passing(
                Error::new(ErrorClass::Timeout, format!("{} did not answer within {deadline:.1?}", self.server))
                    .because(format!("asked for {what}")),
            )),
        }
    }

    /// The error of a request for `what` that failed as a whole.
    pub(crate) fn request_error(&self, what: &str, error: &kube::Error) -> RequestError {
        request_error::of_request(&self.server, &self.advice, what, error)
    }

    /// The error of a connection that failed.
    pub(crate) fn connection_error(&self, error: &kube::Error) -> RequestError {
        request_error::of_connection(&self.server, &self.advice, error)
    }
}

/// A client that limits the length of answers.
fn client_of(config: kube::Config) -> Result<kube::Client, kube::Error> {
    let limit =
        MapResponseLayer::new(|response: http::Response<_>| response.map(|body| Limited::new(body, LONGEST_ANSWER)));
    Ok(ClientBuilder::try_from(config)?.with_layer(&limit).build())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    // An error means that a provider is installed already, which serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(ErrorClass::Host, "cannot prepare the connection to the cluster").because(error))
}

fn cannot_use(server: &str, class: ErrorClass) -> Error {
    Error::new(class, format!("the credentials for {server} cannot be used"))
}
