//! A line of Nix's log in the form `internal-json` (`--log-format`), as Nix 2.18 to 2.34 writes it to stderr. Pure.
//!
//! The numbers are those of Nix's `libutil/logging.hh`; what this program has no use for is left out.

use serde::Deserialize;
use serde_json::Value;

/// What every line of the format begins with.
const MARK: &str = "@nix ";

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LogLine {
    /// An activity begins.
    Start {
        /// Its number.
        id: u64,
        /// What it does.
        activity: Activity,
    },
    /// An activity is over.
    Stop {
        /// Its number.
        id: u64,
    },
    /// News of an activity.
    News {
        /// Its number.
        id: u64,
        /// The news.
        news: News,
    },
    /// Something was said, without the codes of colours.
    Message(String),
    /// Nothing of interest.
    Other,
}

/// What an activity does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Activity {
    /// Copies a path of the store, mostly out of a cache.
    CopyPath(String),
    /// Fetches a file; its address.
    Download(String),
    /// Counts copies.
    Copies,
    /// Counts builds.
    Builds,
    /// Counts all that is under way.
    Realise,
    /// Builds a derivation; its path.
    Build(String),
    /// Anything else that has a text for people.
    Named(String),
    /// Anything else.
    Other,
}

/// News of an activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// A line of a builder's log, without the codes of colours.
    Log(String),
    /// How far it is, in its own units.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all; 0 where that is unknown.
        expected: u64,
    },
    /// How many bytes all copies will be.
    ExpectedBytes(u64),
    /// Nothing of interest.
    Other,
}

#[derive(Deserialize)]
struct Record {
    action: String,
    #[serde(default)]
    id: u64,
    #[serde(default, rename = "type")]
    kind: u64,
    #[serde(default)]
    text: String,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    fields: Vec<Value>,
}

impl LogLine {
    /// Reads a line. What is not of this format is a message.
    pub(super) fn parse(line: &str) -> Self {
        let Some(json) = line.strip_prefix(MARK) else { return LogLine::Message(plain(line)) };
        let Ok(record) = serde_json::from_str::<Record>(json) else { return LogLine::Message(plain(json)) };
        match record.action.as_str() {
            "start" => LogLine::Start { id: record.id, activity: activity(&record) },
            "stop" => LogLine::Stop { id: record.id },
            "result" => LogLine::News { id: record.id, news: news(&record) },
            "msg" => LogLine::Message(plain(&record.msg)),
            _ => LogLine::Other,
        }
    }
}

fn activity(record: &Record) -> Activity {
    let first = || record.fields.first().and_then(Value::as_str).unwrap_or_default().to_owned();
    match record.kind {
        100 => Activity::CopyPath(first()),
        101 => Activity::Download(first()),
        102 => Activity::Realise,
        103 => Activity::Copies,
        104 => Activity::Builds,
        105 => Activity::Build(first()),
        0 if !record.text.is_empty() => Activity::Named(plain(&record.text)),
        _ => Activity::Other,
    }
}

fn news(record: &Record) -> News {
    let number = |place: usize| record.fields.get(place).and_then(Value::as_u64).unwrap_or_default();
    match record.kind {
        101 => News::Log(plain(record.fields.first().and_then(Value::as_str).unwrap_or_default())),
        105 => News::Progress { done: number(0), expected: number(1) },
        // Of which activity's type, and how much: only copies have a sum of bytes.
        106 if number(0) == 100 => News::ExpectedBytes(number(1)),
        _ => News::Other,
    }
}

/// `text` without the codes that colour it (ECMA-48, SGR).
fn plain(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic()).map_or(part.len(), |end| end + 1);
        out.push_str(&part[end..]);
    }
    out
}

