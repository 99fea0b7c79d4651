//! Counts a project's files, processes, ports and open files on the host, to see whether they grew.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// How much the disks of two VMs may differ: what a guest writes varies.
const TOLERATED_BYTES: u64 = 16 << 20;

/// Counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Directory entries.
    pub(super) files: u64,
    /// Their size on the disk; a file with several links counts once.
    pub(super) bytes: u64,
    /// QEMU processes of instances, with their working directory in the project.
    pub(super) machines: u64,
    /// All processes with their working directory in the project.
    pub(super) processes: u64,
    /// Ports on which they listen.
    pub(super) ports: u64,
    /// Files that they have open.
    pub(super) descriptors: u64,
}

impl Tally {
    /// Counts the files below `directories`, and the processes with their working directory below `project`.
    pub(super) fn take(directories: &[PathBuf], project: &Path) -> Result<Self> {
        let mut tally = Tally::default();
        let mut seen = HashSet::new();
        for directory in directories {
            tally.count_files(directory, &mut seen);
        }
        let listening = listening_sockets(&fs::read_to_string("/proc/net/tcp")?);
        for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
            // A process may end meanwhile.
            let _ = tally.count_process(&entry.path(), project, &listening);
        }
        Ok(tally)
    }

    fn count_files(&mut self, directory: &Path, seen: &mut HashSet<(u64, u64)>) {
        for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
            let Ok(metadata) = entry.metadata() else { continue };
            self.files += 1;
            if metadata.is_dir() {
                self.count_files(&entry.path(), seen);
            }
            if seen.insert((metadata.dev(), metadata.ino())) {
                // st_blocks counts 512 bytes, whatever the filesystem's block is (stat(2)).
                self.bytes += metadata.blocks() * 512;
            }
        }
    }

    fn count_process(&mut self, process: &Path, project: &Path, listening: &HashSet<String>) -> std::io::Result<()> {
        if !fs::read_link(process.join("cwd"))?.starts_with(project) {
            return Ok(());
        }
        self.processes += 1;
        self.machines += u64::from(is_machine(&fs::read(process.join("cmdline"))?));
        for descriptor in fs::read_dir(process.join("fd"))?.filter_map(Result::ok) {
            self.descriptors += 1;
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            self.ports += u64::from(listening.contains(&*target.to_string_lossy()));
        }
        Ok(())
    }

    /// What there is more of in `later`, one line each.
    pub(super) fn growth(&self, later: &Tally) -> Vec<String> {
        let counts = [
            ("files", self.files, later.files, 0),
            ("bytes", self.bytes, later.bytes, TOLERATED_BYTES),
            ("VMs", self.machines, later.machines, 0),
            ("processes", self.processes, later.processes, 0),
            ("ports", self.ports, later.ports, 0),
            ("open files", self.descriptors, later.descriptors, 0),
        ];
        let grown = counts.into_iter().filter(|(_, before, after, tolerated)| *after > before + tolerated);
        grown.map(|(what, before, after, _)| format!("{what}: {before} before, {after} after")).collect()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { files, bytes, machines, processes, ports, descriptors } = self;
        write!(
            formatter,
            "{files} files, {} MiB, {machines} VMs, {processes} processes, {ports} ports, {descriptors} open files",
            bytes >> 20
        )
    }
}

/// Whether a command line is that of an instance's VM: a QEMU with `-name k3s-vm…`.
fn is_machine(command_line: &[u8]) -> bool {
    let words: Vec<_> = command_line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let is_named = words.windows(2).any(|pair| pair[0] == "-name" && pair[1].starts_with("k3s-vm"));
    words.first().is_some_and(|program| program.contains("qemu")) && is_named
}

/// The sockets of `/proc/net/tcp` that listen, as the links in `/proc/PID/fd` name them.
fn listening_sockets(table: &str) -> HashSet<String> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The fourth column is the state, 0A that of a listener; the tenth is the inode (proc_net_tcp).
    rows.filter(|row| row.get(3) == Some(&"0A")).filter_map(|row| Some(format!("socket:[{}]", row.get(9)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_growth_is_reported() {
        let before = Tally { files: 40, bytes: 1 << 30, machines: 1, processes: 2, ports: 3, descriptors: 30 };
        let after = Tally { files: 41, bytes: before.bytes + (1 << 20), machines: 2, ports: 2, ..before };
        assert_eq!(before.growth(&after), ["files: 40 before, 41 after", "VMs: 1 before, 2 after"]);
        assert_eq!(before.growth(&Tally { bytes: before.bytes * 2, ..before }).len(), 1);
        assert_eq!(after.to_string(), "41 files, 1025 MiB, 2 VMs, 2 processes, 2 ports, 30 open files");
    }

    #[test]
    fn listeners_of_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n   \
                     1: 0100007F:192C 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4712 1\n";
        assert_eq!(listening_sockets(table), HashSet::from(["socket:[4711]".to_owned()]));
    }

    #[test]
    fn vms_are_found_by_their_names() {
        assert!(is_machine(b"/usr/bin/qemu-system-x86_64\0-name\0k3s-vm-two\0"));
        assert!(!is_machine(b"/usr/bin/qemu-system-x86_64\0-name\0other\0"));
        assert!(!is_machine(b"grep\0-name\0k3s-vm\0"));
    }

    #[test]
    fn a_file_with_two_links_counts_its_bytes_once() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a"), vec![1; 4096]).unwrap();
        let one = Tally::take(&[directory.path().into()], directory.path()).unwrap();
        fs::hard_link(directory.path().join("a"), directory.path().join("b")).unwrap();
        let two = Tally::take(&[directory.path().into()], directory.path()).unwrap();
        assert_eq!((two.files, two.bytes), (one.files + 1, one.bytes));
    }
}
