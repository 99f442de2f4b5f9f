//! The memory of this process, as Linux counts it.

/// The resident memory in bytes.
pub(crate) fn resident() -> Option<f64> {
    status("VmRSS:")
}

/// The peak of the resident memory, in bytes.
pub(crate) fn peak() -> Option<f64> {
    status("VmHWM:")
}

fn status(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}
