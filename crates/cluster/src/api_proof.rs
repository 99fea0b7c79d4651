//! The proof that the API behind a port is the one we mean: a TLS handshake that only its certificate authority can
//! pass, then `/readyz`.

#![allow(unused_variables, dead_code, clippy::unimplemented)]

use std::net::SocketAddr;
use std::time::Duration;

use host::wait::Look;
use model::Result;

use crate::kubeconfig::Kubeconfig;

/// What is behind a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiProof {
    /// Nothing listens.
    Refused(String),
    /// Something accepts, but no TLS server is there yet (a forward to a guest that is still booting), or it is silent.
    Silent(String),
    /// A TLS server that the cluster's authority has not signed; the text says what it showed instead.
    Foreign(String),
    /// Ours, but not ready; the text names the checks that fail.
    NotReady(String),
    /// Ours and ready.
    Ready,
}

/// A probe of one address, prepared once and used at every look.
pub struct ApiProbe {
    address: SocketAddr,
}

impl ApiProbe {
    /// A probe of `address` with the certificate authority and the identity of `kubeconfig`. The kubeconfig's own
    /// server address is not used.
    ///
    /// # Errors
    /// A Cluster fault where the certificates cannot be read.
    pub fn new(address: SocketAddr, kubeconfig: &Kubeconfig) -> Result<Self> {
        unimplemented!()
    }

    /// One attempt, which takes no longer than `limit`.
    pub fn probe(&self, limit: Duration) -> ApiProof {
        unimplemented!()
    }

    /// One look for [`host::wait::Wait`]: ready, not yet, or the Port fault that another cluster answers.
    ///
    /// # Errors
    /// A Port fault where a TLS server answers that is not ours.
    pub fn look(&self, left: Duration) -> Result<Look<()>> {
        unimplemented!()
    }
}
