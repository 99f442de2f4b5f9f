//! Time, user name and host name, in the form that trackers need.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Seconds since 1970.
pub(crate) fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The user's login name, or `unknown`.
pub(crate) fn user() -> String {
    ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| "unknown".to_owned())
}

/// The name of the machine, or `localhost`.
pub(crate) fn host() -> String {
    let kernel = fs_err::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel.or_else(|| ["HOSTNAME", "COMPUTERNAME"].iter().find_map(|variable| std::env::var(variable).ok()));
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}
