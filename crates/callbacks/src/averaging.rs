//! Averages of the weights over the training, which are in force in place of the trained weights.

mod averages;
mod ema;
mod pace;
mod rule;
mod stochastic;
mod weight_averaging;

pub use ema::Ema;
pub use stochastic::{Annealing, StochasticWeightAveraging, SwaLrs};
pub use weight_averaging::WeightAveraging;

#[cfg(test)]
mod tests;
