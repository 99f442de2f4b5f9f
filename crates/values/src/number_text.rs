//! Numbers as people read them.

/// Three decimals, and more below 0.1, so that three digits remain. Scientific notation for numbers that are too small
/// or too large for that.
///
/// ```
/// use stormfire_values::number_text::short;
/// assert_eq!([0.2637052476844367, 0.03869, 2.5e-7].map(short), ["0.264", "0.0387", "2.50e-7"]);
/// ```
pub fn short(value: f64) -> String {
    rounded(value, 3)
}

/// As [`short`], with another number of decimals.
pub fn rounded(value: f64, decimals: usize) -> String {
    let size = value.abs();
    if value.is_finite() && size > 0.0 && !(0.001..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let needed = match size {
        0.001..0.01 => 5,
        0.01..0.1 => 4,
        _ => 0,
    };
    let decimals = decimals.max(needed);
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_always_say_something() {
        let cases = [
            (0.0, "0.000"),
            (0.4118, "0.412"),
            (-12.0, "-12.000"),
            (0.0391, "0.0391"),
            (-0.00123, "-0.00123"),
            (0.001, "0.00100"),
            (0.0001, "1.00e-4"),
            (-2.5e7, "-2.50e7"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!([0.123_456_7, 0.001, 1.5e-5].map(|value| rounded(value, 5)), ["0.12346", "0.00100", "1.50e-5"]);
    }
}
