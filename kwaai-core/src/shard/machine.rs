//! The machine as far as computing blocks is concerned: its processor, and the cores and the memory that this process may use.

use std::fs;
use std::path::{Path, PathBuf};

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Where Linux shows the groups of processes and their limits.
const GROUPS: &str = "/sys/fs/cgroup";

/// What this process may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// The processor by its maker's name; `None` where the system does not say.
    pub processor: Option<String>,
    /// Cores that this process may run on.
    pub cores: u32,
    /// Bytes that are free, or would be if caches of files were dropped: of the machine or of the process's group, where that has
    /// less. `None` where the system does not say.
    pub memory: Option<u64>,
}

impl Machine {
    /// The one that this process runs on, as it is just now; blocks the thread.
    pub fn here() -> Machine {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted);
        let name = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
        let free = Some(system.available_memory()).filter(|bytes| *bytes > 0);
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Machine {
            processor: name.filter(|name| !name.is_empty()),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            memory: free.into_iter().chain(group_room(Path::new(GROUPS), &memberships)).min(),
        }
    }
}

/// Bytes that the groups of a process leave it, in either version of Linux's control groups; `None` where they limit nothing.
/// `memberships` has the lines of `/proc/self/cgroup`: a number, the controllers and the path of the group.
fn group_room(root: &Path, memberships: &str) -> Option<u64> {
    let rooms = memberships.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let files = match controllers {
            "" => &SECOND,
            _ if controllers.split(',').any(|name| name == "memory") => &FIRST,
            _ => return None,
        };
        let root = root.join(files.folder);
        // Every group that a group is in limits it as well. In a container the path can be one of the machine outside, of which
        // only the root is seen.
        let own = root.join(path.trim_start_matches('/'));
        let groups = own.ancestors().take_while(|group| group.starts_with(&root)).map(Path::to_path_buf);
        groups.filter_map(|group| files.room(group)).min()
    });
    rooms.min()
}

/// How a version of control groups names what is asked.
struct Files {
    folder: &'static str,
    limit: &'static str,
    used: &'static str,
    /// Of what is used, caches of files that nobody used lately.
    reclaimable: &'static str,
}

const FIRST: Files = Files {
    folder: "memory",
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    reclaimable: "total_inactive_file ",
};

const SECOND: Files = Files { folder: "", limit: "memory.max", used: "memory.current", reclaimable: "inactive_file " };

impl Files {
    fn room(&self, group: PathBuf) -> Option<u64> {
        let number = |file: &str| fs::read_to_string(group.join(file)).ok()?.trim().parse::<u64>().ok();
        // A group without a limit says `max`, or a number that no machine has.
        let (limit, used) = (number(self.limit)?, number(self.used)?);
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let reclaimable = stat.lines().find_map(|line| line.strip_prefix(self.reclaimable)?.trim().parse().ok());
        Some(limit.saturating_sub(used.saturating_sub(reclaimable.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, files: &[(&str, &str)]) {
        let group = root.join(path);
        fs::create_dir_all(&group).unwrap();
        files.iter().for_each(|(name, text)| fs::write(group.join(name), text).unwrap());
    }

    #[test]
    fn the_tightest_group_counts_and_caches_of_files_do_not() {
        let root = tempfile::tempdir().unwrap();
        let outer =
            [("memory.max", "1000\n"), ("memory.current", "700\n"), ("memory.stat", "anon 1\ninactive_file 400\n")];
        group(root.path(), "outer", &outer);
        group(root.path(), "outer/inner", &[("memory.max", "max\n"), ("memory.current", "300\n")]);
        let room = |lines: &str| group_room(root.path(), lines);
        assert_eq!(room("0::/outer/inner\n"), Some(700));
        group(root.path(), "outer/inner", &[("memory.max", "500\n")]);
        assert_eq!(room("0::/outer/inner\n"), Some(200));
        group(root.path(), "memory/old", &[("memory.limit_in_bytes", "90"), ("memory.usage_in_bytes", "40")]);
        group(root.path(), "memory/old", &[("memory.stat", "inactive_file 3\ntotal_inactive_file 10\n")]);
        assert_eq!(room("9:name=systemd:/old\n4:cpu,memory:/old\n0::/outer/inner\n"), Some(60));
        assert_eq!(room("4:cpu:/old\n"), None);
        assert_eq!(room("0::/elsewhere\n"), None);
        assert_eq!(room("nonsense"), None);
    }

    #[test]
    fn a_group_that_is_over_its_limit_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        group(root.path(), "full", &[("memory.max", "10"), ("memory.current", "30")]);
        assert_eq!(group_room(root.path(), "0::/full"), Some(0));
    }

    #[test]
    fn this_machine_has_a_core_and_memory() {
        let here = Machine::here();
        assert!(here.cores > 0 && here.memory.is_some_and(|bytes| bytes > 0), "{here:?}");
    }
}
