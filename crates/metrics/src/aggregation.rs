//! Numbers over many batches: their mean, sum, extremes, all of them, the newest of them.

mod cat;
mod mean;
mod one_number;
mod running;

pub use cat::Cat;
pub use mean::Mean;
pub use one_number::{Max, Min, Sum};
pub use running::Running;
