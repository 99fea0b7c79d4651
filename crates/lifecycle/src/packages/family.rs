//! Families of distributions by their package manager: recognizing them, and their commands. Pure.

use model::requirement::Requirement;

/// A package manager and the distributions that use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Debian, Ubuntu and their derivatives.
    Apt,
    /// Fedora and its derivatives.
    Dnf,
    /// Arch and its derivatives.
    Pacman,
}

impl Family {
    /// The family, by `ID`, else by the first known name in `ID_LIKE` (os-release(5)).
    pub(super) fn of(os_release: &str) -> Option<Self> {
        let id = field(os_release, "ID");
        let like = field(os_release, "ID_LIKE");
        let names = id.iter().chain(like.iter()).flat_map(|names| names.split_ascii_whitespace());
        names.into_iter().find_map(|name| match name {
            "debian" | "ubuntu" => Some(Family::Apt),
            "fedora" | "rhel" | "centos" => Some(Family::Dnf),
            "arch" | "archlinux" => Some(Family::Pacman),
            _ => None,
        })
    }

    /// The name of the requirement's package.
    pub(super) fn package(self, requirement: &Requirement) -> &'static str {
        match self {
            Family::Apt => requirement.apt,
            Family::Dnf => requirement.dnf,
            Family::Pacman => requirement.pacman,
        }
    }

    /// The program that installs.
    pub(super) fn install_program(self) -> &'static str {
        match self {
            Family::Apt => "apt-get",
            Family::Dnf => "dnf",
            Family::Pacman => "pacman",
        }
    }

    /// Its arguments to install `packages`; with `assent` it asks no questions.
    pub(super) fn install_arguments(self, packages: &[String], assent: bool) -> Vec<String> {
        let (verb, assented): (&[&str], &str) = match self {
            Family::Apt => (&["install", "--no-install-recommends"], "-y"),
            Family::Dnf => (&["install", "--setopt=install_weak_deps=False"], "-y"),
            Family::Pacman => (&["-S", "--needed"], "--noconfirm"),
        };
        let assented = assent.then_some(assented);
        verb.iter().copied().chain(assented).chain(packages.iter().map(String::as_str)).map(str::to_owned).collect()
    }
}

/// The codename of the release ("bookworm"), which is also the name of its suite.
pub(super) fn codename(os_release: &str) -> Option<String> {
    field(os_release, "VERSION_CODENAME").filter(|name| !name.is_empty())
}

/// A field of os-release(5), without the quotes around its value.
fn field(os_release: &str, name: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_distributions_and_their_derivatives() {
        for (os_release, expected) in [
            ("ID=debian\nVERSION_CODENAME=bookworm\n", Some(Family::Apt)),
            ("NAME=Ubuntu\nID=ubuntu\nID_LIKE=debian\n", Some(Family::Apt)),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", Some(Family::Apt)),
            ("ID=fedora\n", Some(Family::Dnf)),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", Some(Family::Dnf)),
            ("ID=arch\n", Some(Family::Pacman)),
            ("ID=manjaro\nID_LIKE=arch\n", Some(Family::Pacman)),
            ("ID=nixos\nID_LIKE=\"\"\n", None),
            ("ID=alpine\n", None),
            ("", None),
        ] {
            assert_eq!(Family::of(os_release), expected, "{os_release}");
        }
    }

    #[test]
    fn knows_the_suite() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=\"trixie\"\n").as_deref(), Some("trixie"));
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=\n"), None);
        assert_eq!(codename("ID=debian\n"), None);
    }

    #[test]
    fn every_family_has_its_command() {
        let packages = ["one".to_owned(), "two".to_owned()];
        let lines: Vec<String> = [Family::Apt, Family::Dnf, Family::Pacman]
            .iter()
            .flat_map(|family| {
                [false, true].map(|assent| {
                    format!("{} {}", family.install_program(), family.install_arguments(&packages, assent).join(" "))
                })
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        apt-get install --no-install-recommends one two
        apt-get install --no-install-recommends -y one two
        dnf install --setopt=install_weak_deps=False one two
        dnf install --setopt=install_weak_deps=False -y one two
        pacman -S --needed one two
        pacman -S --needed --noconfirm one two
        ");
    }
}
