//! The results of `snapshot` and `prune`, for people. Pure.

use std::time::Duration;

use bytesize::ByteSize;
use lifecycle::verbs::prune::{Kind, PruneReport};
use lifecycle::verbs::snapshot::{Entry, RemoveReport};

use super::style::Style;
use super::table::Table;

/// Every snapshot with what it holds, and below the table why the RAM of one cannot be used.
pub(crate) fn snapshots(entries: &[Entry], style: Style) -> String {
    let mut table = Table::new(["SNAPSHOT", "AGE", "SIZE", "RUNS", "HOLDS", "RESTORES"]);
    let mut reasons = String::new();
    for entry in entries {
        let unknown = || "-".to_owned();
        let age = entry.age.map_or_else(unknown, |seconds| age(Duration::from_secs(seconds)));
        let holds = match entry.deployments.as_slice() {
            [] => unknown(),
            names => names.join(", "),
        };
        let restores = match (entry.fits, &entry.distribution) {
            (true, _) => "from RAM",
            (false, Some(_)) => "by a boot",
            (false, None) => "no",
        };
        let runs = entry.distribution.clone().unwrap_or_else(unknown);
        table.row([entry.name.as_str(), &age, &ByteSize(entry.size).to_string(), &runs, &holds, restores]);
        if let Some(why) = &entry.why_not {
            reasons.push_str(&format!("{}: {why}\n", entry.name));
        }
    }
    let separator = if reasons.is_empty() { "" } else { "\n" };
    format!("{}{separator}{reasons}", table.render(style))
}

/// What a removal gave back.
pub(crate) fn removed(report: &RemoveReport) -> String {
    let names: Vec<&str> = report.removed.iter().map(|name| name.as_str()).collect();
    format!("Removed {}; {} are free again.\n", names.join(", "), ByteSize(report.bytes))
}

/// What was removed, or would be, and what stays because its users are not known.
pub(crate) fn pruned(report: &PruneReport, style: Style) -> String {
    let mut table = Table::new(["SIZE", "KIND", "PATH", "WHY"]);
    for removal in &report.removed {
        let kind = match removal.kind {
            Kind::Template => "template",
            Kind::Unfinished => "unfinished",
            Kind::SuspendedRam => "suspended RAM",
            Kind::BackingFiles => "frozen disks",
            Kind::GuestImage => "guest image",
            Kind::Download => "download",
        };
        table.row([&ByteSize(removal.bytes).to_string(), kind, &removal.path.display().to_string(), &removal.why]);
    }
    let mut text = table.render(style);
    for kept in &report.kept {
        let line = format!("Kept: {} ({}): {}\n", kept.path.display(), ByteSize(kept.bytes), kept.why);
        text.push_str(&style.faint(&line));
    }
    let all = ByteSize(report.bytes);
    text + &if report.dry_run { format!("{all} could be given back.\n") } else { format!("{all} are free again.\n") }
}

/// The largest unit alone: who looks for a snapshot does not count seconds.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use lifecycle::verbs::prune::{Kept, Removal};
    use model::snapshot::SnapshotName;

    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            name: SnapshotName::new(name).unwrap(),
            created: Some(1_795_000_000),
            age: Some(300),
            size: 1_200_000_000,
            distribution: Some("kubernetes v1.37.2".to_owned()),
            image: Some("/cache/images/KEY".to_owned()),
            node: Some("k3s-vm".to_owned()),
            deployments: vec!["default/web".to_owned(), "shop/cart".to_owned()],
            fits: true,
            why_not: None,
        }
    }

    #[test]
    fn a_list_says_what_each_holds_and_how_it_would_be_restored() {
        let old = Entry {
            fits: false,
            why_not: Some("QEMU is another one".to_owned()),
            age: Some(7 * 86400),
            ..entry("old")
        };
        let damaged = Entry {
            created: None,
            age: None,
            distribution: None,
            deployments: Vec::new(),
            fits: false,
            why_not: Some("there is none".to_owned()),
            ..entry("damaged")
        };
        insta::assert_snapshot!(snapshots(&[entry("new"), old, damaged], Style::PLAIN), @"
        SNAPSHOT  AGE  SIZE     RUNS                HOLDS                   RESTORES
        new       5m   1.1 GiB  kubernetes v1.37.2  default/web, shop/cart  from RAM
        old       7d   1.1 GiB  kubernetes v1.37.2  default/web, shop/cart  by a boot
        damaged   -    1.1 GiB  -                   -                       no

        old: QEMU is another one
        damaged: there is none
        ");
        insta::assert_snapshot!(snapshots(&[entry("new")], Style::PLAIN), @"
        SNAPSHOT  AGE  SIZE     RUNS                HOLDS                   RESTORES
        new       5m   1.1 GiB  kubernetes v1.37.2  default/web, shop/cart  from RAM
        ");
        assert_eq!(snapshots(&[], Style::PLAIN), "");
    }

    #[test]
    fn a_removal_says_what_it_gave_back() {
        let removed_names = vec![SnapshotName::new("a").unwrap(), SnapshotName::new("b").unwrap()];
        let report = RemoveReport { removed: removed_names, bytes: 3 << 30 };
        assert_eq!(removed(&report), "Removed a, b; 3.0 GiB are free again.\n");
    }

    #[test]
    fn what_is_pruned_is_listed_with_its_reason() {
        let removal =
            |kind, path: &str, why: &str| Removal { kind, path: path.into(), why: why.to_owned(), bytes: 1 << 30 };
        let report = PruneReport {
            dry_run: true,
            removed: vec![
                removal(Kind::Template, "/p/.k3s-vm/templates/ready", "QEMU is another one"),
                removal(Kind::GuestImage, "/c/images/KEY", "no project uses it, and there is a newer one"),
            ],
            kept: vec![Kept { path: "/c/images/OLD".into(), why: "it is from before".to_owned(), bytes: 1 << 20 }],
            bytes: 2 << 30,
        };
        insta::assert_snapshot!(pruned(&report, Style::PLAIN), @r"
        SIZE     KIND         PATH                        WHY
        1.0 GiB  template     /p/.k3s-vm/templates/ready  QEMU is another one
        1.0 GiB  guest image  /c/images/KEY               no project uses it, and there is a newer one
        Kept: /c/images/OLD (1.0 MiB): it is from before
        2.0 GiB could be given back.
        ");
        let nothing = PruneReport { dry_run: false, removed: Vec::new(), kept: Vec::new(), bytes: 0 };
        assert_eq!(pruned(&nothing, Style::PLAIN), "0 B are free again.\n");
    }

    #[test]
    fn ages_have_one_unit() {
        let shown = |seconds| age(Duration::from_secs(seconds));
        let all = [0, 119, 120, 7199, 7200, 172_799, 172_800].map(shown);
        assert_eq!(all, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }
}
