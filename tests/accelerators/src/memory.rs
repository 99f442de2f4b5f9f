//! The memory of this process, from Linux.

/// The largest resident memory since the start or [`forget_peak`], in GiB.
pub fn peak_gib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / f64::from(1 << 20)
}

/// Resets the peak to the current resident memory.
pub fn forget_peak() {
    // If the file cannot be written, the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
