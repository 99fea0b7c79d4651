//! What a certificate that does not verify says about the server that presented it.
//!
//! Pure.

use std::time::{Duration, SystemTime};

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

/// What follows from a refused certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsVerdict {
    /// The server is not ours; the text says why.
    Foreign(String),
    /// The server may be ours: a clock is wrong, or the certificate has expired.
    NotNow(String),
}

/// `2020-01-01T00:00:00Z`.
fn date(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs());
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The verdict on a certificate that was refused for `why`.
pub(crate) fn verdict(why: &CertificateError) -> TlsVerdict {
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            TlsVerdict::NotNow(format!("its certificate is not valid now: it expired on {}", date(*not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            TlsVerdict::NotNow(format!("its certificate is not valid now: it begins on {}", date(*not_before)))
        }
        CertificateError::Expired | CertificateError::NotValidYet => {
            TlsVerdict::NotNow("its certificate is not valid now".to_owned())
        }
        // Authorities of two clusters may have the same name, and then only the signature tells them apart.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsVerdict::Foreign("its certificate is signed by another authority".to_owned())
        }
        other => TlsVerdict::Foreign(format!("its certificate is not one of this cluster: {other}")),
    }
}
