use std::collections::BTreeMap;

use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, decay::WeightDecayConfig},
    tensor::{Device, Tensor, TensorData},
};
use serde_json::{Map, Value};
use stormfire_checkpoint::{ParamPaths, Snapshot, optimizer_state};
use stormfire_values::seeds::mix;

use crate::optimizer::IntoOptimizer;

const SHAPE: [usize; 2] = [257, 301];

/// Numbers that no other test changes, with exponents in a range.
fn numbers(seed: u64, exponents: std::ops::Range<f64>) -> Tensor<2> {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "any number will do")]
    let number = |index: usize| {
        let unit = |stream| mix(mix(seed, stream), index as u64) as f64 / u64::MAX as f64;
        ((unit(0) - 0.5) * 10f64.powf(exponents.start + unit(1) * (exponents.end - exponents.start))) as f32
    };
    let all: Vec<_> = (0..SHAPE[0] * SHAPE[1]).map(number).collect();
    Tensor::from_data(TensorData::new(all, SHAPE), &Device::flex())
}

/// Large enough for several threads, with a remainder, and a bias that is too small for the pass.
fn layer() -> Linear {
    let mut layer = LinearConfig::new(SHAPE[0], SHAPE[1]).init(&Device::flex().autodiff());
    layer.weight = layer.weight.map(|_| Tensor::from_inner(numbers(99, -4.0..1.0)));
    layer
}

/// Gradients over many orders of magnitude, some of them zero, infinite or NaN.
fn gradients(layer: &Linear, step: u64) -> GradientsParams {
    let device = Device::flex();
    let mut weight = numbers(step, -25.0..4.0);
    if step == 3 {
        let special = Tensor::<2>::from_floats([[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e-45, f32::MAX]], &device);
        weight = weight.slice_assign([0..1, 0..7], special);
    }
    let mut all = GradientsParams::new();
    all.register(layer.weight.id, weight);
    all.register(layer.bias.as_ref().map(|bias: &Param<Tensor<1>>| bias.id).unwrap(), Tensor::<1>::ones([SHAPE[1]], &device));
    all
}

/// The bits of a tensor by its name. Numbers are equal if their text is.
type Bits = BTreeMap<String, Vec<u32>>;

/// The weights after some steps, and the state in a checkpoint.
fn trained(mut optimizer: ModuleOptimizer, start: &Linear) -> (Bits, Map<String, Value>) {
    let mut layer = start.clone();
    for step in 0..5 {
        let gradients = gradients(&layer, step);
        #[expect(clippy::cast_precision_loss, reason = "a few steps")]
        let rate = 0.1 / (1.0 + step as f64);
        layer = optimizer.step(rate, layer, gradients);
    }
    let mut snapshot = Snapshot::of_module(&layer).unwrap();
    let numbers = optimizer_state::save(&optimizer, "own", &ParamPaths::of(&layer), &mut snapshot).unwrap();
    let bits = |data: TensorData| data.iter::<f32>().map(f32::to_bits).collect();
    (snapshot.read().unwrap().into_iter().map(|(name, data)| (name, bits(data))).collect(), numbers)
}

fn assert_equals_burn(name: &str, ours: &(impl IntoOptimizer + Clone), burns: ModuleOptimizer) {
    let start = layer();
    let (tensors, numbers) = trained(burns, &start);
    assert_eq!(tensors.keys().filter(|name| name.contains("weight")).count(), if name.contains("amsgrad: true") { 4 } else { 3 });
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (optimizer, _) = ours.clone().into_optimizer();
        let (own, own_numbers) = pool.install(|| trained(optimizer, &start));
        assert_eq!(own_numbers, numbers, "{name}");
        let other: Vec<_> = own.iter().filter(|(tensor, bits)| tensors.get(*tensor) != Some(bits)).map(|(tensor, _)| tensor).collect();
        assert!(other.is_empty() && own.len() == tensors.len(), "{name}, {threads} threads: {other:?} differ");
    }
}

#[test]
fn a_pass_equals_the_steps_of_burn_to_the_bit() {
    let decay = || Some(WeightDecayConfig::new(0.3));
    let adam = AdamConfig::new().with_beta_1(0.85).with_epsilon(1e-8);
    let adam_w = AdamWConfig::new().with_beta_2(0.98).with_epsilon(1e-8);
    for config in [AdamConfig::new(), adam.clone(), adam.with_weight_decay(decay()), AdamConfig::new().with_amsgrad(true)] {
        assert_equals_burn(&format!("{config:?}"), &config, config.init());
    }
    for config in [
        AdamWConfig::new(),
        adam_w.clone().with_weight_decay(0.0),
        adam_w.with_weight_decay(0.2),
        AdamWConfig::new().with_weight_decay(0.2).with_cautious_weight_decay(true),
    ] {
        assert_equals_burn(&format!("{config:?}"), &config, config.init());
    }
}
