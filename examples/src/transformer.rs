//! A layer of a transformer that reads from left to right.

use burn::{
    nn::{Dropout, DropoutConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig},
    prelude::*,
    tensor::activation::{gelu, softmax},
};
use stormfire::prelude::{Error, Result};

/// A transformer layer: attention to what is before, then two linear layers, each added to its input.
#[derive(Module, Debug)]
pub struct TransformerLayer {
    norms: [LayerNorm; 2],
    qkv: Linear,
    project: Linear,
    up: Linear,
    down: Linear,
    dropout: Dropout,
    heads: usize,
}

impl TransformerLayer {
    /// A layer for `[batch, time, width]`.
    ///
    /// # Errors
    /// If the width is not a multiple of `heads`. On a command line, this is an error of the option `width`.
    pub fn new(width: usize, heads: usize, dropout: f64, device: &Device) -> Result<Self> {
        if !width.is_multiple_of(heads) {
            return Err(Error::config("width", format!("{width} is not a multiple of the {heads} heads"), "change `heads`"));
        }
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Ok(Self {
            norms: [(); 2].map(|()| LayerNormConfig::new(width).init(device)),
            qkv: linear(width, 3 * width),
            project: linear(width, width),
            up: linear(width, 4 * width),
            down: linear(4 * width, width),
            dropout: DropoutConfig::new(dropout).init(),
            heads,
        })
    }

    /// `x` has shape `[batch, time, width]`, as the result.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let qkv = self.qkv.forward(self.norms[0].forward(x.clone()));
        let head = |part: usize| {
            let part = qkv.clone().narrow(2, part * width, width);
            part.reshape([batch, time, self.heads, width / self.heads]).swap_dims(1, 2)
        };
        let scores = head(0).matmul(head(1).transpose()) / ((width / self.heads) as f64).sqrt();
        let later = Tensor::<2, Bool>::tril_mask([time, time], 0, &x.device()).unsqueeze::<4>();
        let attended = softmax(scores.mask_fill(later, f32::NEG_INFINITY), 3).matmul(head(2));
        let attended = self.project.forward(attended.swap_dims(1, 2).reshape([batch, time, width]));
        let x = x + self.dropout.forward(attended);
        let thought = self.down.forward(gelu(self.up.forward(self.norms[1].forward(x.clone()))));
        x + self.dropout.forward(thought)
    }
}
