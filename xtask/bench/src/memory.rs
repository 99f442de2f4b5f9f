//! The memory of this process, as Linux counts it.

/// The largest resident memory since the start or [`forget_peak`], in GiB.
pub fn peak_gib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / f64::from(1 << 20)
}

/// Lets the peak begin anew at what is resident now.
pub fn forget_peak() {
    // Where it cannot be written, the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
