//! The options of `cargo xtask bench instant`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

/// How much is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// How often each thing is measured.
    pub(super) runs: usize,
    /// How many resets follow each other; none leaves them out.
    pub(super) resets: usize,
    /// Where the figures are written as JSON.
    pub(super) json: Option<PathBuf>,
}

impl Options {
    /// Reads the words after `bench instant`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Options { runs: 10, resets: 200, json: None };
        for pair in words.chunks(2) {
            let [option, value] = pair else { bail!("{} wants a value", pair.concat()) };
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
    fn what_is_not_said_has_a_default() {
        assert_eq!(Options::parse(&[]).unwrap(), Options { runs: 10, resets: 200, json: None });
        let options = Options::parse(&["--resets", "0", "--json", "/a.json", "--runs", "2"]).unwrap();
        assert_eq!(options, Options { runs: 2, resets: 0, json: Some("/a.json".into()) });
    }

    #[test]
    fn mistakes_are_told() {
        for words in [&["--runs"][..], &["--runs", "0"], &["--runs", "x"], &["--resets", "-1"], &["--run", "3"]] {
            assert!(Options::parse(words).is_err(), "{words:?}");
        }
    }
}
