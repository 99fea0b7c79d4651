//! Reads and writes the manifest of a guest image, and checks it against the guest contract.

use std::path::Path;

use host::digest::Sha256;
use model::guest_image::{GuestImage, GuestImageManifest, OLDEST_SCHEMA, SCHEMA, file};
use model::{Error, ErrorClass, Result};

/// Opens the guest image in `directory`.
///
/// # Errors
/// An error of `class` that lists everything that is missing or wrong.
pub(crate) fn read_image(directory: &Path, fingerprint: String, class: ErrorClass) -> Result<GuestImage> {
    let failed = || Error::new(class, format!("{} is not a guest image", directory.display()));
    let path = GuestImage::manifest_path(directory);
    let text = host::files::read_text_optional(&path)?
        .ok_or_else(|| failed().because(format!("it has no {}", file::MANIFEST)))?;
    let manifest: GuestImageManifest = serde_json::from_str(&text)
        .map_err(|error| failed().because(format!("{} cannot be read: {error}", file::MANIFEST)))?;
    let mut mistakes = mistakes(&manifest, std::env::consts::ARCH);
    for name in file::DESCRIBED {
        if !directory.join(name).is_file() {
            mistakes.push(format!("it has no {name}"));
        }
    }
    if mistakes.is_empty() {
        return Ok(GuestImage { directory: directory.to_owned(), manifest, fingerprint, choice: None });
    }
    Err(mistakes.into_iter().fold(failed(), |error, mistake| error.because(mistake)))
}

/// Writes the manifest into `directory`, with the digests of its files.
pub(crate) fn write(directory: &Path, manifest: GuestImageManifest) -> Result<()> {
    let manifest = GuestImageManifest { files: crate::integrity::digests(directory)?, ..manifest };
    let mut text = serde_json::to_string_pretty(&manifest)
        .map_err(|error| Error::new(ErrorClass::Failed, "the manifest cannot be written").because(error))?;
    text.push('\n');
    host::files::write_atomic(&GuestImage::manifest_path(directory), text.as_bytes(), host::files::Mode::Exactly(0o644))
}

/// Lists what in a manifest breaks the guest contract. Pure.
fn mistakes(manifest: &GuestImageManifest, architecture: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    if !(OLDEST_SCHEMA..=SCHEMA).contains(&manifest.schema) {
        mistakes.push(format!("schema = {}: this k3s-vm reads {OLDEST_SCHEMA} and {SCHEMA}", manifest.schema));
    }
    for name in file::DESCRIBED {
        let has_digest = |digest: &model::guest_image::FileDigest| Sha256::parse(&digest.sha256).is_some();
        if manifest.schema == SCHEMA && !manifest.files.get(name).is_some_and(has_digest) {
            mistakes.push(format!("files has no size and SHA-256 of {name}"));
        }
    }
    if manifest.architecture != architecture {
        mistakes.push(format!("architecture = {:?}: this host runs {architecture:?}", manifest.architecture));
    }
    if manifest.virtual_size == 0 || !manifest.virtual_size.is_multiple_of(512) {
        mistakes.push(format!("virtual_size = {}: must be a whole number of 512-byte sectors", manifest.virtual_size));
    }
    if manifest.certificate_days == 0 {
        mistakes.push("certificate_days = 0: the API's certificate must live at least a day".to_owned());
    }
    // QEMU finds `vga=` anywhere in the line and sets a video mode, which a machine without VGA does not have.
    if let Some(word) = manifest.kernel_command_line.split_whitespace().find(|word| word.contains("vga=")) {
        mistakes.push(format!("kernel_command_line has {word}: a kernel without VGA then waits 30 s for a key"));
    }
    for (name, value) in [
        ("kernel_command_line", &manifest.kernel_command_line),
        ("node_name", &manifest.node_name),
        ("service", &manifest.service),
        ("kubernetes_version", &manifest.kubernetes_version),
    ] {
        if value.trim().is_empty() {
            mistakes.push(format!("{name} is empty"));
        }
    }
    for (name, value) in [("kubeconfig", &manifest.kubeconfig), ("containerd_socket", &manifest.containerd_socket)] {
        if !value.starts_with('/') {
            mistakes.push(format!("{name} = {value:?}: must be an absolute path in the guest"));
        }
    }
    mistakes
}

