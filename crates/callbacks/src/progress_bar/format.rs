//! Formats the words and numbers of a progress bar.

use std::time::Duration;

/// `Epoch 0/9` of ten epochs, `Epoch 0` of an unknown number.
pub(super) fn epoch_label(epoch: usize, max_epochs: Option<usize>) -> String {
    match max_epochs {
        Some(max) => format!("Epoch {epoch}/{}", max.saturating_sub(1)),
        None => format!("Epoch {epoch}"),
    }
}

/// The version shown for all loggers: one if they agree, otherwise all, joined with `_`. `None` without loggers.
pub(super) fn v_num<'a>(versions: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut shown: Vec<&str> = Vec::new();
    for version in versions {
        if !shown.contains(&version) {
            shown.push(version);
        }
    }
    if shown.is_empty() { None } else { Some(shown.join("_")) }
}

/// `12.3 it/s`. `?` while the speed is unknown.
pub(super) fn speed(per_second: Option<f64>) -> String {
    match per_second {
        Some(rate) if rate >= 99.95 => format!("{rate:.0} it/s"),
        Some(rate) if rate >= 0.995 => format!("{rate:.1} it/s"),
        Some(rate) => format!("{rate:.2} it/s"),
        None => "? it/s".into(),
    }
}

/// `m:ss`, from an hour on `h:mm:ss`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A number of bytes with its unit.
pub(super) fn size(bytes: f64) -> String {
    let mib = bytes / (1024.0 * 1024.0);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

/// The remaining time. `None` while it is unknown.
pub(super) fn remaining(done: u64, total: Option<u64>, per_second: Option<f64>) -> Option<Duration> {
    let left = total?.saturating_sub(done);
    if left == 0 {
        return Some(Duration::ZERO);
    }
    Duration::try_from_secs_f64(left as f64 / per_second.filter(|rate| *rate > 0.0)?).ok()
}

/// Numbers and metrics after the first `taken` columns of a line. Metrics that do not fit continue on the next lines,
/// each of them complete. A metric that is wider than a line is cut.
pub(super) fn lines(numbers: String, metrics: Vec<String>, taken: usize, columns: usize) -> String {
    let last = metrics.len().saturating_sub(1);
    let mut lines = vec![(numbers, columns.saturating_sub(taken))];
    for (number, metric) in metrics.into_iter().enumerate() {
        let metric = if number < last { metric + "," } else { metric };
        match lines.last_mut() {
            Some((line, room)) if line.chars().count() + 1 + metric.chars().count() <= *room => *line = format!("{line} {metric}"),
            _ => lines.push((format!("  {metric}"), columns)),
        }
    }
    let cut = lines.into_iter().map(|(line, room)| line.chars().take(room).collect::<String>());
    cut.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_count_from_zero() {
        assert_eq!([epoch_label(0, Some(10)), epoch_label(3, None), epoch_label(0, Some(0))], ["Epoch 0/9", "Epoch 3", "Epoch 0/0"]);
    }

    #[test]
    fn equal_versions_are_shown_once() {
        assert_eq!(v_num([]), None);
        assert_eq!(v_num(["3", "3"]).as_deref(), Some("3"));
        assert_eq!(v_num(["3", "4f2a", "3"]).as_deref(), Some("3_4f2a"));
    }

    #[test]
    fn speeds_have_three_digits() {
        let text = [None, Some(0.123), Some(0.999), Some(12.34), Some(99.96), Some(1234.5)].map(speed);
        assert_eq!(text, ["? it/s", "0.12 it/s", "1.0 it/s", "12.3 it/s", "100 it/s", "1234 it/s"]);
    }

    #[test]
    fn sizes() {
        assert_eq!([0.0, 3e8, 1e12].map(size), ["0 MiB", "286 MiB", "931.3 GiB"]);
    }

    #[test]
    fn times() {
        assert_eq!([4, 75, 3600 + 62].map(|s| clock(Duration::from_secs(s))), ["0:04", "1:15", "1:01:02"]);
        assert_eq!(remaining(50, Some(79), Some(14.5)), Some(Duration::from_secs(2)));
        assert_eq!(remaining(79, Some(79), None), Some(Duration::ZERO));
        assert_eq!(remaining(0, Some(79), None), None);
        assert_eq!(remaining(0, Some(79), Some(0.0)), None);
        assert_eq!(remaining(5, None, Some(1.0)), None);
        assert_eq!(remaining(0, Some(u64::MAX), Some(1e-300)), None, "a time that does not fit is unknown");
    }
}
