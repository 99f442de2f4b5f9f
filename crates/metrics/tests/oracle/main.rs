//! Metrics equal those of torchmetrics, scikit-learn and others, on random, degenerate and adversarial inputs.
//!
//! `xtask/python/metrics/cases.py` writes the inputs and the expected values. `cargo xtask test --only metrics` calls
//! it, and these tests with its folder. Without the folder they do nothing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_wrap,
    clippy::float_cmp,
    reason = "a test that cannot continue fails; clippy's own exception does not reach helper functions"
)]

mod classification;
mod detection;
mod image;
mod ranking;
mod regression;
mod retrieval;
mod support;
mod text;
