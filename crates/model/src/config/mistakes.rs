//! Reads single values of the configuration and collects what is wrong with them, so that the user sees all of it.
//!
//! It knows kinds of values, not which keys there are.

use std::time::Duration;

use super::{Config, ContainerImage, ContainerImageSource};
use crate::config_file::ContainerImageSection;
use crate::port::Port;
use crate::{Fault, FaultClass, Result};

const MIB: u64 = 1024 * 1024;

/// Collects what is wrong so that the user sees all of it.
#[derive(Default)]
pub(super) struct Mistakes(Vec<String>);

impl Mistakes {
    pub(super) fn add(&mut self, mistake: String) {
        self.0.push(mistake);
    }

    pub(super) fn port(&mut self, key: &str, value: Option<i64>, default: Port) -> Port {
        let Some(number) = value else { return default };
        match u16::try_from(number).ok().and_then(Port::new) {
            Some(port) => port,
            None => {
                self.add(format!("{key} = {number}: not a port (1 to 65535)"));
                default
            }
        }
    }

    pub(super) fn within(&mut self, key: &str, value: Option<i64>, low: u32, high: u32, default: u32) -> u32 {
        let Some(number) = value else { return default };
        match u32::try_from(number).ok().filter(|number| (low..=high).contains(number)) {
            Some(number) => number,
            None => {
                self.add(format!("{key} = {number}: must be {low} to {high}"));
                default
            }
        }
    }

    pub(super) fn parse<T>(
        &mut self,
        key: &str,
        text: Option<&str>,
        default: T,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        let Some(text) = text else { return default };
        match parse(text) {
            Ok(value) => value,
            Err(why) => {
                self.add(format!("{key} = \"{text}\": {why}"));
                default
            }
        }
    }

    pub(super) fn size(&mut self, key: &str, text: Option<&str>, least: u64, default: u64) -> u64 {
        self.parse(key, text, default, |text| {
            let size =
                text.parse::<bytesize::ByteSize>().map_err(|_| "not a size such as \"4GiB\"".to_owned())?.as_u64();
            match size {
                _ if size < least => Err(format!("at least {} is needed", bytesize::ByteSize(least))),
                _ if size % MIB != 0 => Err("must be a whole number of MiB".to_owned()),
                _ => Ok(size),
            }
        })
    }

    pub(super) fn duration(&mut self, key: &str, text: Option<&str>, default: Duration) -> Duration {
        self.parse(key, text, default, |text| {
            humantime::parse_duration(text).map_err(|_| "not a duration such as \"90s\" or \"15m\"".to_owned())
        })
    }

    /// The first choice is the default.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, text: Option<&str>, choices: &[(&str, T)]) -> T {
        self.parse(key, text, choices[0].1, |text| {
            choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
                format!("must be one of {}", names.join(", "))
            })
        })
    }

    pub(super) fn container_image(&mut self, index: usize, image: &ContainerImageSection) -> Option<ContainerImage> {
        let key = format!("images[{index}]");
        let Some(name) = image.name.clone() else {
            self.add(format!("{key}: name is missing"));
            return None;
        };
        let source = match (&image.archive, image.files.is_empty()) {
            (Some(archive), true) => ContainerImageSource::Archive(archive.clone()),
            (None, false) if !image.entrypoint.is_empty() => {
                ContainerImageSource::Files { files: image.files.clone(), entrypoint: image.entrypoint.clone() }
            }
            (None, false) => {
                self.add(format!("{key} ({name}): an image made of files needs entrypoint"));
                return None;
            }
            (Some(_), false) | (None, true) => {
                self.add(format!("{key} ({name}): needs either archive or files"));
                return None;
            }
        };
        Some(ContainerImage { name, build: image.build.clone(), source })
    }

    pub(super) fn into_result(self, config: Config) -> Result<Config> {
        if self.0.is_empty() {
            return Ok(config);
        }
        let count = self.0.len();
        let headline = if count == 1 {
            "the configuration has a mistake".to_owned()
        } else {
            format!("the configuration has {count} mistakes")
        };
        let mut fault = Fault::new(FaultClass::Config, headline);
        for mistake in self.0 {
            fault = fault.because(mistake);
        }
        Err(fault.next("edit .k3s-vm/config.toml or .env, then run the command again"))
    }
}
