//! The options of `cargo xtask bench instant`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// How often each figure is measured.
    pub(super) runs: usize,
    /// How many resets in a row; 0 leaves them out.
    pub(super) resets: usize,
    /// The file for the figures as JSON.
    pub(super) json: Option<PathBuf>,
}

impl Options {
    /// Reads the words after `bench instant`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Options { runs: 10, resets: 200, json: None };
        for pair in words.chunks(2) {
            let [option, value] = pair else { bail!("{} needs a value", pair.concat()) };
            let number = || value.parse().with_context(|| format!("{option} {value}: not a number"));
            match *option {
                "--runs" => options.runs = number()?,
                "--resets" => options.resets = number()?,
                "--json" => options.json = Some(std::path::absolute(value)?),
                _ => bail!("no such option: {option}"),
            }
        }
        ensure!(options.runs > 0, "--runs 0: nothing would be measured");
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_defaults() {
        assert_eq!(Options::parse(&[]).unwrap(), Options { runs: 10, resets: 200, json: None });
        let options = Options::parse(&["--resets", "0", "--json", "/a.json", "--runs", "2"]).unwrap();
        assert_eq!(options, Options { runs: 2, resets: 0, json: Some("/a.json".into()) });
    }

    #[test]
    fn wrong_options_are_refused() {
        for words in [&["--runs"][..], &["--runs", "0"], &["--runs", "x"], &["--resets", "-1"], &["--run", "3"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
