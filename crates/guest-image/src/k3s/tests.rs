//! Tests of releases from a mirror that answers as real ones do, and of the choice of a distribution.

mod failures;

use std::time::Duration;

use host::digest::Sha256;
use model::ErrorClass;
use model::config::k3s::K3sVersion;
use model::config::{Distribution as Configured, ImageConfig, K3sConfig, Provider};
use model::requirement::Consent;
use testkit::RecordingSink;
use testkit::http_server::{Answer, HttpServer, Request};

use super::*;
use crate::choice;

const VERSION: &str = "v1.33.5+k3s1";
const DIRECTORY: &str = "/k3s/v1.33.5%2Bk3s1";

struct No;
impl Consent for No {
    fn ask(&self, _question: &str) -> Result<bool> {
        Ok(false)
    }
}

fn program() -> Vec<u8> {
    std::fs::read("/bin/true").unwrap()
}

fn images() -> Vec<u8> {
    zstd::encode_all(&b"an archive"[..], 0).unwrap()
}

fn sums() -> String {
    format!("{}  k3s-airgap-images-amd64.tar.zst\n{}  k3s\n", Sha256::of(&images()), Sha256::of(&program()))
}

/// Answers as a mirror of the releases does.
fn released(request: &Request) -> Answer {
    match request.path.strip_prefix(DIRECTORY) {
        Some("/k3s") => Answer::file(request, &program(), "\"k3s\""),
        Some("/k3s-airgap-images-amd64.tar.zst") => Answer::file(request, &images(), "\"images\""),
        Some("/sha256sum-amd64.txt") => Answer::body(sums()),
        _ if request.path == "/k3s/channels/stable" => Answer::redirect(format!("/k3s/release/{VERSION}")),
        _ => Answer::status(404),
    }
}

/// A mirror whose answers `change` may replace.
fn mirror(change: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |request, _| change(request, released(request)))
}

/// A project that uses a mirror.
struct Project {
    directory: tempfile::TempDir,
    cache: CachePaths,
    config: ImageConfig,
    k3s: K3sConfig,
    sink: RecordingSink,
}

impl Project {
    fn new(mirror: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(".k3s-vm")).unwrap();
        let cache = CachePaths::new(directory.path().join("cache"));
        let config = ImageConfig {
            provider: Provider::Debian,
            distribution: Configured::K3s,
            directory: None,
            disk: 20 << 30,
            nixpkgs: None,
            offline: false,
        };
        let k3s = K3sConfig { mirror: Some(mirror.to_owned()), ..K3sConfig::default() };
        Project { directory, cache, config, k3s, sink: RecordingSink::default() }
    }

    fn with<T>(&self, act: impl FnOnce(&ImageRequest) -> T) -> T {
        act(&ImageRequest {
            config: &self.config,
            k3s: &self.k3s,
            project: self.directory.path(),
            sources: &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest"),
            cache: &self.cache,
            deadline: Duration::from_secs(60),
            consent: &No,
            events: &self.sink,
        })
    }

    fn lock(&self) -> PathBuf {
        self.directory.path().join(".k3s-vm/k3s.lock")
    }

    /// The payload for a guest image: path and size of each file.
    fn payload(&self) -> Result<Vec<String>> {
        self.with(|request| {
            let chosen = choice::decide(request)?;
            let (directory, locks) = (self.cache.parts(), self.cache.locks());
            let store = Store { compares: false, directory: &directory, locks: &locks, remove: &host::files::remove };
            let deadline = Deadline::after(Duration::from_secs(60));
            let payload = chosen.distribution.begin(request, store, deadline)?()?;
            let describe = |file: &PayloadFile| {
                let content = match &file.content {
                    Content::File(path) => format!("{} bytes", std::fs::metadata(path).unwrap().len()),
                    Content::Compressed(path) => {
                        format!(
                            "{} bytes unpacked",
                            zstd::decode_all(std::fs::File::open(path).unwrap()).unwrap().len()
                        )
                    }
                    Content::Text(text) => format!("a text:\n{text}"),
                };
                format!("{:04o} {} {content}", file.mode, file.to.display())
            };
            Ok(payload.files.iter().map(describe).collect())
        })
    }

    /// The whole error message, with placeholders for what differs between runs.
    fn told(&self, mirror: &HttpServer) -> String {
        let error = self.payload().unwrap_err();
        let mut text = format!("{} ({})\n", error.what(), error.class().name());
        for why in error.why() {
            text.push_str(&format!("  {why}\n"));
        }
        for step in error.next_steps() {
            text.push_str(&format!("Next: {step}\n"));
        }
        text.replace(&mirror.address().to_string(), "MIRROR")
            .replace(&self.directory.path().display().to_string(), "PROJECT")
            .replace(&Sha256::of(&program()).to_string(), "DIGEST-OF-K3S")
            .replace(&Sha256::of(&images()).to_string(), "DIGEST-OF-IMAGES")
    }
}