#[cfg(test)]
use model::guest_image::FileDigest;

/// The manifest of a guest image with empty files.
#[cfg(test)]
pub(crate) fn example() -> GuestImageManifest {
    GuestImageManifest {
        schema: SCHEMA,
        architecture: std::env::consts::ARCH.to_owned(),
        provider: "prebuilt".to_owned(),
        distribution: "kubernetes".to_owned(),
        kubernetes_version: "v1.37.2".to_owned(),
        operating_system: "Debian 13 (trixie)".to_owned(),
        kernel_command_line: "console=ttyS0 root=/dev/vda".to_owned(),
        virtual_size: 20 << 30,
        node_name: "k3s-vm".to_owned(),
        kubeconfig: "/etc/kubernetes/admin.conf".to_owned(),
        service: "kubernetes.service".to_owned(),
        containerd_socket: "/run/containerd/containerd.sock".to_owned(),
        certificate_days: 365,
        files: file::DESCRIBED
            .map(|name| (name.to_owned(), FileDigest { size: 0, sha256: Sha256::of(b"").to_string() }))
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_complete_directory_is_an_image_and_of_an_incomplete_one_all_missing_files_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let read = || read_image(directory.path(), "f".to_owned(), ErrorClass::Config);
        assert_eq!(read().unwrap_err().why(), ["it has no manifest.json"]);
        assert!(write(directory.path(), example()).is_err(), "there are no files to compute digests of");
        std::fs::write(GuestImage::manifest_path(directory.path()), serde_json::to_vec(&example()).unwrap()).unwrap();
        assert_eq!(read().unwrap_err().why(), ["it has no kernel", "it has no initrd", "it has no root.qcow2"]);
        for name in [file::KERNEL, file::INITRD, file::ROOT_DISK] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        write(directory.path(), example()).unwrap();
        let image = read().unwrap();
        assert_eq!((image.manifest, image.fingerprint.as_str()), (example(), "f"));
    }

    /// A profile of nixpkgs sets it. The wait is longer than the test of KVM, so KVM was refused for every NixOS guest.
    #[test]
    fn a_video_mode_made_the_kernel_wait_half_a_minute_for_a_key() {
        for line in ["console=ttyS0 panic=1 boot.panic_on_fail vga=0x317 nomodeset", "vga=ask", "root=/dev/vda x.vga=0"]
        {
            let manifest = GuestImageManifest { kernel_command_line: line.to_owned(), ..example() };
            let told = mistakes(&manifest, std::env::consts::ARCH);
            assert!(told.len() == 1 && told[0].contains("30 s"), "{line}: {told:?}");
        }
        let manifest =
            GuestImageManifest { kernel_command_line: "video=vga vga.x=1 nomodeset".to_owned(), ..example() };
        assert_eq!(mistakes(&manifest, std::env::consts::ARCH), [""; 0]);
    }

    #[test]
    fn every_breach_of_the_contract_is_named() {
        let manifest = GuestImageManifest {
            schema: 3,
            architecture: "s390x".to_owned(),
            kernel_command_line: " ".to_owned(),
            virtual_size: 1000,
            kubeconfig: "admin.conf".to_owned(),
            certificate_days: 0,
            ..example()
        };
        assert_eq!(mistakes(&example(), std::env::consts::ARCH), [""; 0]);
        insta::assert_snapshot!(mistakes(&manifest, "x86_64").join("\n"), @r#"
        schema = 3: this k3s-vm reads 1 and 2
        architecture = "s390x": this host runs "x86_64"
        virtual_size = 1000: must be a whole number of 512-byte sectors
        certificate_days = 0: the API's certificate must live at least a day
        kernel_command_line is empty
        kubeconfig = "admin.conf": must be an absolute path in the guest
        "#);
        let without = GuestImageManifest { files: BTreeMap::new(), ..example() };
        assert_eq!(mistakes(&GuestImageManifest { schema: 1, ..without.clone() }, &example().architecture), [""; 0]);
        insta::assert_snapshot!(mistakes(&without, &example().architecture).join("\n"), @"
        files has no size and SHA-256 of kernel
        files has no size and SHA-256 of initrd
        files has no size and SHA-256 of root.qcow2
        ");
    }
}
