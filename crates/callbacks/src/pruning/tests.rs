use burn::{
    module::{Module, Param},
    nn::{
        Linear, LinearConfig,
        conv::{Conv2d, Conv2dConfig},
    },
    tensor::{Device, TensorData},
};
use insta::assert_snapshot;
use serde_json::Value;
use stormfire_module::Event;

use super::*;
use crate::testing::{Bench, text};

fn table() -> Value {
    serde_json::from_str(include_str!("torch_masks.json")).unwrap()
}

fn layers(table: &Value) -> Vec<Layer> {
    let layers = table["layers"].as_object().unwrap();
    let layer = |(path, layer): (&String, &Value)| {
        let weights: Vec<f32> = layer["weight"].as_array().unwrap().iter().map(|w| w.as_f64().unwrap() as f32).collect();
        let shape = layer["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        Layer { path: path.clone(), shape, keeps: vec![true; weights.len()], weights }
    };
    layers.iter().map(layer).collect()
}

#[test]
fn the_masks_are_those_of_torch() {
    let table = table();
    let cases = table["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 10);
    for case in cases {
        let mut layers = layers(&table);
        for amount in case["amounts"].as_array().unwrap() {
            let amount = amount.as_u64().map_or_else(|| amount.as_f64().unwrap().into(), |count| PruningAmount::Count(count as usize));
            let norm = match &case["norm"] {
                Value::String(_) => PruningNorm::Max,
                norm if norm == 1 => PruningNorm::L1,
                _ => PruningNorm::L2,
            };
            match case["kind"].as_str().unwrap() {
                "global" => prune_all(&mut layers, amount).unwrap(),
                "layer" => prune_each(&mut layers, amount, None).unwrap(),
                _ => prune_each(&mut layers, amount, Some((case["dim"].as_u64().unwrap() as usize, norm))).unwrap(),
            }
            // torch compares the pruned weights, too, which are zero.
            for layer in &mut layers {
                layer.weights.iter_mut().zip(&layer.keeps).for_each(|(weight, keeps)| *weight *= f32::from(*keeps));
            }
        }
        for layer in &layers {
            let mask: String = layer.keeps.iter().map(|keeps| if *keeps { '1' } else { '0' }).collect();
            assert_eq!(mask, case["masks"][&layer.path].as_str().unwrap(), "{} of {case}", layer.path);
        }
    }
}

#[derive(Module, Debug)]
struct Net {
    first: Linear,
    again: Linear,
    conv: Conv2d,
    frozen: Linear,
}

impl LightningModule for Net {
    type Batch = ();
}

fn net() -> Net {
    let device = Device::flex().autodiff();
    let mut first = LinearConfig::new(2, 2).init(&device);
    first.weight = Param::from_data(TensorData::from([[0.1_f32, -5.0], [f32::INFINITY, 2.0]]), &device);
    Net {
        again: first.clone(),
        first,
        conv: Conv2dConfig::new([1, 1], [1, 1]).init(&device),
        frozen: LinearConfig::new(2, 2).init(&device).freeze(),
    }
}

fn values<const D: usize>(param: &Param<Tensor<D>>) -> Vec<f32> {
    param.val().into_data().iter::<f32>().collect()
}

#[test]
fn weights_are_zero_and_stay_trained_shared_and_themselves() {
    let (mut net, mut pruning) =
        (net(), ModelPruning::new(PruningAmount::Count(2)).parameters(|path| path.ends_with("weight") && !path.starts_with("conv")));
    let (frozen, id) = (values(&net.frozen.weight), net.first.weight.id);
    pruning.prune(&mut net, PruningAmount::Count(2)).unwrap();
    assert_eq!(values(&net.first.weight), [0.0, -5.0, f32::INFINITY, 0.0]);
    assert_eq!(values(&net.again.weight), values(&net.first.weight));
    assert_eq!((values(&net.frozen.weight), net.first.weight.id), (frozen, id));
    assert!(net.first.weight.val().is_require_grad() && !net.frozen.weight.val().is_require_grad());
    assert_eq!(pruning.sparsity().collect::<Vec<_>>(), [("first.weight", 2, 4)]);
    // Changes by a step are undone, also from NaN.
    net.first.weight = net.first.weight.clone().map(|w| Tensor::from_inner(w.inner() * f32::NAN).require_grad());
    pruning.enforce(&mut net);
    let after = values(&net.first.weight);
    assert_eq!((after[0], after[3], after[1].is_nan()), (0.0, 0.0, true));
}

#[test]
fn the_state_survives_a_restart_and_a_second_fit_starts_from_scratch() {
    let mut net = net();
    let mut pruning = ModelPruning::new(0.5);
    pruning.prune(&mut net, PruningAmount::Share(0.5)).unwrap();
    let saved = Callback::<Net>::state(&pruning).unwrap();
    let mut again = ModelPruning::new(0.5);
    Callback::<Net>::load_state(&mut again, saved).unwrap();
    assert_eq!(again.sparsity().collect::<Vec<_>>(), pruning.sparsity().collect::<Vec<_>>());
    let mut bench = Bench::new();
    let mut pruning = ModelPruning::new(1.0);
    bench.start(&mut pruning).unwrap();
    bench.epoch(&mut pruning).unwrap();
    assert!((pruning.share() - 1.0).abs() < f64::EPSILON);
    bench.fire(&mut pruning, Event::FitStart).unwrap();
    assert_eq!(pruning.sparsity().count(), 0);
}

#[test]
fn wrong_amounts_are_named() {
    let mut net = net();
    let refused = |mut pruning: ModelPruning, net: &mut Net, amount: PruningAmount| text(&pruning.prune(net, amount).unwrap_err());
    let errors = [
        refused(ModelPruning::new(0.5), &mut net, 1.5.into()),
        // Not after the first epoch.
        text(&Bench::new().setup(&mut ModelPruning::new(1.5)).unwrap_err()),
        text(&Bench::new().setup(&mut ModelPruning::new(99)).unwrap_err()),
        text(&Bench::new().setup(&mut ModelPruning::new(9).per_layer()).unwrap_err()),
        text(&Bench::new().setup(&mut ModelPruning::new(0.5).structured(4, PruningNorm::L1)).unwrap_err()),
        text(&Bench::new().setup(&mut ModelPruning::new(0.5).parameters(|_| false)).unwrap_err()),
        refused(ModelPruning::new(0.5), &mut net, 99.into()),
        refused(ModelPruning::new(0.5).per_layer(), &mut net, 9.into()),
        refused(ModelPruning::new(0.5).structured(4, PruningNorm::L1), &mut net, 0.5.into()),
        refused(ModelPruning::new(0.5).parameters(|_| false), &mut net, 0.5.into()),
    ];
    assert_snapshot!(errors.join("\n"), @r"
    `ModelPruning`: 1.5 is not a share from 0 to 1 | hint: give a number of weights as an integer
    `ModelPruning`: 1.5 is not a share from 0 to 1 | hint: give a number of weights as an integer
    `ModelPruning`: 99 are to be pruned of the chosen weights, and 1 are left | hint: give a share, or end the schedule earlier
    `ModelPruning`: 9 are to be pruned of `layer.weight`, and 1 are left | hint: give a share, or end the schedule earlier
    `ModelPruning`: `layer.weight` has 2 dimensions, and slices of dimension 4 are to be pruned | hint: choose parameters that have it with `parameters`
    `ModelPruning`: no weight is chosen | hint: choose trained parameters with `parameters`, by the paths in the summary of the module
    `ModelPruning`: 99 are to be pruned of the chosen weights, and 5 are left | hint: give a share, or end the schedule earlier
    `ModelPruning`: 9 are to be pruned of `first.weight`, and 4 are left | hint: give a share, or end the schedule earlier
    `ModelPruning`: `first.weight` has 2 dimensions, and slices of dimension 4 are to be pruned | hint: choose parameters that have it with `parameters`
    `ModelPruning`: no weight is chosen | hint: choose trained parameters with `parameters`, by the paths in the summary of the module
    ");
}
