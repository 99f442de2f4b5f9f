//! One command line and one configuration for a training program.
//!
//! [`Cli`] is a whole program. [`parse`] reads the options of a program without a module. [`Layers`] reads and merges
//! configurations without a program.

mod args;
mod assign;
mod check;
mod children;
mod cli;
mod complete;
mod completion;
mod env;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod help;
mod layers;
mod merge;
mod multirun;
mod nearest;
mod node;
mod parse;
mod print;
mod process;
mod quote;
mod read;
mod registry;
mod saved_config;
mod schema;
mod secret;
mod section;
mod source;
mod sweep;
mod tune;
mod typed;
mod values;

/// The crate whose derive macro `JsonSchema` describes the options.
pub use schemars;

pub use args::Command;
pub use cli::{Cli, Outcome, Tuned};
pub use error::{Error, Problem, Result};
pub use layers::Layers;
pub use node::{Node, Tree};
pub use parse::{Parsed, parse, try_parse};
pub use print::print_config;
pub use schema::{Leaf, Schema};
pub use section::Section;
pub use source::{Origin, Source};
