//! What `apt-cache policy` says (in the C locale) of installed packages: the suites that have their versions. Pure.

/// The suites ("bookworm-backports") that have the installed version of the first of `packages` that is in one other
/// than `release`, with that package. Nothing where all are of the release, or came from nowhere that apt knows.
pub(super) fn suite_beside(policy: &str, packages: &[String], release: Option<&str>) -> Option<(String, String)> {
    packages.iter().find_map(|package| {
        let suites = suites(policy, package);
        if suites.iter().any(|suite| Some(suite.as_str()) == release) {
            return None;
        }
        suites.into_iter().next().map(|suite| (package.clone(), suite))
    })
}

/// The suites that have the installed version of `package`.
fn suites(policy: &str, package: &str) -> Vec<String> {
    let mut found = Vec::new();
    let (mut of_package, mut installed) = (false, false);
    for line in policy.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            [name] if !line.starts_with(' ') => of_package = name.trim_end_matches(':') == package,
            // " *** 1:10.0.2+ds-2~bpo12+1 100", and a version that is not installed: "     1:7.2+dfsg-7 500"
            ["***", ..] => installed = true,
            [_, _] if !line.starts_with("        ") => installed = false,
            // "        100 http://deb.debian.org/debian bookworm-backports/main amd64 Packages"
            [_, _, place, _, "Packages"] if of_package && installed => {
                let suite = place.split('/').next().unwrap_or_default();
                if !suite.is_empty() && suite != "." {
                    found.push(suite.to_owned());
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "\
qemu-utils:
  Installed: 1:10.0.2+ds-2~bpo12+1
  Candidate: 1:10.0.2+ds-2~bpo12+1
  Version table:
 *** 1:10.0.2+ds-2~bpo12+1 100
        100 http://deb.debian.org/debian bookworm-backports/main amd64 Packages
        100 /var/lib/dpkg/status
     1:7.2+dfsg-7+deb12u12 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
zip:
  Installed: 3.0-13
  Candidate: 3.0-13
  Version table:
 *** 3.0-13 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
by-hand:
  Installed: 1.0
  Candidate: 1.0
  Version table:
 *** 1.0 100
        100 /var/lib/dpkg/status
absent:
  Installed: (none)
  Candidate: 1.0
  Version table:
     1.0 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
";

    #[test]
    fn the_suite_is_that_of_the_installed_version() {
        for (package, expected) in [
            ("qemu-utils", &["bookworm-backports"][..]),
            ("zip", &["bookworm"]),
            ("by-hand", &[]),
            ("absent", &[]),
            ("unknown", &[]),
        ] {
            assert_eq!(suites(POLICY, package), expected, "{package}");
        }
    }

    #[test]
    fn what_is_of_the_release_leads_nowhere_else() {
        let of = |packages: &[&str]| {
            let packages: Vec<String> = packages.iter().map(|&package| package.to_owned()).collect();
            suite_beside(POLICY, &packages, Some("bookworm"))
        };
        let backports = Some(("qemu-utils".to_owned(), "bookworm-backports".to_owned()));
        assert_eq!(of(&["zip", "by-hand", "absent", "qemu-utils"]), backports);
        assert_eq!(of(&["zip", "by-hand", "absent"]), None);
    }
}
