//! Runs, read from their files: incrementally, in bounded memory, while they are written.

mod csv_rows;
mod curve;
mod find;
mod folder;
mod growing;
mod json_rows;
mod media;
mod messages;
mod plain_text;
mod profile;
mod row_lines;
mod run;
mod saved;
mod series;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod unreadable;

pub use curve::{Bucket, Curve, smoothed};
pub use folder::Runs;
pub use media::{Content, MediaKind, MediaLimits, Medium, Tag};
pub use messages::{Level, Message, Warning};
pub use plain_text::{narrow, number, plain};
pub use profile::Action;
pub use run::{Keep, Run, State};
pub use saved::{About, Saved};
pub use unreadable::Unreadable;
