//! `MiniLM`, a small BERT that makes vectors of texts: <https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2>.

use std::path::Path;

use burn::{
    nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig},
    prelude::*,
    tensor::activation::{gelu, softmax},
};
use serde::Deserialize;
use stormfire::{
    data::{Pad, Padded},
    prelude::{DataError, LoadOptions},
};

use crate::WordPieces;

/// The size of its vectors.
pub const WIDTH: usize = 384;
const HEADS: usize = 12;

/// A batch of texts.
pub type Tokens = Padded<Tensor<2, Int>>;

/// The encoder.
#[derive(Module, Debug)]
pub struct MiniLm {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

/// Attention, then two linear layers, each added to its input.
#[derive(Module, Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

impl MiniLm {
    /// With initial weights.
    pub fn new(device: &Device) -> Self {
        let embedding = |count| EmbeddingConfig::new(count, WIDTH).init(device);
        Self {
            word_embeddings: embedding(30_522),
            position_embeddings: embedding(512),
            token_type_embeddings: embedding(2),
            norm: norm(device),
            layers: (0..6).map(|_| Layer::new(device)).collect(),
        }
    }

    /// How Hugging Face's names become those of a module with this encoder as its field `encoder`.
    pub fn names() -> LoadOptions {
        LoadOptions::new()
            .rename(r"^(encoder|embeddings)\.", "")
            .rename(r"^layer\.", "layers.")
            .rename(r"attention\.self\.", "")
            .rename(r"attention\.output\.(dense|LayerNorm)", "attended.$1")
            .rename(r"intermediate\.dense", "up")
            .rename(r"output\.dense", "down")
            .rename(r"attended\.LayerNorm", "attended_norm")
            .rename(r"attended\.dense", "attended")
            .rename(r"(output\.)?LayerNorm", "norm")
            .rename("^", "encoder.")
            .only("^encoder")
            .except("pooler|position_ids")
    }

    /// The mean of the vectors of each text's tokens, `[texts, 384]`.
    pub fn forward(&self, texts: &Tokens) -> Tensor<2> {
        let (tokens, device) = (texts.values.clone(), texts.values.device());
        let positions = Tensor::<2, Int>::ones([1, tokens.dims()[1]], &device).cumsum(1) - 1;
        let x = self.word_embeddings.forward(tokens.clone()) + self.position_embeddings.forward(positions);
        let x = self.norm.forward(x + self.token_type_embeddings.forward(tokens.zeros_like()));
        let padding = texts.padding();
        texts.mean_of(self.layers.iter().fold(x, |x, layer| layer.forward(x, &padding)))
    }

    /// Compares tokens and vectors with those in a table of `xtask/python/minilm.py`. Returns the largest difference.
    ///
    /// # Errors
    /// For a table that cannot be read, for other tokens, and for a difference of more than 1e-4.
    pub fn compare(&self, pieces: &WordPieces, table: &Path, device: &Device) -> stormfire::data::Result<f32> {
        #[derive(Deserialize)]
        struct Entry {
            text: String,
            tokens: Vec<u32>,
            embedding: Vec<f32>,
        }
        let other = |error: &dyn std::fmt::Display| DataError::other(format!("`{}`: {error}", table.display()));
        let json = fs_err::read(table).map_err(|error| other(&error))?;
        let entries: Vec<Entry> = serde_json::from_slice(&json).map_err(|error| other(&error))?;
        for entry in &entries {
            let tokens = pieces.tokens(&entry.text, 512);
            if tokens != entry.tokens {
                return Err(other(&format!("{:?} has the tokens {:?}, not {tokens:?}", entry.text, entry.tokens)));
            }
        }
        let tokens: Vec<_> = entries.iter().map(|entry| entry.tokens.clone()).collect();
        let vectors = self.forward(&Pad::right().ints(&tokens, 0, device));
        let lengths = vectors.clone().square().sum_dim(1).sqrt();
        let expected: Vec<f32> = entries.iter().flat_map(|entry| entry.embedding.clone()).collect();
        let expected = Tensor::<2>::from_data(TensorData::new(expected, [entries.len(), WIDTH]), device);
        let difference = (vectors / lengths - expected).abs().max().into_scalar();
        if difference < 1e-4 { Ok(difference) } else { Err(other(&format!("a number of a vector differs by {difference}"))) }
    }
}

impl Layer {
    fn new(device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self {
            query: linear(WIDTH, WIDTH),
            key: linear(WIDTH, WIDTH),
            value: linear(WIDTH, WIDTH),
            attended: linear(WIDTH, WIDTH),
            attended_norm: norm(device),
            up: linear(WIDTH, 4 * WIDTH),
            down: linear(4 * WIDTH, WIDTH),
            norm: norm(device),
        }
    }

    fn forward(&self, x: Tensor<3>, padding: &Tensor<2, Bool>) -> Tensor<3> {
        let [texts, time, _] = x.dims();
        let heads = |x: Tensor<3>| x.reshape([texts, time, HEADS, WIDTH / HEADS]).swap_dims(1, 2);
        let [query, key, value] = [&self.query, &self.key, &self.value].map(|part| heads(part.forward(x.clone())));
        let scores = query.matmul(key.transpose()) / ((WIDTH / HEADS) as f64).sqrt();
        let padding = padding.clone().unsqueeze_dim::<3>(1).unsqueeze_dim::<4>(1).expand([texts, HEADS, time, time]);
        let attended = softmax(scores.mask_fill(padding, f32::NEG_INFINITY), 3).matmul(value);
        let attended = self.attended.forward(attended.swap_dims(1, 2).reshape([texts, time, WIDTH]));
        let x = self.attended_norm.forward(x + attended);
        let thought = self.down.forward(gelu(self.up.forward(x.clone())));
        self.norm.forward(x + thought)
    }
}

fn norm(device: &Device) -> LayerNorm {
    LayerNormConfig::new(WIDTH).with_epsilon(1e-12).init(device)
}
