//! Values that all other crates use: numbers on a device and their reads ([`read`]), periods ([`Every`]) and times,
//! options as strings ([`text`]), [`seeds`] from a seed, the [`clock`], and the [`nearest`] name.

pub mod clock;
pub mod config_error;
pub mod error_text;
pub mod every;
pub mod mode;
pub mod nearest;
pub mod number_text;
pub mod read;
pub mod seeds;
pub mod text;
pub mod time_limit;

pub use config_error::ConfigError;
pub use every::Every;
pub use mode::Mode;
pub use read::{ReadError, Scalar};
pub use time_limit::TimeLimit;
