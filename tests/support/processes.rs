//! Processes of a server, as `/proc` has them.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// A living process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// `parent`, `front`, `auth` or `engine`.
    pub(crate) role: String,
}

impl Process {
    /// Sends a signal; false if the process is gone.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        Pid::from_raw(self.pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

/// The living processes of a process group, zombies left out.
pub(crate) fn of_group(group: i32) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| lives_in(*pid, group))
        .map(|pid| Process {
            pid,
            role: role(pid),
        })
        .collect()
}

/// Whether `/proc/PID/stat` says that the process lives and belongs to the group.
fn lives_in(pid: i32, group: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name stands in parentheses and may hold anything.
    let Some((_, rest)) = stat.rsplit_once(") ") else {
        return false;
    };
    let mut fields = rest.split(' ');
    let state = fields.next().unwrap_or("X");
    let own = fields.nth(1).and_then(|g| g.parse().ok());
    !["Z", "X"].contains(&state) && own == Some(group)
}

fn role(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let argument = line.split('\0').find_map(|a| a.strip_prefix("--role="));
    argument.unwrap_or("parent").to_owned()
}
