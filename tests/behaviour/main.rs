//! Behaviour across crates, in one binary.

mod support;
mod child;
mod files;
mod wrong_data;
mod wrong_input;
