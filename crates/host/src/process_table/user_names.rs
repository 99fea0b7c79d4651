//! Names of users, from `/etc/passwd`.
//!
//! Users that only a directory service knows stay numbers: asking it would need the C library's plug-ins.

use std::collections::HashMap;

/// The names by number.
#[derive(Debug, Default)]
pub(crate) struct UserNames(HashMap<u32, String>);

impl UserNames {
    /// Reads the host's table; an unreadable one gives no names.
    pub(crate) fn read() -> Self {
        match std::fs::read("/etc/passwd") {
            Ok(table) => Self::parse(&String::from_utf8_lossy(&table)),
            Err(_) => Self::default(),
        }
    }

    /// Reads passwd(5): the first entry of a number counts, as for getpwuid(3).
    pub(crate) fn parse(table: &str) -> Self {
        let mut names = HashMap::new();
        for line in table.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(_), Some(Ok(number))) =
                (fields.next(), fields.next(), fields.next().map(str::parse))
            {
                names.entry(number).or_insert_with(|| name.to_owned());
            }
        }
        UserNames(names)
    }

    /// The name, or the number where there is none.
    pub(crate) fn name(&self, number: u32) -> String {
        self.0.get(&number).cloned().unwrap_or_else(|| number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_names_and_passes_numbers_on() {
        let names = UserNames::parse("root:x:0:0:root:/root:/bin/sh\n# comment\nweb:x:1000:\ntoor:x:0:\n\nbad:x:y:\n");
        assert_eq!(names.name(0), "root");
        assert_eq!(names.name(1000), "web");
        assert_eq!(names.name(1001), "1001");
    }
}