/// An address where nobody listens.
fn nobody() -> String {
    format!("http://127.0.0.1:{}/k3s", testkit::port::free())
}

#[test]
fn a_channel_is_resolved_once_and_then_pinned_by_the_lock_file() {
    let mirror = mirror(|_, answer| answer);
    let mut project = Project::new(&mirror.url("/k3s"));
    project.k3s.disable = vec!["traefik".to_owned(), "a \"b\"".to_owned()];
    let size = program().len();
    insta::assert_snapshot!(project.payload().unwrap().join("\n").replace(&size.to_string(), "SIZE"), @r#"
    0755 /usr/local/bin/k3s SIZE bytes
    0600 /etc/rancher/k3s/config.yaml.d/k3s-vm.yaml a text:
    # From the section [k3s] of .k3s-vm/config.toml.
    disable:
      - "traefik"
      - "a \"b\""

    0644 /var/lib/rancher/k3s/agent/images/k3s-airgap-images.tar 10 bytes unpacked
    "#);
    insta::assert_snapshot!(project.sink.notes().join("\n"), @"K3s v1.33.5+k3s1 for `stable` is now pinned by .k3s-vm/k3s.lock; commit that file");
    let text = std::fs::read_to_string(project.lock()).unwrap();
    assert!(text.contains("requested = \"stable\"\nrelease = \"v1.33.5+k3s1\"\n"), "{text}");
    let asked = mirror.requests();
    insta::assert_snapshot!(asked.join("\n"), @r"
    GET /k3s/channels/stable
    GET /k3s/v1.33.5%2Bk3s1/sha256sum-amd64.txt
    GET /k3s/v1.33.5%2Bk3s1/k3s
    GET /k3s/v1.33.5%2Bk3s1/k3s-airgap-images-amd64.tar.zst
    ");

    // The network is not needed any more.
    project.k3s.mirror = Some(nobody());
    project.payload().unwrap();
    assert_eq!(mirror.requests(), asked);
    assert_eq!(project.sink.notes().len(), 1);
}

#[test]
fn a_lock_file_of_version_control_decides_instead_of_the_channel() {
    let mirror = mirror(|request, answer| match request.path.contains("/channels/") {
        true => Answer::redirect("/v1.99.0+k3s1"),
        false => answer,
    });
    let project = Project::new(&mirror.url("/k3s"));
    let release =
        Release { version: VERSION.to_owned(), program: Sha256::of(&program()), images: Sha256::of(&images()) };
    lock_file::write(&project.lock(), "stable", &release).unwrap();
    project.payload().unwrap();
    assert!(!mirror.requests().iter().any(|request| request.contains("channels")));
}

#[test]
fn another_request_gets_another_lock_file() {
    let mirror = mirror(|_, answer| answer);
    let mut project = Project::new(&mirror.url("/k3s"));
    project.payload().unwrap();
    project.k3s.version = K3sVersion::Exact(VERSION.to_owned());
    project.payload().unwrap();
    let text = std::fs::read_to_string(project.lock()).unwrap();
    assert!(text.contains("requested = \"v1.33.5+k3s1\""), "{text}");
}

#[test]
fn k3s_by_name_never_falls_back() {
    let gone = mirror(|_, answer| answer);
    let address = nobody();
    let project = Project::new(&address);
    insta::assert_snapshot!(project.told(&gone).replace(&address["http://".len()..address.len() - 4], "NOBODY"), @r#"
    cannot fetch http://NOBODY/k3s/channels/stable (host)
      NOBODY cannot be reached: it refuses the connection
    Next: correct k3s.mirror in .k3s-vm/config.toml, if it is wrong
    Next: export HTTPS_PROXY=http://HOST:PORT    # if your network has a proxy
    Next: k3s-vm start --k3s-binary FILE --k3s-images FILE    # a release that you have as files
    Next: or set image.distribution = "kubernetes": upstream Kubernetes, built on this machine
    "#);
    assert!(!project.cache.choices().exists());
}

#[test]
fn left_open_it_falls_back_where_nobody_answers_and_remembers_that() {
    let mirror = mirror(|_, answer| answer);
    let mut project = Project::new(&nobody());
    project.config.distribution = Configured::Auto;
    let decide = |project: &Project| {
        project.with(|request| {
            let chosen = choice::decide(request).unwrap();
            (chosen.distribution.name(), chosen.reason)
        })
    };
    let fallen_back = ("kubernetes", Some("k3s: release host not reachable".to_owned()));
    let known = |project: &Project| project.with(|request| choice::known(request).unwrap().len());
    assert_eq!(known(&project), 0);
    assert_eq!(decide(&project), fallen_back);
    let notes = project.sink.notes();
    assert_eq!(notes.len(), 1);
    assert!(notes[0].starts_with("taking Kubernetes from source instead of K3s, since 127.0.0.1:"), "{}", notes[0]);
    assert!(notes[0].ends_with("it refuses the connection; `k3s-vm reset --rebuild` tries K3s again"), "{}", notes[0]);

    assert_eq!(known(&project), 1);
    assert_eq!(decide(&project), fallen_back);
    assert_eq!(project.sink.notes().len(), 1, "it was tried again");
    project.with(choice::forget).unwrap();
    assert_eq!(known(&project), 0);

    project.k3s.mirror = Some(mirror.url("/k3s"));
    assert_eq!(decide(&project), ("k3s", None));
    assert_eq!(known(&project), 1);
}

#[test]
fn a_local_program_needs_neither_network_nor_lock_file() {
    let mut project = Project::new(&nobody());
    project.config.distribution = Configured::Auto;
    project.k3s.binary = Some("/bin/true".to_owned());
    let size = program().len();
    insta::assert_snapshot!(project.payload().unwrap().join("\n").replace(&size.to_string(), "SIZE"), @r"
    0755 /usr/local/bin/k3s SIZE bytes
    0600 /etc/rancher/k3s/config.yaml.d/k3s-vm.yaml a text:
    # From the section [k3s] of .k3s-vm/config.toml.
    ");
    insta::assert_snapshot!(project.sink.notes().join("\n"), @"the guest image has no container images of K3s (k3s.images, k3s.airgap): the guest will fetch them");
    assert!(!project.lock().exists());
    for (binary, class) in [("missing", ErrorClass::Config), (".k3s-vm", ErrorClass::Config)] {
        project.k3s.binary = Some(binary.to_owned());
        assert_eq!(project.payload().unwrap_err().class(), class);
    }
    std::fs::write(project.directory.path().join("script"), "#!/bin/sh\n").unwrap();
    project.k3s.binary = Some("script".to_owned());
    let gone = mirror(|_, answer| answer);
    insta::assert_snapshot!(project.told(&gone), @r"
    PROJECT/script is not a K3s program for the guest (config)
      it is a script, not a program
    Next: name the file `k3s` of a release for x86_64: k3s.binary in .k3s-vm/config.toml, or --k3s-binary
    ");
    project.k3s.binary = Some("gone".to_owned());
    insta::assert_snapshot!(project.told(&gone), @r"
    PROJECT/gone does not exist (config)
      k3s.binary in .k3s-vm/config.toml or --k3s-binary names it
    Next: correct k3s.binary or --k3s-binary
    ");
    project.k3s = K3sConfig { binary: Some("/bin/true".to_owned()), images: Some("script".to_owned()), ..project.k3s };
    insta::assert_snapshot!(project.told(&gone), @r"
    PROJECT/script is not an archive of container images (config)
      it is neither tar nor tar compressed with zstd or gzip
    Next: name the file `k3s-airgap-images-amd64.tar.zst` of a release: k3s.images in .k3s-vm/config.toml, or --k3s-images
    ");
}

#[test]
fn the_guests_files_match_the_contract() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest/k3s");
    let contract = Contract::read(&directory).unwrap();
    let rootfs = directory.join(&contract.overlay);
    let read = |path: &str| std::fs::read_to_string(rootfs.join(path)).unwrap();
    let unit = read(&format!("etc/systemd/system/{}", contract.service));
    assert!(unit.contains(&format!("ExecStart={PROGRAM} server\n")), "{unit}");
    assert!(rootfs.join("etc/systemd/system/multi-user.target.wants").join(&contract.service).is_file());
    for tool in ["kubectl", "ctr", "crictl"] {
        assert_eq!(std::fs::read_link(rootfs.join("usr/local/bin").join(tool)).unwrap(), Path::new("k3s"));
    }
    assert!(read("etc/rancher/k3s/config.yaml").contains(&format!("node-name: {}\n", contract.node_name)));
    assert!(rootfs.join(IMAGES.trim_start_matches('/')).join(".cache.json").is_file());
}
