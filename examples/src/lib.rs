//! Shared parts of the examples: MNIST, a text and short messages, the text encoder `MiniLM`, `EfficientNet`, a
//! transformer layer, and pictures of results.

#[cfg(feature = "vision")]
pub mod efficientnet;
pub mod minilm;
pub mod mnist_data;
mod pictures;
mod sms_data;
mod text_data;
mod transformer;
mod word_pieces;

pub use minilm::MiniLm;
pub use mnist_data::{Digit, MnistBatch, MnistBatcher, MnistConfig, MnistData, read_digits};
pub use pictures::{save_drawing, save_image, scatter};
pub use sms_data::{SmsBatch, SmsConfig, SmsData};
pub use text_data::{Alphabet, TextBatch, TextConfig, TextData};
pub use transformer::TransformerLayer;
pub use word_pieces::WordPieces;
