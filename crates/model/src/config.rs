//! The configuration: reads and checks the texts of the file, the flags and the variables, and resolves them to values.
//!
//! Pure: the caller reads the texts. All mistakes are reported at once.

mod container_image;
mod document;
pub mod edit;
pub mod k3s;
pub mod key;
mod nearest;
pub mod nixpkgs;
mod patterns;
mod port_forward;
mod reader;
mod resolve;
pub mod schema;
mod setting;
mod source;
mod toml_value;
mod values;

pub use k3s::K3sConfig;
pub use nixpkgs::Nixpkgs;
pub use patterns::Patterns;
pub use port_forward::PortForward;
pub use resolve::{Resolved, Sources, web_directory};
pub use setting::{Setting, SettingValue};
pub use source::{Flag, Origin, Overrides, WEB_PORT};
pub use values::{
    Accel, BuildSources, Config, ContainerImage, ContainerImageSource, Distribution, GuestConfig, ImageConfig,
    InjectConfig, InjectMode, Limits, Ports, Provider, Timeouts, VmConfig, WebService,
};

#[cfg(test)]
mod tests;
