//! Steps in a narrower float type than that of the parameters ("mixed precision").
//!
//! The parameters of the module, the *masters*, stay in `f32`. The steps get a [copy](cast) with the same ids.
//! Gradients are cast up before a hook sees them, and the optimizers update the masters ([`Lent`]). Everything else,
//! such as hooks, checkpoints and callbacks, only knows the masters.

mod cast;
mod full;
mod lent;
mod nodes;
mod params;
mod unfit;

pub use cast::{cast, cast_parameters};
pub use full::FullPrecision;
pub use lent::Lent;
pub use unfit::{explained, refuse_unfit};
