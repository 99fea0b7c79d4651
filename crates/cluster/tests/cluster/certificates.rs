//! Certificate authorities, certificates of theirs, and the matching kubeconfig.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cluster::{Credentials, Kubeconfig};
use model::BindAddress;
use model::instance::InstanceName;
use model::port::Port;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

/// A certificate authority.
pub(crate) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority. All have the same name, as those of real clusters do.
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "kubernetes");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().pem();
        Authority { certificate, issuer: Issuer::new(parameters, key) }
    }

    /// The configuration of a server with a certificate for `names`.
    pub(crate) fn server(&self, names: &[&str]) -> Arc<rustls::ServerConfig> {
        self.server_with(names, |_| ())
    }

    /// The configuration of a server with an expired certificate.
    pub(crate) fn expired_server(&self, names: &[&str]) -> Arc<rustls::ServerConfig> {
        self.server_with(names, |parameters| {
            parameters.not_before = rcgen::date_time_ymd(2019, 1, 1);
            parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
        })
    }

    /// The configuration of a server that asks for a client certificate and also serves clients without one.
    pub(crate) fn server_that_asks(&self, names: &[&str]) -> Arc<rustls::ServerConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let (certificate, key) = self.signed(names, |_| ());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }

    fn signed(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateDer::from(parameters.signed_by(&key, &self.issuer).unwrap());
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn server_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Arc<rustls::ServerConfig> {
        let (certificate, key) = self.signed(names, change);
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }

    /// A kubeconfig for the server at `address`.
    pub(crate) fn kubeconfig(&self, address: SocketAddr) -> Kubeconfig {
        let port = Port::new(address.port()).unwrap();
        self.credentials().for_host(
            &InstanceName::default(),
            BindAddress::parse(&address.ip().to_string()).unwrap(),
            port,
        )
    }

    /// The credentials of an administrator.
    pub(crate) fn credentials(&self) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, "admin");
        let client = parameters.signed_by(&key, &self.issuer).unwrap();
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{certificate-authority-data: {}}}}}]\n\
             users: [{{name: u, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n",
            STANDARD.encode(&self.certificate),
            STANDARD.encode(client.pem()),
            STANDARD.encode(key.serialize_pem()),
        );
        Credentials::parse("kubeconfig", &text).unwrap()
    }
}
