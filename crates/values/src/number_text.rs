//! Numbers as people read them.

/// Three decimals, or scientific notation for numbers that are too small or too large for that.
///
/// ```
/// use stormfire_values::number_text::short;
/// assert_eq!((short(0.2637052476844367), short(2.5e-7)), ("0.264".to_owned(), "2.50e-7".to_owned()));
/// ```
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value.is_finite() && size > 0.0 && !(0.001..1e6).contains(&size) { format!("{value:.2e}") } else { format!("{value:.3}") }
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
            (0.001, "0.001"),
            (0.0001, "1.00e-4"),
            (-2.5e7, "-2.50e7"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
