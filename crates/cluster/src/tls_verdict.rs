//! What a certificate that does not pass says about the server that showed it.
//!
//! Pure.

use rustls::CertificateError;

/// What follows from a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsVerdict {
    /// The server is not ours; the text says why.
    Foreign(String),
    /// It may be ours: a clock is wrong, or the certificate is too old.
    NotNow(String),
}

/// The verdict on a certificate that was refused for `why`.
pub(crate) fn verdict(why: &CertificateError) -> TlsVerdict {
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            TlsVerdict::NotNow(format!("its certificate is not valid now: {why}"))
        }
        // Authorities of two clusters may have the same name, and then only the signature tells them apart.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsVerdict::Foreign("its certificate is signed by another authority".to_owned())
        }
        other => TlsVerdict::Foreign(format!("its certificate is not one of this cluster: {other}")),
    }
}
