//! `Trainer::precision`: the float types of parameters and steps.

mod around;
mod curves;
mod manual;
pub(crate) mod net;
mod over_ranks;
mod refused;
mod running_statistics;
mod scaling;
mod true_types;
