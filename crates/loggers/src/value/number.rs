//! Floats without the noise of a conversion from `f32`.

/// The shortest decimal that reads back as the same `f32`: `0.1` for `0.1_f32`, not `0.10000000149011612`. Other values
/// are unchanged.
pub(crate) fn shortest(value: f64) -> f64 {
    let single = value as f32;
    if f64::from(single).to_bits() == value.to_bits() { single.to_string().parse().unwrap_or(value) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_drops_the_noise_of_a_widened_f32() {
        assert_eq!(shortest(f64::from(0.001_f32)).to_bits(), 0.001_f64.to_bits());
        assert_eq!(shortest(1.0 / 3.0).to_bits(), (1.0_f64 / 3.0).to_bits());
    }
}
