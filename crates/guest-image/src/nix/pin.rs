//! Updates the pin of nixpkgs (`guest/nixos/nixpkgs.json`, in the format of npins) to the newest archive of its
//! channel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use host::command::Command;
use host::download::{Client, Limits};
use host::files::{self, Mode};
use model::{Error, ErrorClass, EventSink, Result};
use serde::Serialize;
use serde_json::Value;

use super::program::Places;
use super::settings::CHANNELS;

/// Limits for the host of the channels. Only `k3s-vm nix update` waits for it, never a start.
const LIMITS: Limits = Limits { connect: Duration::from_secs(10), silence: Duration::from_secs(30) };
/// A channel usually takes two redirects to its archive.
const MOST_REDIRECTS: u32 = 8;

/// The result of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PinReport {
    /// The channel that the pin follows: `nixos-26.05`.
    pub channel: String,
    /// The address of the archive that was pinned before.
    pub former: String,
    /// The address of the archive that is pinned now.
    pub pinned: String,
    /// Whether they differ.
    pub changed: bool,
    /// The path of the pin's file.
    pub file: String,
}

impl PinReport {
    /// The release that is pinned now, taken from the address: `nixos-26.05.11576.7c8764b7c7b0`.
    pub fn release(&self) -> &str {
        self.pinned.rsplit('/').nth(1).unwrap_or(&self.pinned)
    }
}

/// An update of the pin.
pub struct PinUpdate<'a> {
    file: PathBuf,
    channels: &'a str,
    places: Places,
    deadline: Duration,
    events: &'a dyn EventSink,
}

impl<'a> PinUpdate<'a> {
    /// Prepares the update of the pin in `sources` (`guest/`). To fetch the archive may take `deadline`.
    pub fn new(sources: &Path, deadline: Duration, events: &'a dyn EventSink) -> Self {
        PinUpdate {
            file: sources.join("nixos/nixpkgs.json"),
            channels: CHANNELS,
            places: Places::of_process(),
            deadline,
            events,
        }
    }

    /// Asks the channel for its newest archive, lets Nix fetch it, and writes the file. Changes nothing if the newest
    /// archive is already pinned.
    ///
    /// # Errors
    /// A file that is not such a pin, failures of the network, and those of Nix.
    pub fn run(&self) -> Result<PinReport> {
        let text = files::read_text_optional(&self.file)?.unwrap_or_default();
        let mut document: Value = serde_json::from_str(&text).map_err(|error| self.unusable(&error.to_string()))?;
        let pin = &mut document["pins"]["nixpkgs"];
        let text_of = |pin: &Value, name: &str| pin[name].as_str().map(str::to_owned);
        let (Some(channel), Some(former)) = (text_of(pin, "name"), text_of(pin, "url")) else {
            return Err(self.unusable("pins.nixpkgs lacks name or url"));
        };
        let newest = self.newest(&channel)?;
        let changed = newest != former;
        if changed {
            pin["hash"] = Value::from(self.digest(&newest)?);
            pin["url"] = Value::from(newest.as_str());
            let text = serde_json::to_string_pretty(&document).map_err(|error| self.unusable(&error.to_string()))?;
            files::write_atomic(&self.file, format!("{text}\n").as_bytes(), Mode::Keep)?;
        }
        Ok(PinReport { channel, former, pinned: newest, changed, file: self.file.display().to_string() })
    }

    /// The address of the channel's newest archive, to which the channel's address redirects.
    fn newest(&self, channel: &str) -> Result<String> {
        let client = Client::new(LIMITS);
        let mut address = format!("{}/{channel}/nixexprs.tar.xz", self.channels);
        self.events.progress("nixpkgs", format!("asking {address}"));
        for _ in 0..MOST_REDIRECTS {
            match client.redirect(&address).map_err(Error::from)? {
                None => return Ok(address),
                Some(next) => address = absolute(&next, &address),
            }
        }
        Err(Error::new(ErrorClass::Failed, format!("the channel {channel} does not lead to an archive"))
            .because(format!("after {MOST_REDIRECTS} redirects it still redirects, now to {address}")))
    }

    /// The digest of the archive's unpacked content, for `fetchTarball`. Nix caches the archive for the next build.
    fn digest(&self, address: &str) -> Result<String> {
        let program = self.places.find().ok_or_else(|| self.places.not_found())?;
        let command = Command::new(program.path.with_file_name("nix-prefetch-url"))
            .args(["--unpack", "--type", "sha256", address])
            .deadline(self.deadline);
        self.events.progress("nixpkgs", format!("fetching {address}"));
        let mut said = Vec::new();
        let (code, stdout) = command.follow(self.events, &mut |line| {
            said.push(line.to_owned());
            Ok(())
        })?;
        let digest = stdout.lines().last().unwrap_or_default().trim().to_owned();
        // A SHA-256 in Nix's base-32 has 52 digits.
        if code == 0 && digest.len() == 52 && digest.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(digest);
        }
        // The body of a server's answer may follow.
        let why = said.iter().find_map(|line| line.strip_prefix("error: ")).or(said.first().map(String::as_str));
        Err(Error::new(ErrorClass::Failed, format!("Nix cannot fetch {address}"))
            .because(why.map_or_else(|| format!("it ended with exit code {code}"), |why| why.trim().to_owned())))
    }

    fn unusable(&self, why: &str) -> Error {
        Error::new(ErrorClass::Failed, format!("{} is not a pin of nixpkgs", self.file.display()))
            .because(why)
            .next("restore the one in k3s-vm's version control")
    }
}

