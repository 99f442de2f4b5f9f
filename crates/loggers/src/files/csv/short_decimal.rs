//! Numbers as short decimals.

use std::io::Write;

/// Appends the shortest decimal that reads back as the same number.
///
/// A value that an `f32` represents exactly almost always came from one, so it is written as the shortest decimal of
/// that `f32`: `0.1_f32` as `0.1`, not as `0.10000000149011612`. Very large and very small values get an exponent, in
/// the same cases as Python's `repr`.
pub(super) fn push(into: &mut Vec<u8>, value: f64) {
    let single = value as f32;
    let exact = f64::from(single).to_bits() == value.to_bits();
    let size = value.abs();
    let written = if value.is_nan() {
        into.write_all(b"NaN")
    } else if size != 0.0 && !(1e-4..1e16).contains(&size) && size.is_finite() {
        if exact { write!(into, "{single:e}") } else { write!(into, "{value:e}") }
    } else if exact {
        write!(into, "{single}")
    } else {
        write!(into, "{value}")
    };
    debug_assert!(written.is_ok(), "a Vec takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: f64) -> String {
        let mut bytes = Vec::new();
        push(&mut bytes, value);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_are_short_and_read_back() {
        for (value, expected) in [
            (f64::from(0.1_f32), "0.1"),
            (0.1, "0.1"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::from(1.0_f32 / 3.0), "0.33333334"),
            (0.0, "0"),
            (-0.0, "-0"),
            (7.0, "7"),
            (16_777_217.0, "16777217"),
            (1e-5, "1e-5"),
            (f64::from(1e-7_f32), "1e-7"),
            (1e300, "1e300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text(value), expected);
            assert_eq!(text(text(value).parse().unwrap()), expected);
        }
    }
}