/// The name in a path of the store: `/nix/store/HASH-NAME` is NAME, without `.drv`.
pub(super) fn name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split_once('-').filter(|(hash, _)| hash.len() == 32).map_or(file, |(_, name)| name);
    name.strip_suffix(".drv").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_read() {
        let lines = [
            r#"@nix {"action":"start","id":7,"level":3,"parent":0,"text":"building '/nix/store/x.drv'","type":105,"fields":["/nix/store/x.drv","",1,1]}"#,
            r#"@nix {"action":"start","id":8,"level":3,"text":"copying","type":100,"fields":["/nix/store/y","https://c","local"]}"#,
            r#"@nix {"action":"start","id":9,"level":4,"text":"downloading","type":101,"fields":["https://c/y.nar.xz"]}"#,
            r#"@nix {"action":"start","id":1,"level":0,"parent":0,"text":"","type":102}"#,
            r#"@nix {"action":"start","id":2,"level":0,"parent":0,"text":"","type":104}"#,
            r#"@nix {"action":"start","id":3,"level":0,"parent":0,"text":"","type":103}"#,
            r#"@nix {"action":"start","id":4,"level":3,"text":"unpacking 'https://n' into the Git cache","type":0}"#,
            r#"@nix {"action":"start","id":5,"level":0,"text":"","type":0}"#,
            r#"@nix {"action":"start","id":6,"level":0,"text":"substituting","type":108,"fields":["/nix/store/y"]}"#,
            r#"@nix {"action":"result","id":7,"type":101,"fields":["\u001b[1mline\u001b[0m one"]}"#,
            r#"@nix {"action":"result","id":2,"type":105,"fields":[3,41,1,0]}"#,
            r#"@nix {"action":"result","id":1,"type":106,"fields":[100,896]}"#,
            r#"@nix {"action":"result","id":1,"type":106,"fields":[101,228]}"#,
            r#"@nix {"action":"result","id":7,"type":104,"fields":["buildPhase"]}"#,
            r#"@nix {"action":"stop","id":7}"#,
            r#"@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m no","raw_msg":"no"}"#,
            r#"@nix {"action":"hum"}"#,
            r#"@nix {"action":"msg","level":0,"msg":"cut o"#,
            "\u{1b}[31;1merror:\u{1b}[0m before the log",
        ];
        let read: Vec<String> = lines.iter().map(|line| format!("{:?}", LogLine::parse(line))).collect();
        insta::assert_snapshot!(read.join("\n"), @r#"
        Start { id: 7, activity: Build("/nix/store/x.drv") }
        Start { id: 8, activity: CopyPath("/nix/store/y") }
        Start { id: 9, activity: Download("https://c/y.nar.xz") }
        Start { id: 1, activity: Realise }
        Start { id: 2, activity: Builds }
        Start { id: 3, activity: Copies }
        Start { id: 4, activity: Named("unpacking 'https://n' into the Git cache") }
        Start { id: 5, activity: Other }
        Start { id: 6, activity: Other }
        News { id: 7, news: Log("line one") }
        News { id: 2, news: Progress { done: 3, expected: 41 } }
        News { id: 1, news: ExpectedBytes(896) }
        News { id: 1, news: Other }
        News { id: 7, news: Other }
        Stop { id: 7 }
        Message("error: no")
        Other
        Message("{\"action\":\"msg\",\"level\":0,\"msg\":\"cut o")
        Message("error: before the log")
        "#);
    }

    #[test]
    fn names_of_the_store_are_short() {
        for (path, expected) in [
            ("/nix/store/20bmqa747c4b9sxlvrz0jqnnam4ggj7a-k3s-vm-image.drv", "k3s-vm-image"),
            ("/nix/store/qlnr8f6drbflmvdnm70da6fkjakihqm7-linux-6.12.drv", "linux-6.12"),
            ("/nix/store/qlnr8f6drbflmvdnm70da6fkjakihqm7-gcc-14-lib", "gcc-14-lib"),
            ("short-name", "short-name"),
            ("", ""),
        ] {
            assert_eq!(name(path), expected);
        }
    }
}
