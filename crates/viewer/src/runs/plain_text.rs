//! Text of unknown origin, made safe for a terminal.

/// The text without control characters, which could move the cursor or change the terminal. A tab becomes a space.
pub fn plain(text: &str) -> String {
    // Marks of the direction of writing could reorder a line.
    let is_hidden = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}');
    text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !is_hidden(*c)).collect()
}

/// A number with about five digits, for tables and axes. Whole numbers below ten million have all digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !value.is_finite() {
        if value.is_nan() {
            "NaN".to_owned()
        } else if value > 0.0 {
            "inf".to_owned()
        } else {
            "-inf".to_owned()
        }
    } else if value.fract() == 0.0 && size < 1e7 {
        format!("{value:.0}")
    } else if (1e-3..1e6).contains(&size) {
        let digits = (4 - size.log10().floor() as i32).clamp(0, 6) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    } else {
        let text = format!("{value:.3e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// A number with at most `most` characters, at least 7. It loses digits rather than its size.
pub fn narrow(value: f64, most: usize) -> String {
    let shorter = (0..3).rev().map(|digits| format!("{value:.digits$e}"));
    let fits = |text: &String| text.len() <= most;
    std::iter::once(number(value)).chain(shorter).find(fits).unwrap_or_else(|| "?".repeat(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_reaches_the_terminal_as_a_command() {
        assert_eq!(plain("a\u{1b}[31mb\r\n\tc\u{7}\u{202e}ü/√"), "a[31mb cü/√");
    }

    #[test]
    fn numbers_are_short_and_never_lose_their_size() {
        let cases = [
            (0.0, "0"),
            (1234.0, "1234"),
            (0.123_456_78, "0.12346"),
            (99.5, "99.5"),
            (123_456.78, "123457"),
            (2e-5, "2e-5"),
            (-3.25e9, "-3.25e9"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-inf"),
            (0.001, "0.001"),
            (1e300, "1e300"),
            (429_900_000.0, "4.299e8"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_narrow_number_keeps_its_size() {
        let cases =
            [(-1.234_56e-12, "-1e-12"), (1234.5, "1234.5"), (-1_234_567.0, "-1.23e6"), (f64::MIN, "-2e308"), (0.001_234, "1.23e-3")];
        for (value, text) in cases {
            assert_eq!(narrow(value, 7), text);
        }
    }
}
