//! Available memory, as the kernel reports it. Nothing is reserved.

use std::fs;
use std::path::Path;

/// The root of the control groups (cgroups(7)).
const GROUPS: &str = "/sys/fs/cgroup";

/// The bytes that this process can use now without swapping or an out-of-memory kill, by the host's memory and the
/// limits of its control groups (version 2). Zero if unknown.
pub fn available() -> u64 {
    let of_host = fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_host(&text)).unwrap_or(0);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(group) = groups.lines().find_map(|line| line.strip_prefix("0::/")) else { return of_host };
    let group = Path::new(GROUPS).join(group);
    let limits = group.ancestors().take_while(|directory| directory.starts_with(GROUPS)).filter_map(of_group);
    limits.fold(of_host, u64::min)
}

/// `MemAvailable` of `/proc/meminfo` (proc(5)).
fn of_host(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn of_group(directory: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    left(&read("memory.max")?, &read("memory.current")?, &read("memory.stat").unwrap_or_default())
}

/// The bytes that a group may still use, by the content of these files; `None` without a limit. Its inactive page cache
/// counts as free, because the kernel reclaims that first (Documentation/admin-guide/cgroup-v2.rst).
fn left(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    let cached = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.parse::<u64>().ok()).unwrap_or(0);
    Some(max.saturating_sub(current.saturating_sub(cached)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_reports_kibibytes() {
        assert_eq!(of_host("MemTotal:       24000 kB\nMemAvailable:     16 kB\n"), Some(16 * 1024));
        assert_eq!(of_host("MemTotal:       24000 kB\n"), None);
        assert_eq!(of_host("MemAvailable:  many\n"), None);
    }

    #[test]
    fn inactive_page_cache_counts_as_free() {
        assert_eq!(left("1000\n", "900\n", "anon 100\ninactive_file 700\n"), Some(800));
        assert_eq!(left("1000\n", "900\n", ""), Some(100));
        assert_eq!(left("1000\n", "1200\n", "inactive_file 0\n"), Some(0));
        assert_eq!(left("max\n", "900\n", ""), None);
    }

    #[test]
    fn this_process_has_some() {
        assert!((1 << 20..1 << 45).contains(&available()));
    }
}
