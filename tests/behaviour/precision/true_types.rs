//! `bf16-true` and `64-true`. burn sets the type of a device once in a process, so each type runs in separate
//! processes.

use std::path::Path;

use burn::{
    nn::{Lstm, LstmConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::DType,
};
use stormfire::{checkpoint::Checkpoint, loggers::MemoryLogger, prelude::*};

use super::net::{Net, Points, fit, points};
use crate::{
    child::{self, folder},
    devices::values,
    error_text::error_text,
    kept_state::SaveAt,
    repeatability::weights,
    support::{quiet, recording},
};

/// The layer and the loss that no mixed precision can cast.
#[derive(Module, Debug)]
struct Sequence {
    lstm: Lstm,
    net: Net,
}

impl LightningModule for Sequence {
    type Batch = Points;

    fn training_step(&self, batch: Points, _batch_idx: usize) -> Result<StepOutput> {
        let inputs = self.lstm.forward(batch.inputs.unsqueeze_dim::<3>(1), None).0.squeeze_dim::<2>(1);
        let loss = CrossEntropyLossConfig::new().with_smoothing(Some(0.1)).init(&inputs.device());
        let loss = loss.forward(self.net.logits(inputs), batch.classes);
        self.log("loss", &loss).on_epoch(true).batch_size(8);
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-2).into())
    }
}

fn file(folder: &Path, precision: &str) -> std::path::PathBuf {
    folder.join(format!("{precision}.ckpt"))
}

/// Trains in this precision, and continues the fits of the others.
fn in_true(precision: Precision, dtype: DType, folder: &Path) {
    let (name, device) = (precision.to_string(), Device::flex());
    precision.prepare(&device).unwrap();
    // Twice is fine, another one is not.
    precision.prepare(&device).unwrap();
    let other = if precision == Precision::F32True { Precision::F64True } else { Precision::F32True };
    let refused = error_text(quiet().precision(other).max_epochs(1).fit(Net::new(), points(8, 8)));
    assert!(refused.contains("one process has one type on each device"), "{refused}");

    let saving = SaveAt(vec![7], folder.into());
    let trained = fit(Net::new().normalised(), |trainer| {
        trainer.precision(precision).accumulate_grad_batches(2).callback(SaveAt(saving.0.clone(), saving.1.clone()))
    });
    let trained = trained.unwrap();
    assert_eq!(trained.module.hidden.weight.val().dtype(), dtype);
    let losses = trained.values("train_loss_epoch");
    assert!(losses[3] < 0.8 * losses[0], "{losses:?}");
    std::fs::rename(folder.join("7.ckpt"), file(folder, &name)).unwrap();
    let resumed =
        fit(Net::new().normalised(), |trainer| trainer.precision(precision).accumulate_grad_batches(2).ckpt_path(file(folder, &name)))
            .unwrap();
    assert_eq!(weights(&resumed.module.valid()), weights(&trained.module.valid()), "{name}: a resume is exact");
    let mut saved = Checkpoint::read(file(folder, &name)).unwrap();
    assert_eq!(saved.manifest().precision, name);
    assert!(saved.take_training_weights().values().all(|data| data.dtype() == dtype));

    let others = ["32-true", "bf16-true", "64-true"].map(|other| (other, file(folder, other)));
    for (other, file) in others.iter().filter(|(other, file)| *other != name && file.exists()) {
        // With the option, and without it: the device says the same.
        for is_given in [true, false] {
            let set = |trainer: Trainer<Net>| {
                let resuming = trainer.accumulate_grad_batches(2).ckpt_path(file);
                if is_given { resuming.precision(precision) } else { resuming }
            };
            let continued = fit(Net::new().normalised(), set).unwrap();
            assert_eq!(continued.module.hidden.weight.val().dtype(), dtype, "{other} to {name}");
            assert_eq!(continued.steps, trained.steps);
            let furthest = values(&continued.module).iter().zip(values(&trained.module)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest < 0.6, "{other} to {name}: {furthest}");
            let mut testing = if is_given { quiet().precision(precision) } else { quiet() };
            testing.set_ckpt_path(file.clone());
            assert_eq!(testing.test(&Net::new().normalised(), points(8, 8)).unwrap().len(), 1, "{other} to {name}");
        }
    }

    let module = Sequence { lstm: LstmConfig::new(2, 2, true).init(&device), net: Net::new() };
    assert!(quiet().precision(precision).max_epochs(1).fit(module, points(16, 8)).is_ok(), "every layer works");

    // 5000 batches of one item, all right: a sum in bf16 sticks at 256.
    let logger = MemoryLogger::new();
    let metrics = recording(&logger).precision(precision).validate(&AllRight, points(5000, 1)).unwrap();
    let metric = |name: &str| metrics[0].iter().find(|(own, _)| *own == name).unwrap().1;
    assert!((metric("acc") - 1.0).abs() < 1e-9 && (metric("mean") - 1.0).abs() < 1e-9, "{metrics:?}");
    assert!((metric("sum") - 5000.0).abs() < 1e-6, "{metrics:?}");
}

/// A module whose predictions are right.
#[derive(Module, Debug)]
struct AllRight;

impl LightningModule for AllRight {
    type Batch = Points;

    fn validation_step(&self, batch: Points, _batch_idx: usize) -> Result<StepOutput> {
        let _distant = stormfire_values::read::DistantCpu::new();
        let logits = batch.classes.clone().one_hot::<2>(3).float();
        self.log("acc", accuracy(&logits, &batch.classes)).batch_size(1);
        let one = logits.sum();
        self.log("mean", &one).batch_size(1);
        self.log("sum", stormfire::metrics::aggregation::Sum::new(one)).batch_size(1);
        Ok(StepOutput::none())
    }
}

#[test]
#[ignore = "a part of `true_precisions_train_and_continue_each_other`"]
fn in_f32() {
    if let Some(folder) = folder() {
        in_true(Precision::F32True, DType::F32, &folder);
    }
}

#[test]
#[ignore = "a part of `true_precisions_train_and_continue_each_other`"]
fn in_bf16() {
    if let Some(folder) = folder() {
        in_true(Precision::Bf16True, DType::BF16, &folder);
    }
}

#[test]
#[ignore = "a part of `true_precisions_train_and_continue_each_other`"]
fn in_f64() {
    if let Some(folder) = folder() {
        in_true(Precision::F64True, DType::F64, &folder);
    }
}

/// The Trainer sets the type itself if nothing has made a tensor.
#[test]
#[ignore = "a part of `true_precisions_train_and_continue_each_other`"]
fn without_a_tensor_before() {
    if folder().is_none() {
        return;
    }
    let device = Device::flex();
    let lazy = burn::nn::LinearConfig::new(1, 1).init(&device);
    let mut trainer = quiet().precision("bf16-true").max_epochs(1);
    let fitted = trainer.fit(crate::support::Line { layer: lazy }, crate::support::line_data(8, 4)).unwrap();
    assert_eq!(fitted.module.layer.weight.val().dtype(), DType::BF16);
}

#[test]
fn true_precisions_train_and_continue_each_other() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["in_f32", "in_bf16", "in_f64", "in_f32", "without_a_tensor_before"] {
        child::play(child::part(&format!("precision::true_types::{part}"), folder.path()));
    }
}
