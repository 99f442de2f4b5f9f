//! Processes on the same machine, which can be checked directly.
//!
//! A launcher that sees a rank die ends the others about a second later. Only the operating system reports earlier
//! which rank died.

use std::{fs, hash::DefaultHasher, hash::Hasher as _, process};

/// A process as it is sent to the other ranks: its machine, number, and time of start.
pub(super) type Identity = [u64; 3];

/// The identity of this process. Without `/proc`, the other ranks do not check it.
pub(super) fn identity() -> Identity {
    let pid = process::id();
    [machine().unwrap_or(0), u64::from(pid), started(pid).unwrap_or(0)]
}

/// A process on this machine.
#[derive(Clone)]
pub(super) struct Neighbour {
    pid: u32,
    started: u64,
}

impl Neighbour {
    /// The process with this identity, if it is on the machine of this process.
    pub(super) fn new(own: &Identity, other: &Identity) -> Option<Self> {
        let [machine, pid, started] = *other;
        let known = machine != 0 && machine == own[0] && started != 0;
        Some(Self { pid: u32::try_from(pid).ok()?, started }).filter(|_| known)
    }

    /// Whether the process still runs. Its number may belong to a later process by now.
    pub(super) fn is_alive(&self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

/// The other ranks on the machine of rank `rank`.
pub(super) fn neighbours(identities: &[Identity], rank: usize) -> Vec<(usize, Neighbour)> {
    let Some(own) = identities.get(rank) else { return Vec::new() };
    let others = identities.iter().enumerate().filter(|(other, _)| *other != rank);
    others.filter_map(|(other, identity)| Some((other, Neighbour::new(own, identity)?))).collect()
}

/// Names the machine and the space of its process numbers: containers on one machine have their own.
fn machine() -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&fs::read("/proc/sys/kernel/random/boot_id").ok()?);
    hasher.write(fs::read_link("/proc/self/ns/pid").ok()?.as_os_str().as_encoded_bytes());
    Some(hasher.finish().max(1))
}

/// When a process started, in ticks since the machine did. `None` if it has ended, even if its parent does not know.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program comes second, in parentheses, and may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // The state is field 3 and the start field 22.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_alive_until_it_ends() {
        let own = identity();
        assert!(Neighbour::new(&own, &own).unwrap().is_alive());
        let mut child = Command::new("cat").stdin(process::Stdio::piped()).spawn().unwrap();
        let other = [own[0], child.id().into(), started(child.id()).unwrap()];
        let neighbour = Neighbour::new(&own, &other).unwrap();
        assert!(neighbour.is_alive());
        child.kill().unwrap();
        // A zombie until it is waited for.
        while started(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(!neighbour.is_alive());
        child.wait().unwrap();
        assert!(!neighbour.is_alive());
    }

    #[test]
    fn a_process_on_another_machine_is_not_a_neighbour() {
        let [machine, pid, started] = identity();
        assert!(Neighbour::new(&[machine, pid, started], &[machine ^ 1, pid, started]).is_none());
        assert!(Neighbour::new(&[0, pid, started], &[0, pid, started]).is_none(), "unknown machines");
        assert!(!Neighbour::new(&[machine, pid, started], &[machine, pid, started + 1]).unwrap().is_alive(), "a later process");
    }
}
