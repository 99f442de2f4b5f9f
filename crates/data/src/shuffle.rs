//! The order of a shuffled epoch, as a pure function of (length, seed, epoch), and its generator.
//!
//! The generator is implemented here because saved positions depend on it. `rand` guarantees the stream of some
//! generators, but not how its shuffle uses them. burn has one generator per process, and its state cannot be read.

use stormfire_values::seeds::{SplitMix64, mix};

/// xoshiro256** 1.0 by David Blackman and Sebastiano Vigna (public domain).
pub(crate) struct Xoshiro256 {
    state: [u64; 4],
}

impl Xoshiro256 {
    pub(crate) fn new(seed: u64, epoch: u64) -> Self {
        let mut stream = SplitMix64::new(mix(seed, 0) ^ epoch);
        Self { state: std::array::from_fn(|_| stream.next_seed()) }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `0..bound`, without bias (Lemire, "Fast Random Integer Generation in an Interval", 2019). `bound` is
    /// not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        loop {
            let product = u128::from(self.next()) * u128::from(bound);
            // The lowest `2^64 mod bound` values would be slightly too frequent.
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
}

/// A permutation of `0..len` (Fisher–Yates).
pub(crate) fn permutation(len: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let mut random = Xoshiro256::new(seed, epoch as u64);
    let mut order: Vec<usize> = (0..len).collect();
    for i in (1..len).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    order
}

/// The seed for loader `index` of several loaders with a common seed, so that their orders differ.
pub(crate) fn derive(seed: u64, index: usize) -> u64 {
    mix(mix(seed, 0) ^ index as u64, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_matches_the_published_vectors() {
        let mut random = Xoshiro256 { state: [1, 2, 3, 4] };
        let expected = [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240, 1_216_172_134_540_287_360];
        assert_eq!(std::array::from_fn(|_| random.next()), expected);
    }

    #[test]
    fn order_is_a_permutation_and_depends_on_all_arguments() {
        for len in [0, 1, 2, 7, 100] {
            let mut order = permutation(len, 3, 5);
            assert_eq!(order, permutation(len, 3, 5));
            order.sort_unstable();
            assert_eq!(order, (0..len).collect::<Vec<_>>());
        }
        assert_ne!(permutation(100, 3, 5), permutation(100, 3, 6));
        assert_ne!(permutation(100, 3, 5), permutation(100, 4, 5));
        assert_ne!(permutation(100, 5, 3), permutation(100, 3, 5));
        assert_ne!(derive(1, 0), derive(1, 1));
    }

    /// Saved positions rely on a stable order.
    #[test]
    fn order_is_stable() {
        assert_eq!(permutation(8, 0, 0), [2, 4, 6, 5, 1, 0, 3, 7]);
    }

    #[test]
    fn every_order_of_four_is_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for epoch in 0..24_000 {
            *counts.entry(permutation(4, 42, epoch)).or_insert(0_i64) += 1;
        }
        assert_eq!(counts.len(), 24);
        // Standard deviation is 31; six of them.
        assert!(counts.values().all(|count| (count - 1000).abs() < 190), "{counts:?}");
    }
}
