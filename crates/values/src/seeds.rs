//! Independent seeds from one seed.

/// `SplitMix64`: splits one seed into independent ones.
#[derive(Clone, Debug)]
pub struct SplitMix64(u64);

/// The distance of two states: 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMix64 {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next seed.
    pub fn next_seed(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The seed of this number, counted from 0, among those of [`SplitMix64`].
pub fn mix(seed: u64, number: u64) -> u64 {
    SplitMix64(seed.wrapping_add(number.wrapping_mul(GAMMA))).next_seed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_match_the_published_vectors() {
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        let mut seeds = SplitMix64::new(1_234_567);
        assert_eq!(std::array::from_fn(|_| seeds.next_seed()), expected);
        assert_eq!([0, 1, 2].map(|number| mix(1_234_567, number)), expected);
    }
}
