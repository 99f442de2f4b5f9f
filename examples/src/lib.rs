//! Shared parts of the examples: MNIST, the text encoder `MiniLM`, and short messages.

pub mod minilm;
pub mod mnist_data;
mod sms_data;
mod word_pieces;

pub use minilm::MiniLm;
pub use mnist_data::{Digit, MnistBatch, MnistBatcher, MnistConfig, MnistData};
pub use sms_data::{SmsBatch, SmsConfig, SmsData};
pub use word_pieces::WordPieces;
