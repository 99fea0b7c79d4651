//! The cluster: kubeconfig, manifests, injection of variables, server-side apply, readiness, container images.
//!
//! It speaks to a Kubernetes API and knows nothing of QEMU. Nothing in its public interface is asynchronous: the
//! runtime lives inside [`ClusterClient`].

pub mod apply;
pub mod client;
pub mod container_account;
pub mod container_image;
mod error_text;
pub mod inject;
pub mod kubeconfig;
pub mod manifest;
pub mod probe;
mod yaml;

pub use apply::{
    Applied, ApplyOptions, ApplyOutcome, ApplySet, Change, FIELD_MANAGER, PART_OF_LABEL, Preview, PreviewOptions,
    Previewed, PruneOutcome, Pruned,
};
pub use client::ClusterClient;
pub use container_account::ContainerAccount;
pub use container_image::annotation as image_annotation;
pub use container_image::{ArchivedImage, ImageArchive, ImageDigest, ImageName, ImageRecipe, PackedImage, SizeLimit};
pub use inject::{Injection, RefusedVariable};
pub use kubeconfig::credentials;
pub use kubeconfig::{Credentials, Kubeconfig, KubeconfigContext, OwnKubeconfig, Token};
pub use manifest::files as manifest_files;
pub use manifest::{ManifestObject, ManifestText, Origin};
pub use probe::{ApiProbe, ApiProof, CoreService, CoreServiceStatus, DeploymentName};
pub use probe::{ready, services};
