//! Names of users and groups, from `/etc/passwd` and `/etc/group`.
//!
//! Names from a directory service are unknown: they would need the plug-ins of the C library.

use std::collections::HashMap;

/// Names of users or groups by number.
#[derive(Debug, Default)]
pub struct AccountNames(HashMap<u32, String>);

impl AccountNames {
    /// Reads the names of users; there are none if the table cannot be read.
    pub fn of_users() -> Self {
        Self::read("/etc/passwd")
    }

    /// Reads the names of groups; there are none if the table cannot be read.
    pub fn of_groups() -> Self {
        Self::read("/etc/group")
    }

    fn read(path: &str) -> Self {
        match std::fs::read(path) {
            Ok(table) => Self::parse(&String::from_utf8_lossy(&table)),
            Err(_) => Self::default(),
        }
    }

    /// Parses passwd(5) or group(5), in which name and number have the same fields. The first entry of a number counts,
    /// as for getpwuid(3).
    fn parse(table: &str) -> Self {
        let mut names = HashMap::new();
        for line in table.lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(_), Some(Ok(number))) =
                (fields.next(), fields.next(), fields.next().map(str::parse))
            {
                names.entry(number).or_insert_with(|| name.to_owned());
            }
        }
        AccountNames(names)
    }

    /// The name of `number`, if it has one.
    pub fn find(&self, number: u32) -> Option<&str> {
        self.0.get(&number).map(String::as_str)
    }

    /// The name of `number`, or the number if it has none.
    pub fn name(&self, number: u32) -> String {
        self.find(number).map_or_else(|| number.to_string(), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_and_shows_numbers_without_one() {
        let names =
            AccountNames::parse("root:x:0:0:root:/root:/bin/sh\n# comment\nweb:x:1000:\ntoor:x:0:\n\nbad:x:y:\n");
        assert_eq!(names.name(0), "root");
        assert_eq!(names.name(1000), "web");
        assert_eq!(names.name(1001), "1001");
    }

    #[test]
    fn reads_groups_alike() {
        let names = AccountNames::parse("root:x:0:\nkvm:x:104:ada,web\n");
        assert_eq!((names.find(104), names.find(105)), (Some("kvm"), None));
    }
}
