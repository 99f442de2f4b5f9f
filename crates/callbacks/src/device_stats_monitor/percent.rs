//! Percentages.

/// `None` if the total is 0.
pub(super) fn percent(used: u64, total: u64) -> Option<f64> {
    (total > 0).then(|| used as f64 / total as f64 * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_has_no_percent() {
        assert_eq!((percent(1, 4), percent(0, 0)), (Some(25.0), None));
    }
}
