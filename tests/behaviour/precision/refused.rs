//! Uses that a precision does not support. Each is refused by name, with the cure.

use burn::{
    nn::{
        Gru, GruConfig, Linear, LinearConfig, Lstm, LstmConfig, PositionalEncoding, PositionalEncodingConfig, RotaryEncoding,
        RotaryEncodingConfig,
        loss::{BinaryCrossEntropyLossConfig, CrossEntropyLossConfig, MseLoss, Reduction},
    },
    optim::SgdConfig,
    prelude::*,
    tensor::FloatDType,
};
use insta::assert_snapshot;
use stormfire::{TrainerConfig, prelude::*};

use super::net::{Net, points};
use crate::{
    error_text::error_text,
    support::{Batch, line_data, quiet},
};

#[test]
fn a_wrong_precision_is_refused_with_all_that_there_are() {
    // A file cannot say how to cast a batch.
    let config: TrainerConfig = serde_json::from_str(r#"{"precision": "bf16-mixed", "max_epochs": 1}"#).unwrap();
    let trainers = [Trainer::from_config(config), quiet().precision("half"), quiet().precision("16-true"), quiet().precision("bf16-true")];
    assert_snapshot!(trainers.map(|mut trainer| error_text(trainer.fit(Net::new(), points(8, 8)))).join("\n"), @"
    `precision`: `bf16-mixed` casts the batches, but this Trainer has no function that casts them
      hint: call `Trainer::precision` or `Cli::with_precision` in the program: it takes the value of a file, too
    `precision`: cannot read `half` as a precision: there is no such precision
      hint: write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
    `precision`: cannot read `16-true` as a precision: parameters in f16 diverge, because Adam divides by squares of gradients that are zero there
      hint: write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true`
    `precision`: `bf16-true` needs a device whose tensors are bf16, but those of `cpu` are f32, which burn sets with the first tensor of a process
      hint: call `Precision::Bf16True.prepare(&device)?` at the start of `main`, before the module, the data or any other tensor is made; one process has one type on each device
    ");
    assert_snapshot!(serde_json::from_str::<TrainerConfig>(r#"{"precision": "16-true"}"#).unwrap_err(), @"cannot read `16-true` as a precision: parameters in f16 diverge, because Adam divides by squares of gradients that are zero there; write `32-true`, `bf16-mixed`, `16-mixed`, `bf16-true` or `64-true` at line 1 column 24");
    let config: TrainerConfig = serde_json::from_str(r#"{"precision": 16}"#).unwrap();
    assert_eq!(serde_json::to_value(&config).unwrap()["precision"], "16-mixed");
    assert_snapshot!(error_text(quiet().precision("64-true").validate(&Net::new(), points(8, 8))), @r"
    `precision`: `64-true` needs a device whose tensors are f64, but those of `cpu` are f32, which burn sets with the first tensor of a process
      hint: call `Precision::F64True.prepare(&device)?` at the start of `main`, before the module, the data or any other tensor is made; one process has one type on each device
    ");
}

/// A module with one unusual part.
#[derive(Module, Debug)]
struct Odd {
    layer: Linear,
    body: Body,
    #[module(skip)]
    loss: Loss,
}

#[derive(Module, Debug)]
struct Body {
    lstm: Option<Lstm>,
    kept: Option<FullPrecision<Lstm>>,
    gru: Option<Gru>,
    rotary: Option<RotaryEncoding>,
    positions: Vec<PositionalEncoding>,
}

#[derive(Clone, Copy, Debug)]
enum Loss {
    Plain,
    MseOfF32,
    Smooth,
    SmoothOfF32,
    Binary,
}

impl Odd {
    fn new(loss: Loss) -> Self {
        let body = Body { lstm: None, kept: None, gru: None, rotary: None, positions: Vec::new() };
        Self { layer: LinearConfig::new(1, 2).init(&Device::flex()), body, loss }
    }
}

impl LightningModule for Odd {
    type Batch = Batch;

    fn training_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let items = x.dims()[0];
        let mut logits = self.layer.forward(x);
        if let Some(kept) = &self.body.kept {
            logits = kept.call(logits.unsqueeze_dim::<3>(1), |lstm, x| lstm.forward(x, None).0).squeeze_dim::<2>(1);
        }
        let device = logits.device();
        let classes = Tensor::<1, Int>::zeros([items], &device);
        let smooth = || CrossEntropyLossConfig::new().with_smoothing(Some(0.1)).init(&device);
        Ok(match self.loss {
            Loss::Plain => logits.square().mean(),
            Loss::MseOfF32 => MseLoss::new().forward(logits, Tensor::zeros([items, 2], &device), Reduction::Mean),
            Loss::Smooth => smooth().forward(logits, classes),
            Loss::SmoothOfF32 => smooth().forward(logits.cast(FloatDType::F32), classes),
            Loss::Binary => {
                let both = Tensor::<2, Int>::zeros([items, 2], &device);
                BinaryCrossEntropyLossConfig::new().with_logits(true).init(&device).forward(logits, both)
            }
        }
        .into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

fn fit(module: Odd, precision: &str) -> Result<Fit<Odd>> {
    quiet().precision(precision).max_epochs(1).fit(module, line_data(8, 4))
}

#[test]
fn a_layer_that_cannot_be_cast_is_named_before_the_first_step() {
    let device = Device::flex();
    let with = |body: Body| Odd { body, ..Odd::new(Loss::Plain) };
    let none = || Odd::new(Loss::Plain).body;
    let modules = vec![
        with(Body { lstm: Some(LstmConfig::new(2, 2, true).init(&device)), ..none() }),
        with(Body { gru: Some(GruConfig::new(2, 2, true).init(&device)), ..none() }),
        with(Body { rotary: Some(RotaryEncodingConfig::new(8, 4).init(&device)), ..none() }),
        with(Body { positions: vec![PositionalEncodingConfig::new(4).init(&device)], ..none() }),
    ];
    let errors: Vec<_> = modules.iter().map(|module| error_text(fit(module.clone(), "bf16-mixed"))).collect();
    assert_snapshot!(errors.join("\n"), @"
    `precision`: `body.lstm` is a `Lstm`, whose own tensors burn 0.22 does not cast, so it cannot compute in `bf16-mixed`
      hint: make it a `FullPrecision<Lstm>`, which keeps it in f32, or use `32-true` or `bf16-true`
    `precision`: `body.gru` is a `Gru`, whose own tensors burn 0.22 does not cast, so it cannot compute in `bf16-mixed`
      hint: make it a `FullPrecision<Gru>`, which keeps it in f32, or use `32-true` or `bf16-true`
    `precision`: `body.rotary` is a `RotaryEncoding`, whose own tensors burn 0.22 does not cast, so it cannot compute in `bf16-mixed`
      hint: make it a `FullPrecision<RotaryEncoding>`, which keeps it in f32, or use `32-true` or `bf16-true`
    `precision`: `body.positions.0` is a `PositionalEncoding`, whose own tensors burn 0.22 does not cast, so it cannot compute in `bf16-mixed`
      hint: make it a `FullPrecision<PositionalEncoding>`, which keeps it in f32, or use `32-true` or `bf16-true`
    ");
    assert!(modules.into_iter().all(|module| fit(module, "32-true").is_ok()));
    let kept = with(Body { kept: Some(FullPrecision::new(LstmConfig::new(2, 2, true).init(&device))), ..none() });
    for precision in ["32-true", "bf16-mixed", "16-mixed"] {
        assert!(fit(kept.clone(), precision).is_ok(), "{precision}");
    }
}

#[test]
fn two_types_that_meet_in_a_step_are_an_error_with_the_cure() {
    let errors = [Loss::MseOfF32, Loss::Smooth, Loss::Binary].map(|loss| error_text(fit(Odd::new(loss), "bf16-mixed")));
    assert_snapshot!(errors.join("\n"), @"
    `precision`: two float types met in a step with `bf16-mixed`: binary_op: dtype mismatch left: BF16 right: F32 (in `training_step` of `Odd`, epoch 0, batch 0)
      hint: the parameters and the batch are bf16 in the steps: cast the logits up before a loss that contains tensors (`logits.cast(FloatDType::F32)`), cast tensors that a step makes (`x.cast(y.dtype())`), or keep a layer in f32 with `FullPrecision`
    `precision`: two float types met in a step with `bf16-mixed`: binary_op: dtype mismatch left: BF16 right: F32 (in `training_step` of `Odd`, epoch 0, batch 0)
      hint: the parameters and the batch are bf16 in the steps: cast the logits up before a loss that contains tensors (`logits.cast(FloatDType::F32)`), cast tensors that a step makes (`x.cast(y.dtype())`), or keep a layer in f32 with `FullPrecision`
    `precision`: two float types met in a step with `bf16-mixed`: binary_op: dtype mismatch left: F32 right: BF16 (in `training_step` of `Odd`, epoch 0, batch 0)
      hint: the parameters and the batch are bf16 in the steps: cast the logits up before a loss that contains tensors (`logits.cast(FloatDType::F32)`), cast tensors that a step makes (`x.cast(y.dtype())`), or keep a layer in f32 with `FullPrecision`
    ");
    for (loss, precision) in [(Loss::SmoothOfF32, "bf16-mixed"), (Loss::SmoothOfF32, "16-mixed"), (Loss::Plain, "16-mixed")] {
        assert!(fit(Odd::new(loss), precision).is_ok(), "{loss:?}");
    }
    for loss in [Loss::MseOfF32, Loss::Smooth, Loss::Binary] {
        assert!(fit(Odd::new(loss), "32-true").is_ok(), "{loss:?}");
    }
}
