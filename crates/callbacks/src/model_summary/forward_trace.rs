//! The sizes and operations of layers, noted while they run.

use burn::{
    module::{Module, ModuleVisitor, Param},
    nn::{
        Embedding, Gru, Linear, Lstm,
        attention::MultiHeadAttention,
        conv::{Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d},
    },
    tensor::{Tensor, kind::Basic},
};

/// A layer whose floating-point operations follow from the shapes of its input and output.
pub trait CountFlops {
    /// The operations of one call. A multiplication and an addition are two. Biases, activations and normalizations do
    /// not count, as in torch's `FlopCounterMode`.
    fn flops(&self, input: &[usize], output: &[usize]) -> u64;
}

/// One call of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerCall {
    /// The path of the layer in the module, as in the summary.
    pub name: String,
    /// The shape of its input.
    pub input: Vec<usize>,
    /// The shape of its output.
    pub output: Vec<usize>,
    /// Its operations. `None` if they are unknown.
    pub flops: Option<u64>,
}

/// Runs layers, and notes their sizes and operations.
///
/// burn has no hooks that see the layers of a module run, and the sizes of a convolution are not in its parameters. So
/// [`ModelSummary::example`](crate::ModelSummary::example) takes a function that runs the forward pass once, with each
/// layer through [`layer`](Self::layer). Layers that it leaves out have no sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForwardTrace {
    calls: Vec<LayerCall>,
}

impl ForwardTrace {
    /// Runs a layer. `name` is its path in the module.
    pub fn layer<L: CountFlops, const I: usize, const O: usize, K: Basic, R: Basic>(
        &mut self,
        name: &str,
        layer: &L,
        input: Tensor<I, K>,
        forward: impl FnOnce(&L, Tensor<I, K>) -> Tensor<O, R>,
    ) -> Tensor<O, R> {
        self.call(name, input, |input| forward(layer, input), |from, to| Some(layer.flops(from, to)))
    }

    /// Runs a layer whose operations are unknown: the summary shows `?` for them, and for the total.
    pub fn unknown<L, const I: usize, const O: usize, K: Basic, R: Basic>(
        &mut self,
        name: &str,
        layer: &L,
        input: Tensor<I, K>,
        forward: impl FnOnce(&L, Tensor<I, K>) -> Tensor<O, R>,
    ) -> Tensor<O, R> {
        self.call(name, input, |input| forward(layer, input), |_, _| None)
    }

    fn call<const I: usize, const O: usize, K: Basic, R: Basic>(
        &mut self,
        name: &str,
        input: Tensor<I, K>,
        forward: impl FnOnce(Tensor<I, K>) -> Tensor<O, R>,
        flops: impl FnOnce(&[usize], &[usize]) -> Option<u64>,
    ) -> Tensor<O, R> {
        let from = input.dims();
        let result = forward(input);
        let to = result.dims();
        self.calls.push(LayerCall { name: name.into(), input: from.to_vec(), output: to.to_vec(), flops: flops(&from, &to) });
        result
    }

    /// Adds operations that belong to no layer, such as a product of two activations.
    pub fn add(&mut self, name: &str, flops: u64) {
        self.calls.push(LayerCall { name: name.into(), input: Vec::new(), output: Vec::new(), flops: Some(flops) });
    }

    /// The calls in their order.
    pub fn calls(&self) -> &[LayerCall] {
        &self.calls
    }

    /// The operations of all calls. `None` if those of one are unknown.
    ///
    /// A training step needs about three times as many as its forward pass:
    /// `ThroughputMonitor::new().flops_per_batch(3.0 * flops as f64)`.
    pub fn flops(&self) -> Option<u64> {
        self.calls.iter().map(|call| call.flops).sum()
    }
}

/// Elements of the weights with two or more dimensions.
fn matrices<M: Module>(layer: &M) -> u64 {
    struct Count(u64);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if D >= 2 {
                self.0 += product(param.lazy_shape().as_slice());
            }
        }
    }
    let mut count = Count(0);
    layer.visit(&mut count);
    count.0
}

fn product(dims: &[usize]) -> u64 {
    dims.iter().map(|&dim| dim as u64).product()
}

/// The places at which a convolution is applied: `[batch, channels, places..]`, and the batch.
fn places(dims: &[usize]) -> u64 {
    product(dims.get(..1).unwrap_or_default()) * product(dims.get(2..).unwrap_or_default())
}

/// The items of `[.., features]`.
fn items(dims: &[usize]) -> u64 {
    product(dims.split_last().map_or(&[], |(_, rest)| rest))
}

macro_rules! counts {
    ($($layer:ty: $count:expr;)*) => {$(
        impl CountFlops for $layer {
            fn flops(&self, input: &[usize], output: &[usize]) -> u64 {
                let count: fn(&Self, &[usize], &[usize]) -> u64 = $count;
                2 * count(self, input, output)
            }
        }
    )*};
}

counts! {
    Linear: |layer, input, _| items(input) * matrices(layer);
    // Each element of the kernel is used once for each place of the output.
    Conv1d: |layer, _, output| places(output) * matrices(layer);
    Conv2d: |layer, _, output| places(output) * matrices(layer);
    Conv3d: |layer, _, output| places(output) * matrices(layer);
    // Each element of the kernel is used once for each place of the input.
    ConvTranspose1d: |layer, input, _| places(input) * matrices(layer);
    ConvTranspose2d: |layer, input, _| places(input) * matrices(layer);
    ConvTranspose3d: |layer, input, _| places(input) * matrices(layer);
    // Self-attention: four projections, and two products of all items of a sequence with each other.
    MultiHeadAttention: |layer, input, _| {
        let length = input.get(1).map_or(0, |&length| length as u64);
        items(input) * matrices(layer) + 2 * product(input) * length
    };
    // A gate multiplies the input and the state at each time step.
    Lstm: |layer, input, _| items(input) * matrices(layer);
    Gru: |layer, input, _| items(input) * matrices(layer);
    // A look-up.
    Embedding: |_, _, _| 0;
}
