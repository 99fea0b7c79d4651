//! The cluster: kubeconfig, manifests, injection of variables, server-side apply, readiness, container images.
//!
//! It speaks to a Kubernetes API and knows nothing of QEMU. Nothing in its public interface is asynchronous: the
//! runtime lives inside [`client::ClusterClient`].

mod advice;
pub mod api_proof;
pub mod apply;
mod apply_run;
mod apply_wave;
pub mod client;
pub mod container_account;
pub mod credentials;
mod deadline_stream;
mod deployments;
mod diff;
pub mod image_annotation;
pub mod image_archive;
pub mod image_digest;
mod image_layer;
mod image_layout;
pub mod image_name;
pub mod image_pack;
mod image_tar;
pub mod inject;
mod inventory;
mod kinds;
pub mod kubeconfig;
mod kubeconfig_file;
mod kubeconfig_owner;
pub mod manifest;
mod manifest_documents;
pub mod manifest_files;
pub mod manifest_order;
mod pem;
mod preview;
mod prune;
pub mod ready;
mod refusal;
mod request_error;
mod rollout;
pub mod services;
mod strict_json;
mod tls_verdict;
mod yaml;

pub use api_proof::{ApiProbe, ApiProof};
pub use apply::{Applied, ApplyOptions, ApplyOutcome, Change, FIELD_MANAGER};
pub use client::ClusterClient;
pub use container_account::{ContainerAccount, Token};
pub use credentials::Credentials;
pub use image_archive::{ArchivedImage, ImageArchive, SizeLimit};
pub use image_digest::ImageDigest;
pub use image_name::ImageName;
pub use image_pack::{ImageRecipe, PackedImage};
pub use inject::{Injection, RefusedVariable};
pub use inventory::{ApplySet, PART_OF_LABEL};
pub use kubeconfig::Kubeconfig;
pub use kubeconfig_file::KubeconfigContext;
pub use kubeconfig_owner::OwnKubeconfig;
pub use manifest::{ManifestObject, ManifestText, Origin};
pub use preview::{Preview, PreviewOptions, Previewed};
pub use prune::{PruneOutcome, Pruned};
pub use ready::DeploymentName;
pub use services::{StandingService, ToldService};
