//! The K3s of the distribution `k3s`: which version, from where, with which components.

/// Which K3s runs in the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K3sConfig {
    /// The version, or the channel that names one.
    pub version: K3sVersion,
    /// Base address of a mirror of the releases.
    pub mirror: Option<String>,
    /// A local binary, relative to the project.
    pub binary: Option<String>,
    /// A local archive of air-gap images, relative to the project.
    pub images: Option<String>,
    /// Packaged components that are left out.
    pub disable: Vec<String>,
}

/// A version of K3s, or what names one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum K3sVersion {
    /// A channel of the channel server: `stable`, `latest`, `v1.33`.
    Channel(String),
    /// A release: `v1.33.5+k3s1`.
    Exact(String),
}

impl K3sVersion {
    /// Reads what a user writes.
    ///
    /// # Errors
    /// Why it is neither, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers =
            |text: &str| text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        match text.strip_prefix('v') {
            None if text == "stable" || text == "latest" || text == "testing" => {
                Ok(K3sVersion::Channel(text.to_owned()))
            }
            Some(rest) if numbers(rest) && rest.split('.').count() == 2 => Ok(K3sVersion::Channel(text.to_owned())),
            Some(rest) => match rest.split_once("+k3s") {
                // Release candidates read v1.33.5-rc1+k3s1.
                Some((kubernetes, release)) if is_release(kubernetes) && numbers(release) => {
                    Ok(K3sVersion::Exact(text.to_owned()))
                }
                _ => Err(WANTED.to_owned()),
            },
            None => Err(WANTED.to_owned()),
        }
    }
}

const WANTED: &str = "neither a channel (stable, latest, v1.33) nor a version (v1.33.5+k3s1)";

fn is_release(text: &str) -> bool {
    let (numbers, candidate) = text.split_once('-').unwrap_or((text, "rc"));
    let numbers: Vec<&str> = numbers.split('.').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    numbers.len() == 3 && numbers.iter().all(digits) && candidate.starts_with("rc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_versions_are_told_apart() {
        for text in ["stable", "latest", "testing", "v1.33"] {
            assert_eq!(K3sVersion::parse(text), Ok(K3sVersion::Channel(text.to_owned())));
        }
        for text in ["v1.33.5+k3s1", "v1.33.5-rc2+k3s12"] {
            assert_eq!(K3sVersion::parse(text), Ok(K3sVersion::Exact(text.to_owned())));
        }
        for text in ["", "v", "1.33", "v1", "v1.33.5", "v1.33.5+k3s", "v1.33+k3s1", "../x", "v1.33.5+rke2r1"] {
            assert_eq!(K3sVersion::parse(text), Err(WANTED.to_owned()), "{text}");
        }
    }
}