/// Resolves an address that may be only a path on the server of `base` (RFC 9110, Location).
fn absolute(address: &str, base: &str) -> String {
    match (address.starts_with('/'), base.split('/').nth(2)) {
        (true, Some(server)) => format!("{}//{server}{address}", base.split('/').next().unwrap_or_default()),
        _ => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use model::event::Silent;
    use testkit::http_server::{Answer, HttpServer};

    use super::*;

    const DIGEST: &str = "08y2dkbdcdnqvq2swnknmvrzlf968gaq28v6i613n9fgpahqw0fi";

    const PIN: &str = r#"{
  "pins": {
    "nixpkgs": {
      "type": "Channel",
      "name": "nixos-26.05",
      "url": "https://example.com/nixos-26.05.1.def/nixexprs.tar.xz",
      "hash": "1fzrxmr2qi7fy76wh9v0l1a7vdvscxn4p2d5ng9rhpcnrhdil6zy"
    }
  },
  "version": 5
}
"#;

    struct Setup {
        scratch: tempfile::TempDir,
        server: HttpServer,
    }

    impl Setup {
        fn new(prefetch: &str) -> Self {
            let scratch = tempfile::tempdir().unwrap();
            let directory = scratch.path().join("guest/nixos");
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::create_dir(scratch.path().join("bin")).unwrap();
            for (name, text) in [("nix-build", "#!/bin/sh\n"), ("nix-prefetch-url", prefetch)] {
                let path = scratch.path().join("bin").join(name);
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            }
            std::fs::write(directory.join("nixpkgs.json"), PIN).unwrap();
            let server = HttpServer::start(|request, _| match request.path.as_str() {
                "/nixos-26.05/nixexprs.tar.xz" => Answer::redirect("/newest"),
                "/newest" => Answer::redirect("/nixos/26.05/nixos-26.05.99.abc/nixexprs.tar.xz"),
                "/nixos/26.05/nixos-26.05.99.abc/nixexprs.tar.xz" => Answer::body("an archive"),
                _ => Answer::status(404),
            });
            Setup { scratch, server }
        }

        fn update(&self) -> Result<PinReport> {
            let places = Places { path: self.scratch.path().join("bin").into(), profiles: Vec::new() };
            let channels = self.server.url("");
            let update = PinUpdate::new(&self.scratch.path().join("guest"), Duration::from_secs(60), &Silent);
            PinUpdate { channels: &channels, places, ..update }.run()
        }

        fn pin(&self) -> String {
            std::fs::read_to_string(self.scratch.path().join("guest/nixos/nixpkgs.json")).unwrap()
        }

        fn steady(&self, text: &str) -> String {
            text.replace(&self.server.address().to_string(), "SERVER")
                .replace(&self.scratch.path().display().to_string(), "SCRATCH")
        }
    }

    #[test]
    fn the_newest_archive_of_the_channel_is_pinned_with_its_digest_once() {
        let setup = Setup::new(&format!("#!/bin/sh\necho \"$*\" >>\"${{0%/*}}/calls\"\necho {DIGEST}\n"));
        let report = setup.update().unwrap();
        assert!(report.changed);
        assert_eq!(report.release(), "nixos-26.05.99.abc");
        insta::assert_snapshot!(setup.steady(&setup.pin()), @r#"
        {
          "pins": {
            "nixpkgs": {
              "type": "Channel",
              "name": "nixos-26.05",
              "url": "http://SERVER/nixos/26.05/nixos-26.05.99.abc/nixexprs.tar.xz",
              "hash": "08y2dkbdcdnqvq2swnknmvrzlf968gaq28v6i613n9fgpahqw0fi"
            }
          },
          "version": 5
        }
        "#);
        let calls = || std::fs::read_to_string(setup.scratch.path().join("bin/calls")).unwrap();
        insta::assert_snapshot!(setup.steady(&calls()), @"--unpack --type sha256 http://SERVER/nixos/26.05/nixos-26.05.99.abc/nixexprs.tar.xz");
        let again = setup.update().unwrap();
        assert_eq!((again.changed, again.pinned), (false, report.pinned));
        assert_eq!(calls().lines().count(), 1);
    }

    #[test]
    fn an_archive_that_nix_cannot_fetch_changes_nothing() {
        let setup = Setup::new(
            "#!/bin/sh\necho \"error: unable to download '$4': HTTP error 404\n\nresponse body:\n</html>\" >&2\nexit 1\n",
        );
        let before = setup.pin();
        let error = setup.update().unwrap_err();
        insta::assert_snapshot!(setup.steady(&error.to_string()), @"Nix cannot fetch http://SERVER/nixos/26.05/nixos-26.05.99.abc/nixexprs.tar.xz: unable to download 'http://SERVER/nixos/26.05/nixos-26.05.99.abc/nixexprs.tar.xz': HTTP error 404");
        assert_eq!(setup.pin(), before);
    }
}
