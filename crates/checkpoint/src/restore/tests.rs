use burn::{
    module::{Module, Param, ParamId, Quantizer},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, LinearLayout},
    optim::{GradientsParams, SgdConfig},
    tensor::{
        Bool, DType, Device, Int, Tensor,
        quantization::{Calibration, QuantScheme},
    },
};
use insta::assert_snapshot;

use super::*;
use crate::{ParamPaths, Snapshot, WeightsError};

#[derive(Module, Debug)]
struct Net {
    norm: BatchNorm,
    head: Linear,
    column: Linear,
    steps: Param<Tensor<1, Int>>,
    mask: Param<Tensor<1, Bool>>,
}

impl Net {
    fn new(device: &Device, fill: i64) -> Self {
        Self {
            norm: BatchNormConfig::new(2).init(device),
            head: LinearConfig::new(2, 3).init(device),
            column: LinearConfig::new(3, 1).with_layout(LinearLayout::Col).init(device),
            steps: Param::initialized(ParamId::new(), Tensor::from_data([fill, fill + 1], device)),
            mask: Param::initialized(ParamId::new(), Tensor::from_data([fill == 0, fill != 0], device)),
        }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.column.forward(self.head.forward(self.norm.forward(x)))
    }

    fn train(self, device: &Device, batch: f32) -> Self {
        let x = Tensor::<2>::from_floats([[batch, 1.0], [2.0, batch], [-1.0, 0.5]], device);
        let gradients = GradientsParams::from_grads(self.forward(x).powi_scalar(2).sum().backward(), &self);
        SgdConfig::new().init().step(0.1, self.clone(), gradients)
    }
}

/// The message of an error, and below it the hint.
fn text(error: &WeightsError) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}\n  hint: {hint}"))
}

fn weights<M: Module>(module: &M) -> Vec<(String, TensorData)> {
    Snapshot::of_module(module).unwrap().read().unwrap()
}

fn exact() -> LoadOptions {
    LoadOptions::new().adopt_dtype(true)
}

#[test]
fn a_training_module_continues_with_every_bit() {
    let device = Device::flex().autodiff().gradient_checkpointing();
    let mut net = Net::new(&device, 0);
    for batch in [1.0, 2.0] {
        net = net.train(&device, batch);
    }
    // Another module has pending running statistics of a batch when it gets the weights.
    let other = Net::new(&device, 5).train(&device, 9.0);
    let ids = ParamPaths::of(&other);
    let (mut loaded, report) = restore(other, weights(&net), &exact()).unwrap();
    assert_eq!(report.to_string(), "10 parameters loaded");
    assert_eq!(weights(&loaded), weights(&net));

    assert_eq!(ParamPaths::of(&loaded).id("head.weight"), ids.id("head.weight"), "its ids are its own");
    let weight = loaded.column.weight.val();
    assert!(weight.is_require_grad());
    assert_eq!(weight.gradient_checkpointing_strategy(), net.column.weight.val().gradient_checkpointing_strategy());

    let x = Tensor::<2>::from_floats([[0.3, -0.7]], &Device::flex());
    let output = |net: &Net| net.valid().forward(x.clone()).into_data();
    assert_eq!(output(&loaded), output(&net), "evaluation uses the loaded statistics");
    for batch in [3.0, 4.0] {
        (net, loaded) = (net.train(&device, batch), loaded.train(&device, batch));
        assert_eq!(weights(&loaded), weights(&net));
    }
}

#[test]
fn a_module_keeps_its_device_and_its_frozen_parameters() {
    let device = Device::flex();
    let saved = weights(&Net::new(&device, 0));
    for (target, autodiff) in [(device.clone(), false), (device.clone().autodiff(), true)] {
        let (loaded, _) = restore(Net::new(&target, 1).no_grad(), saved.clone(), &LoadOptions::new()).unwrap();
        let weight = loaded.head.weight.val();
        assert_eq!((weight.is_autodiff(), weight.is_require_grad()), (autodiff, false));
        assert_eq!(loaded.norm.running_mean.value().is_autodiff(), autodiff);
        assert_eq!(weights(&loaded), saved);
        let trained = Net::new(&target, 1);
        assert_eq!(restore(trained, saved.clone(), &LoadOptions::new()).unwrap().0.head.weight.val().is_require_grad(), autodiff);
    }
}

#[test]
fn the_number_type_is_the_modules_or_the_files() {
    let layer = || LinearConfig::new(2, 1).init(&Device::flex());
    let double: Vec<_> = weights(&layer()).into_iter().map(|(name, data)| (name, data.convert_dtype(DType::F64))).collect();
    let (kept, report) = restore(layer(), double.clone(), &LoadOptions::new()).unwrap();
    assert_eq!(kept.weight.val().dtype(), DType::F32);
    assert_eq!(report.to_string(), "2 parameters loaded; 2 cast: `weight` (f64 to f32), `bias` (f64 to f32)");
    let (adopted, report) = restore(layer(), double.clone(), &exact()).unwrap();
    assert_eq!((adopted.weight.val().dtype(), report.cast.len()), (DType::F64, 0));
    assert_eq!(weights(&adopted), double);
}

