//! What the kernel says of a process and its children (Linux's `/proc`).

use std::collections::BTreeSet;

/// Clock ticks per second in `/proc/PID/stat`: the same on every Linux that this runs on.
const TICKS: f64 = 100.0;
/// Children and theirs that are looked at.
const MAX_PROCESSES: usize = 256;

/// A process with its children, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// User and system time so far, in milliseconds.
    pub(crate) cpu_ms: f64,
    /// Resident memory in megabytes.
    pub(crate) mb: f64,
}

/// `None`: there is no such process, or no `/proc`.
pub(crate) fn usage(pid: u32, without: Option<u32>) -> Option<Usage> {
    let mut sum = one(pid)?;
    for child in family(pid, without).into_iter().filter(|child| *child != pid) {
        if let Some(usage) = one(child) {
            sum.cpu_ms += usage.cpu_ms;
            sum.mb += usage.mb;
        }
    }
    Some(sum)
}

fn one(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in the second field may hold spaces; after its parenthesis, utime and stime are the 12th and 13th.
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    // A process that has ended but was not waited for has no memory.
    let kb: f64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0.0);
    Some(Usage { cpu_ms: ticks * 1_000.0 / TICKS, mb: kb / 1_024.0 })
}

/// A process and all below it, apart from one branch.
fn family(pid: u32, without: Option<u32>) -> BTreeSet<u32> {
    let (mut found, mut next) = (BTreeSet::new(), vec![pid]);
    while let Some(pid) = next.pop() {
        if Some(pid) == without || found.len() >= MAX_PROCESSES || !found.insert(pid) {
            continue;
        }
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            next.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
    }
    found
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn children_count_unless_they_are_left_out() {
        let mut child = Command::new("sleep").arg("30").spawn().unwrap();
        let me = std::process::id();
        assert!(family(me, None).contains(&child.id()));
        assert!(!family(me, Some(child.id())).contains(&child.id()));
        let usage = usage(me, None).unwrap();
        assert!(usage.mb > 1.0, "{usage:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(super::usage(u32::MAX, None), None);
    }
}
