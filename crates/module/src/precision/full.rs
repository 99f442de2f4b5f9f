//! A layer that keeps its parameters in full precision.

use burn::{module::Module, tensor::Tensor};
use stormfire_data::CastBatch;

/// A layer that computes in `f32` when the other layers compute in `bf16` or `f16`
/// (`Trainer::precision("bf16-mixed")`): for layers that burn cannot cast, such as an LSTM, and for those that need the
/// digits, such as a batch normalization.
///
/// ```
/// use burn::{nn::{Linear, LinearConfig, Lstm, LstmConfig}, prelude::*};
/// use stormfire_module::FullPrecision;
///
/// #[derive(Module, Debug)]
/// struct Net { lstm: FullPrecision<Lstm>, head: Linear }
///
/// impl Net {
///     fn forward(&self, x: Tensor<3>) -> Tensor<3> {
///         // `x` comes in, and the result leaves, in the type of the other layers.
///         self.head.forward(self.lstm.call(x, |lstm, x| lstm.forward(x, None).0))
///     }
/// }
///
/// let device = Device::flex();
/// let net = Net { lstm: FullPrecision::new(LstmConfig::new(2, 3, true).init(&device)), head: LinearConfig::new(3, 1).init(&device) };
/// assert_eq!(net.forward(Tensor::zeros([1, 4, 2], &device)).dims(), [1, 4, 1]);
/// ```
///
/// In every other precision it does nothing.
#[derive(Module, Debug)]
pub struct FullPrecision<L: Module> {
    /// The layer.
    pub layer: L,
}

impl<L: Module> FullPrecision<L> {
    /// Keeps this layer in full precision.
    pub fn new(layer: L) -> Self {
        Self { layer }
    }

    /// Calls the layer with the input in full precision. The output gets the type that the input had.
    pub fn call<const D: usize, O: CastBatch>(&self, input: Tensor<D>, forward: impl FnOnce(&L, Tensor<D>) -> O) -> O {
        let (full, given) = (input.device().settings().float_dtype, input.dtype());
        let output = forward(&self.layer, input.cast_floats(full));
        if given == full.into() || !given.is_float() { output } else { output.cast_floats(given.into()) }
    }
}

/// Whether the fields of this container stay in full precision. burn calls it `Struct:` and the name of its type.
pub(super) fn is_kept(container_type: &str) -> bool {
    container_type == "Struct:FullPrecision"
}
