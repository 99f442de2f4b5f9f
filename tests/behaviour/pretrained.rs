//! A module with the weights of another program is fine-tuned in stages: its head, adapters, all of it.

use std::path::Path;

use burn::{
    module::{Lora, Module, ParamGroup},
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig},
    optim::AdamWConfig,
    prelude::*,
};
use insta::{allow_duplicates, assert_snapshot};
use stormfire::{
    optim::{freeze, unfreeze},
    prelude::*,
};

use crate::{
    repeatability::{Weights, weights},
    support::{Batch, line_data, quiet},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Head,
    Adapters,
    Whole,
}

#[derive(Module, Debug)]
struct Net {
    größe: Linear,
    /// Used twice, which ties its weights.
    inner: Linear,
    norm: LayerNorm,
    head: Linear,
    #[module(skip)]
    part: Part,
}

impl Net {
    fn new() -> Self {
        let device = Device::flex();
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).init(&device);
        let norm = LayerNormConfig::new(4).init(&device);
        Self { größe: linear(1, 4), inner: linear(4, 4), norm, head: linear(4, 1), part: Part::Head }
    }

    fn trains(self, part: Part) -> Self {
        let net = Self { part, ..self };
        match part {
            Part::Head => freeze(net, ["größe", "inner", "norm"]).unwrap(),
            Part::Adapters => {
                let lora = Lora::new(2, 4.0).set_param_group(ParamGroup::from_predicate("größe.weight"));
                unfreeze(net.apply_lora(lora), "head").unwrap()
            }
            Part::Whole => unfreeze(net.materialize(), "*").unwrap(),
        }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let x = self.inner.forward(self.inner.forward(self.größe.forward(x)).tanh());
        (self.head.forward(self.norm.forward(x)) - y).square().mean()
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let adam = Optimizer::new(AdamWConfig::new(), 0.05);
        Ok(match self.part {
            Part::Head => adam,
            Part::Adapters => adam.group("größe", |g| g.lr_factor(0.5)),
            Part::Whole => adam.group("größe", |g| g.lr_factor(0.1)).group("*.bias", |g| g.weight_decay(0.0)),
        }
        .into())
    }
}

fn sorted(net: &Net) -> Weights {
    let mut weights = weights(&net.valid());
    weights.sort();
    weights
}

/// The weights as Hugging Face's programs write them, under other names.
fn pretrained(folder: &Path) -> Net {
    let net = Net::new();
    let options = ExportOptions::new().rename("^", "bert.").shard_bytes(100);
    assert!(net.export_weights(folder.join("model.safetensors"), &options).unwrap().len() > 2);
    let (loaded, report) = Net::new().load_weights(folder, &LoadOptions::new().rename(r"^bert\.", "")).unwrap();
    assert_eq!(report.to_string(), "8 parameters loaded");
    assert_eq!(sorted(&loaded), sorted(&net));
    loaded
}

/// Each stage saves a checkpoint every 3 steps, and in epochs of 4 batches two of them are an open window.
fn check_stages(precision: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut start = pretrained(&folder.path().join("pretrained"));
    for part in [Part::Head, Part::Adapters, Part::Whole] {
        let checkpoints = folder.path().join(format!("{part:?}"));
        // As a new process makes it: `start` is the result of the stage before.
        let prepared = start.clone().trains(part);
        let fit = |from: Option<&Path>| {
            let saving =
                ModelCheckpoint::new().dirpath(&checkpoints).filename("{step}-{epoch}").save_top_k(SaveTopK::All).every("3 batches");
            let mut trainer = quiet().seed(5).max_epochs(2).accumulate_grad_batches(2).precision(precision);
            trainer = match from {
                Some(from) => trainer.ckpt_path(from),
                None => trainer.enable_checkpointing(true).callback(saving),
            };
            trainer.fit(prepared.clone(), (line_data(16, 4), line_data(6, 3))).unwrap().module
        };
        let whole = fit(None);
        assert_ne!(sorted(&whole), sorted(&prepared));
        let mut files: Vec<_> = std::fs::read_dir(&checkpoints).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() > 1, "{files:?}");
        for file in files {
            let resumed = fit(Some(&file));
            assert!(sorted(&resumed) == sorted(&whole), "{part:?} in {precision}: {}", file.display());
        }
        if part == Part::Adapters {
            adapters_come_back(&whole, &start, &folder.path().join("adapters.ckpt"));
        }
        start = whole;
    }
}

/// Adapters and the head alone, on the module from before this stage.
fn adapters_come_back(trained: &Net, start: &Net, file: &Path) {
    let alone = r"\.lora\.|^head";
    trained.export_weights(file, &ExportOptions::new().layout(WeightLayout::Burn).only(alone)).unwrap();
    let fresh = start.clone().trains(Part::Adapters);
    let (loaded, report) = fresh.load_weights(file, &LoadOptions::new().only(alone)).unwrap();
    assert_eq!(report.loaded.len(), 4);
    assert_eq!(sorted(&loaded), sorted(trained));
    let error = trained.export_weights(file.with_extension("safetensors"), &ExportOptions::new()).unwrap_err();
    allow_duplicates!(
        assert_snapshot!(error, @"`größe.weight.lora.a` is a part of an adapter, and other programs know only whole weights")
    );
}

#[test]
fn each_stage_of_a_fine_tuning_resumes_exactly() {
    check_stages("32-true");
}

#[test]
fn each_stage_resumes_exactly_in_mixed_precision() {
    check_stages("bf16-mixed");
}
