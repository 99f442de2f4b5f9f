//! Random strings.

/// A random string of the characters `0-9a-z`. It differs in every run.
pub(crate) fn random_id(length: usize) -> String {
    let mut random = fastrand::Rng::new();
    (0..length).map(|_| random.digit(36)).collect()
}

/// A random string of the characters `0-9a-f`.
pub(crate) fn random_hex(length: usize) -> String {
    let mut random = fastrand::Rng::new();
    (0..length).map(|_| random.digit(16)).collect()
}
