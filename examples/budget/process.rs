//! A target's process, and what the kernel says of it (Linux's `/proc`).

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// Clock ticks per second in `/proc/PID/stat`: the same on every Linux that runs here.
const TICKS: f64 = 100.0;

/// This program in another role. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    /// Where it listens.
    pub(crate) addr: String,
}

impl Process {
    /// Starts it and waits until it listens.
    pub(crate) fn start(args: &[&str]) -> Result<Process, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let mut child = Command::new(program)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("a target does not start: {e}"))?;
        let mut addr = String::new();
        if let Some(out) = child.stdout.take() {
            let _ = BufReader::new(out).read_line(&mut addr);
        }
        let process = Process { child, addr: addr.trim().to_owned() };
        if process.addr.is_empty() { Err("a target does not listen".to_owned()) } else { Ok(process) }
    }

    pub(crate) fn cpu_ms(&self) -> f64 {
        cpu_ms(&self.child.id().to_string())
    }

    /// Resident memory in kilobytes.
    pub(crate) fn rss_kb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(f64::NAN)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process (`self`: this one) so far.
pub(crate) fn cpu_ms(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in the second field may hold spaces; after its parenthesis, utime and stime are the 12th and 13th.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks * 1_000.0 / TICKS
}
