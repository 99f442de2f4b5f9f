//! Models of three usual kinds, with batches in memory.

use burn::{
    module::{Module, ModuleVisitor, Param},
    nn::{
        Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    optim::AdamConfig,
    tensor::{
        Device, Distribution, Int, Tensor,
        activation::{gelu, relu, softmax},
    },
};
use stormfire::prelude::*;

/// A model and its batches.
pub trait Workload: LightningModule<Batch: CastBatch + SplitBatch + Sync> {
    /// A new model.
    fn new(device: &Device) -> Self;
    /// A number of batches with `items` items.
    fn batches(count: usize, items: usize, device: &Device) -> Vec<Self::Batch>;
    /// The batch on another device.
    fn moved(batch: &Self::Batch, device: &Device) -> Self::Batch;
}

fn loss(logits: Tensor<2>, targets: Tensor<1, Int>) -> StepOutput {
    CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets).into()
}

fn classes(shape: [usize; 1], count: f64, device: &Device) -> Tensor<1, Int> {
    Tensor::<1>::random(shape, Distribution::Uniform(0.0, count), device).int()
}

fn adam() -> Optimizers {
    Optimizer::new(AdamConfig::new(), 1e-3).into()
}

/// 784-256-256-10.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: [Linear; 3],
}

impl LightningModule for Mlp {
    type Batch = (Tensor<2>, Tensor<1, Int>);

    fn training_step(&self, (x, y): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        let [first, second, third] = &self.layers;
        Ok(loss(third.forward(relu(second.forward(relu(first.forward(x))))), y))
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(adam())
    }
}

impl Workload for Mlp {
    fn new(device: &Device) -> Self {
        Self { layers: [(784, 256), (256, 256), (256, 10)].map(|(from, to)| LinearConfig::new(from, to).init(device)) }
    }

    fn batches(count: usize, items: usize, device: &Device) -> Vec<Self::Batch> {
        let batch = |_| (Tensor::random([items, 784], Distribution::Uniform(-1.0, 1.0), device), classes([items], 10.0, device));
        (0..count).map(batch).collect()
    }

    fn moved((x, y): &Self::Batch, device: &Device) -> Self::Batch {
        (Tensor::from_data(x.to_data(), device), Tensor::from_data(y.to_data(), device))
    }
}

/// PyTorch's MNIST example without its two dropouts.
#[derive(Module, Debug)]
pub struct Cnn {
    convolutions: [Conv2d; 2],
    pool: MaxPool2d,
    layers: [Linear; 2],
}

impl LightningModule for Cnn {
    type Batch = (Tensor<4>, Tensor<1, Int>);

    fn training_step(&self, (x, y): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        let [first, second] = &self.convolutions;
        let features = self.pool.forward(relu(second.forward(relu(first.forward(x))))).flatten::<2>(1, 3);
        Ok(loss(self.layers[1].forward(relu(self.layers[0].forward(features))), y))
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(adam())
    }
}

impl Workload for Cnn {
    fn new(device: &Device) -> Self {
        Self {
            convolutions: [[1, 32], [32, 64]].map(|channels| Conv2dConfig::new(channels, [3, 3]).init(device)),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            layers: [(9216, 128), (128, 10)].map(|(from, to)| LinearConfig::new(from, to).init(device)),
        }
    }

    fn batches(count: usize, items: usize, device: &Device) -> Vec<Self::Batch> {
        let batch = |_| (Tensor::random([items, 1, 28, 28], Distribution::Uniform(-1.0, 1.0), device), classes([items], 10.0, device));
        (0..count).map(batch).collect()
    }

    fn moved((x, y): &Self::Batch, device: &Device) -> Self::Batch {
        (Tensor::from_data(x.to_data(), device), Tensor::from_data(y.to_data(), device))
    }
}

const VOCABULARY: usize = 65;
const CONTEXT: u16 = 64;
const WIDTH: usize = 128;
const HEADS: usize = 4;

/// A layer of the transformer.
#[derive(Module, Debug)]
struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    project: Linear,
    up: Linear,
    down: Linear,
}

impl Block {
    fn forward(&self, x: Tensor<3>, mask: &Tensor<4, burn::tensor::Bool>) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let heads = |x: Tensor<3>| x.reshape([batch, time, HEADS, width / HEADS]).swap_dims(1, 2);
        let [q, k, v] =
            self.qkv.forward(self.norms[0].forward(x.clone())).chunk(3, 2).try_into().unwrap_or_else(|_| unreachable!("three parts"));
        let scale = ((width / HEADS) as f64).sqrt();
        let scores = heads(q).matmul(heads(k).transpose()) / scale;
        let attended = softmax(scores.mask_fill(mask.clone(), f32::NEG_INFINITY), 3).matmul(heads(v));
        let x = x + self.project.forward(attended.swap_dims(1, 2).reshape([batch, time, width]));
        let inner = gelu(self.up.forward(self.norms[1].forward(x.clone())));
        x + self.down.forward(inner)
    }
}

/// A character GPT: 4 layers, 4 heads, width 128, context 64. It is not the model of the example `char_gpt`: an example
/// is one file to read, with dropout and hyperparameters, and may change without changing these measurements.
#[derive(Module, Debug)]
pub struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

impl LightningModule for Gpt {
    type Batch = (Tensor<2, Int>, Tensor<2, Int>);

    fn training_step(&self, (tokens, targets): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        let (device, [batch, time]) = (tokens.device(), tokens.dims());
        let positions = Tensor::<1, Int>::arange(0..i64::from(CONTEXT), &device).unsqueeze::<2>();
        let mut x = self.tokens.forward(tokens) + self.positions.forward(positions);
        let mask = Tensor::<2, burn::tensor::Bool>::tril_mask([time, time], 0, &device).unsqueeze::<4>();
        for block in &self.blocks {
            x = block.forward(x, &mask);
        }
        let logits = self.head.forward(self.norm.forward(x)).reshape([batch * time, VOCABULARY]);
        Ok(loss(logits, targets.reshape([batch * time])))
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(adam())
    }
}

impl Workload for Gpt {
    fn new(device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let norm = || LayerNormConfig::new(WIDTH).init(device);
        let block = |_| Block {
            norms: [norm(), norm()],
            qkv: linear(WIDTH, 3 * WIDTH),
            project: linear(WIDTH, WIDTH),
            up: linear(WIDTH, 4 * WIDTH),
            down: linear(4 * WIDTH, WIDTH),
        };
        Self {
            tokens: EmbeddingConfig::new(VOCABULARY, WIDTH).init(device),
            positions: EmbeddingConfig::new(CONTEXT.into(), WIDTH).init(device),
            blocks: (0..4).map(block).collect(),
            norm: norm(),
            head: LinearConfig::new(WIDTH, VOCABULARY).with_bias(false).init(device),
        }
    }

    fn batches(count: usize, items: usize, device: &Device) -> Vec<Self::Batch> {
        let time = usize::from(CONTEXT);
        let tokens = || classes([items * time], VOCABULARY as f64, device).reshape([items, time]);
        (0..count).map(|_| (tokens(), tokens())).collect()
    }

    fn moved((x, y): &Self::Batch, device: &Device) -> Self::Batch {
        (Tensor::from_data(x.to_data(), device), Tensor::from_data(y.to_data(), device))
    }
}

/// All numbers of the float parameters, in the order of the module.
pub fn weights<M: Module>(module: &M) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut collect = Collect(Vec::new());
    module.visit(&mut collect);
    collect.0
}
