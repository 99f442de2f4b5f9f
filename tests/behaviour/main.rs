//! Behaviour across crates, in one binary.

mod support;
