//! Tables in Parquet files: [`Reader`] gives their rows one after the other, [`Writer`] makes a file of rows.
//!
//! The crate `parquet` does much more. It turns on features of crates below burn, which would be compiled again, and it
//! takes as long to build as all of Stormfire. This one reads what pandas, pyarrow, `DuckDB` and Hugging Face write
//! by default, and refuses everything else by name:
//!
//! | part of the format | read | written |
//! |---|---|---|
//! | types | booleans, integers, floats, strings, bytes | the same |
//! | nesting | structs, and lists of numbers or strings | none |
//! | encodings | plain, dictionary, run lengths | plain, run lengths for missing values |
//! | compression | none, Snappy, gzip | none |
//!
//! ```
//! use stormfire_parquet::{Reader, Type, Value, Writer};
//!
//! let mut writer = Writer::new(Vec::new(), [("index", Type::Int), ("score", Type::Float)])?;
//! writer.row([Value::Int(7), Value::Float(0.5)])?;
//! let mut reader = Reader::open(writer.finish()?)?;
//! let row: (i64, f64) = reader.next()?.map(Value::into_type).transpose()?.unwrap();
//! assert_eq!(row, (7, 0.5));
//! # Ok::<(), stormfire_parquet::Error>(())
//! ```

mod assemble;
mod column;
mod compact;
mod error;
mod levels;
mod reader;
mod schema;
mod snappy;
mod value;
mod writer;

pub use error::{Error, Result};
pub use reader::{Reader, Source};
pub use value::Value;
pub use writer::{Type, Writer};

#[cfg(test)]
mod tests;
