//! Shared parts of the examples: reading MNIST.

pub mod mnist_data;

pub use mnist_data::{Digit, MnistBatch, MnistBatcher, MnistConfig, MnistData};
