//! Times in W&B's formats, and the name of the running program.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A time for the name of a folder, in local time as in the Python client.
pub(super) fn folder_stamp(seconds: f64) -> String {
    at(seconds).to_zoned(TimeZone::system()).strftime("%Y%m%d_%H%M%S").to_string()
}

/// ISO format, in UTC, without the zone.
pub(super) fn iso(seconds: f64) -> String {
    at(seconds).strftime("%Y-%m-%dT%H:%M:%S.%6f").to_string()
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_microsecond((seconds * 1e6) as i64).unwrap_or_default()
}

/// The file name of the program. Its arguments may contain secrets, so they are not recorded.
pub(super) fn program() -> String {
    let path = std::env::current_exe().ok();
    path.and_then(|path| path.file_name().map(|name| name.to_string_lossy().into_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_python_client() {
        assert_eq!(iso(1_795_318_659.302_902), "2026-11-22T03:37:39.302902");
        assert_eq!(folder_stamp(1_795_318_659.3).len(), "20261122_033739".len());
    }
}
