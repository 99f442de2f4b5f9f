//! Shared parts of the examples: MNIST, the text encoder `MiniLM`, `EfficientNet`, short messages, and pictures of
//! results.

#[cfg(feature = "vision")]
pub mod efficientnet;
pub mod minilm;
pub mod mnist_data;
mod pictures;
mod sms_data;
mod word_pieces;

pub use minilm::MiniLm;
pub use mnist_data::{Digit, MnistBatch, MnistBatcher, MnistConfig, MnistData, read_digits};
pub use pictures::{save_drawing, save_image};
pub use sms_data::{SmsBatch, SmsConfig, SmsData};
pub use word_pieces::WordPieces;