#[test]
fn strict_names_everything_that_does_not_fit() {
    let device = Device::flex();
    let mut saved = weights(&Net::new(&device, 0));
    saved.retain(|(name, _)| name != "norm.beta" && name != "mask");
    for (name, data) in &mut saved {
        match name.as_str() {
            "head.bias" => *data = TensorData::from([1.0f32]),
            "steps" => *data = TensorData::from([1.0f32, 2.0]),
            "head.weight" => *name = "tail.weight".into(),
            _ => {}
        }
    }
    let error = restore(Net::new(&device, 0), saved.clone(), &LoadOptions::new()).unwrap_err();
    assert_snapshot!(text(&error), @"
    the weights do not fit the module: 5 parameters loaded; 3 missing: `norm.beta`, `head.weight`, `mask`; 1 unexpected: `tail.weight`; 2 that do not fit: `head.bias` (f32 [1] in the file, f32 [3] in the module), `steps` (f32 [2] in the file, i32 [2] in the module); `head.weight` may be `tail.weight`
      hint: build the module as it was when it was saved; `rename` maps other names, `strict(false)` loads what fits
    ");

    let own = Net::new(&device, 3);
    let (kept, other) = (weights(&own), weights(&Net::new(&device, 0)));
    let (loaded, report) = restore(own, saved.clone(), &LoadOptions::new().strict(false)).unwrap();
    assert_eq!(report.loaded.len(), 5);
    for (i, (name, data)) in weights(&loaded).into_iter().enumerate() {
        let from = if report.loaded.contains(&name) { saved.iter().chain(&other) } else { kept.iter().chain(&[]) };
        assert_eq!(from.clone().find(|(path, _)| *path == name).unwrap().1, data, "{i}: {name}");
    }
}

#[test]
fn patterns_select_and_rename() {
    let device = Device::flex();
    let saved: Vec<_> = weights(&Net::new(&device, 0)).into_iter().map(|(name, data)| (format!("model.{name}"), data)).collect();
    let load = |options: &LoadOptions| restore(Net::new(&device, 1), saved.clone(), options).map(|(_, report)| report.loaded);
    let renamed = LoadOptions::new().rename("^model", "net").rename(r"^net\.", "");
    assert_eq!(load(&renamed).unwrap().len(), 10);
    assert_eq!(load(&renamed.clone().only("^head").only("mask")).unwrap(), ["head.weight", "head.bias", "mask"]);
    assert_eq!(load(&renamed.clone().only("^head").except("bias$")).unwrap(), ["head.weight"]);
    let wrong = [renamed.clone().only("^tail"), renamed.clone().except("(").only("x"), renamed.rename("gamma|beta", "gamma")];
    assert_snapshot!(wrong.map(|options| text(&load(&options).unwrap_err())).join("\n"), @r"
    no parameter to load: only(`^tail`) select none
      hint: the patterns are searched in paths such as `encoder.0.weight`
    `(` is not a regular expression: regex parse error:
        (
        ^
    error: unclosed group
      hint: write a literal dot as `\.`, and see the documentation of the crate `regex`
    `model.norm.gamma` and `model.norm.beta` are both renamed to `norm.gamma`
      hint: anchor the pattern with `^`, or rename one of the two first
    ");
}

#[test]
fn a_quantized_parameter_takes_no_plain_values() {
    let layer = || LinearConfig::new(4, 4).init(&Device::flex());
    let quantized = layer().quantize_weights(&mut Quantizer::new(Calibration::MinMax, QuantScheme::default()));
    let (_, report) = restore(quantized, weights(&layer()), &LoadOptions::new().strict(false)).unwrap();
    assert!(report.loaded.is_empty(), "{report}");
    assert_eq!(report.mismatched.iter().map(|misfit| misfit.path.as_str()).collect::<Vec<_>>(), ["weight", "bias"]);
}

#[test]
fn a_long_report_is_shortened() {
    let report = LoadReport { missing: (0..30).map(|i| format!("layer.{i}")).collect(), ..LoadReport::default() };
    assert_snapshot!(report, @"0 parameters loaded; 30 missing: `layer.0`, `layer.1`, `layer.2`, `layer.3`, `layer.4`, `layer.5`, `layer.6`, `layer.7`, `layer.8`, `layer.9`, `layer.10`, `layer.11`, `layer.12`, `layer.13`, `layer.14`, `layer.15`, `layer.16`, `layer.17`, `layer.18`, `layer.19` and 10 more");
}
