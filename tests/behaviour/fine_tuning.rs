//! Freezing, parameter groups, `LoRA` and `StochasticWeightAveraging` in a Trainer.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use burn::{
    lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig,
    module::{Lora, Module, ParamGroup},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::AdamWConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{
    checkpoint::{Manifest, Snapshot, write},
    loggers::MemoryLogger,
    optim::unfreeze,
    prelude::*,
    ranks::threads,
};

use crate::{
    error_text::error_text,
    repeatability::{Weights, weights},
    support::{Batch, line_data, recording},
};

#[derive(Module, Debug)]
struct Net {
    backbone: Linear,
    norm: BatchNorm,
    head: Linear,
    #[module(skip)]
    groups: Groups,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Groups {
    None,
    Rates,
    Typo,
    /// Adapters in the backbone.
    Lora,
}

impl Net {
    fn new(groups: Groups) -> Self {
        let device = Device::flex();
        let linear = |inputs: usize, outputs: usize| {
            let mut linear = LinearConfig::new(inputs, outputs).init(&device);
            let values = Tensor::<1>::ones([inputs * outputs], &device).cumsum(0);
            linear.weight = burn::module::Param::from_tensor((values * 0.7).sin().reshape([inputs, outputs]));
            linear.bias = Some(burn::module::Param::from_tensor(Tensor::zeros([outputs], &device)));
            linear
        };
        let net = Self { backbone: linear(1, 4), norm: BatchNormConfig::new(4).init(&device), head: linear(4, 1), groups };
        if groups != Groups::Lora {
            return net;
        }
        let lora = Lora::new(1, 2.0).set_param_group(ParamGroup::from_predicate("backbone"));
        unfreeze(net.apply_lora(lora), "head").unwrap()
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        (self.head.forward(self.norm.forward(self.backbone.forward(x)).tanh()) - y).square().mean()
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let optimizer = Optimizer::new(AdamWConfig::new(), 0.1);
        Ok(match self.groups {
            Groups::None | Groups::Lora => optimizer,
            Groups::Rates => optimizer
                .schedule(Schedule::new(CosineAnnealingLrSchedulerConfig::new(0.1, 10)).every(Every::Steps(1)))
                .group("*.bias", |g| g.weight_decay(0.0))
                .group("head", |g| g.lr(0.05)),
            Groups::Typo => optimizer.group("hed", |g| g.lr_factor(0.5)),
        }
        .into())
    }
}

/// Epochs of four batches.
fn data() -> (Loader<Batch>, Loader<Batch>) {
    (line_data(16, 4), line_data(6, 3))
}

fn sorted(net: &Net) -> Weights {
    let mut weights = weights(&net.valid());
    weights.sort();
    weights
}

/// The parts that have changed between two moments.
fn changed(before: &Weights, after: &Weights) -> Vec<String> {
    let pairs = before.iter().zip(after).filter(|(a, b)| a != b);
    pairs.map(|((name, _), _)| name.clone()).collect()
}

/// The weights at the end of each epoch.
#[derive(Clone, Default)]
struct Epochs(Arc<Mutex<Vec<Weights>>>);

impl Callback<Net> for Epochs {
    fn on_train_epoch_end(&mut self, _ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        self.0.lock().unwrap().push(sorted(module));
        Ok(())
    }
}

type Set<'a> = &'a dyn Fn(Trainer<Net>) -> Trainer<Net>;

fn trainer(logger: &MemoryLogger, epochs: usize, set: Set<'_>) -> Trainer<Net> {
    set(recording(logger).seed(5).max_epochs(epochs).num_sanity_val_steps(0).log_every_n_steps(1))
}

/// A fit that resumes from each of its epochs and from the middle of an epoch equals an uninterrupted one, logs of
/// learning rates included.
#[track_caller]
fn check_resume(groups: Groups, epochs: usize, set: Set<'_>) -> (Weights, Vec<(String, f64, Option<u64>)>) {
    let folder = tempfile::tempdir().unwrap();
    let rates = |logger: &MemoryLogger| logger.rows().into_iter().filter(|row| row.0.starts_with("lr-")).collect::<Vec<_>>();
    let fit = |from: Option<&Path>| {
        let logger = MemoryLogger::new();
        let saving = ModelCheckpoint::new().dirpath(folder.path()).filename("{step}").save_top_k(SaveTopK::All).every("3 steps");
        let mut trainer = trainer(&logger, epochs, set).callback(LearningRateMonitor::new());
        trainer = match from {
            Some(from) => trainer.ckpt_path(from).new_version_on_resume(true),
            None => trainer.enable_checkpointing(true).callback(saving),
        };
        let fit = trainer.fit(Net::new(groups), data()).unwrap();
        let in_force = sorted(&trainer.weights_in_force(&fit.module).unwrap());
        ((sorted(&fit.module), in_force), rates(&logger))
    };
    let (whole, logged) = fit(None);
    let mut files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 1, "{files:?}");
    for file in files {
        let (resumed, later) = fit(Some(&file));
        assert!(resumed == whole, "{}", file.display());
        assert_eq!(later[..], logged[logged.len() - later.len()..], "{}", file.display());
    }
    (whole.1, logged)
}

fn rates_of(logged: &[(String, f64, Option<u64>)], name: &str) -> Vec<f64> {
    logged.iter().filter(|row| row.0 == name).map(|row| row.1).collect()
}

#[test]
fn groups_are_logged_scheduled_and_resumed() {
    let (_, logged) = check_resume(Groups::Rates, 2, &|trainer| trainer);
    let (base, head) = (rates_of(&logged, "lr-AdamW"), rates_of(&logged, "lr-AdamW/head"));
    assert_eq!(base.len(), 8);
    assert!(base[0] > base[5] && base.iter().zip(&head).all(|(base, head)| (base * 0.5 - head).abs() < 1e-9), "{base:?} {head:?}");
    // Threads and a mixed precision do not matter.
    check_resume(Groups::Rates, 3, &|trainer| trainer.devices(2).precision("bf16-mixed").accumulate_grad_batches(3));
}

#[test]
fn parts_are_unfrozen_at_their_epoch() {
    let finetuning = || Finetuning::new(["backbone", "norm"]).unfreeze_at(1, "backbone.bias").unfreeze_at(2, "backbone");
    let epochs = Epochs::default();
    let before = sorted(&Net::new(Groups::Rates));
    let mut fit = trainer(&MemoryLogger::new(), 3, &|trainer| trainer.callback(finetuning()).callback(epochs.clone()));
    let _ = fit.fit(Net::new(Groups::Rates), data()).unwrap();
    let epochs = epochs.0.lock().unwrap();
    let norm = ["norm.beta", "norm.gamma", "norm.running_mean", "norm.running_var"];
    let head = ["head.bias", "head.weight"];
    assert_eq!(changed(&before, &epochs[0]), [&head[..], &norm].concat());
    // The bias before a normalization has a gradient of rounding errors.
    assert_eq!(changed(&epochs[0], &epochs[1]), [&["backbone.bias"], &head[..], &norm].concat());
    assert_eq!(changed(&epochs[1], &epochs[2]), [&["backbone.bias", "backbone.weight"], &head[..], &norm].concat());
    check_resume(Groups::Rates, 3, &|trainer| trainer.callback(finetuning()));
}

#[test]
fn a_frozen_normalization_keeps_its_statistics() {
    let finetuning = || Finetuning::new(["backbone", "norm"]).unfreeze_at(1, "norm").train_bn(false);
    let epochs = Epochs::default();
    let before = sorted(&Net::new(Groups::None));
    let mut fit = trainer(&MemoryLogger::new(), 2, &|trainer| trainer.callback(finetuning()).callback(epochs.clone()));
    let _ = fit.fit(Net::new(Groups::None), data()).unwrap();
    let epochs = epochs.0.lock().unwrap();
    assert_eq!(changed(&before, &epochs[0]), ["head.bias", "head.weight"]);
    assert_eq!(
        changed(&epochs[0], &epochs[1]),
        ["head.bias", "head.weight", "norm.beta", "norm.gamma", "norm.running_mean", "norm.running_var"]
    );
    check_resume(Groups::None, 3, &|trainer| trainer.callback(finetuning()));
}

#[test]
fn the_backbone_gets_lightnings_rates() {
    let set: Set<'_> = &|trainer| trainer.callback(BackboneFinetuning::new("backbone").unfreeze_at_epoch(1).initial_ratio(0.25));
    let (_, logged) = check_resume(Groups::None, 5, set);
    let found = rates_of(&logged, "lr-AdamW/backbone");
    let expected = [0.025, 0.05, 0.1, 0.1].into_iter().flat_map(|rate| [rate; 4]);
    assert!(found.len() == 16 && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    assert!(rates_of(&logged, "lr-AdamW").iter().all(|rate| (rate - 0.1).abs() < 1e-12));
}

#[test]
fn mistakes_in_patterns_are_refused_with_similar_names() {
    struct Sets;
    impl Callback<Net> for Sets {
        fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut Net, _: &StepOutput, _: usize) -> Result<()> {
            ctx.set_learning_rate("lr-Adam", 0.5);
            Ok(())
        }
    }
    let error = |groups, set: Set<'_>| error_text(trainer(&MemoryLogger::new(), 1, set).fit(Net::new(groups), data()));
    assert_snapshot!(error(Groups::Typo, &|trainer| trainer), @"
    `Optimizer::group`: `hed` matches no parameter
      hint: similar names are `head`, `norm`, `head.bias`
    ");
    assert_snapshot!(error(Groups::None, &|trainer| trainer.callback(Finetuning::new("backbone").unfreeze_at(3, "backbone.layer4"))), @"
    `unfreeze`: `backbone.layer4` matches no parameter (in `setup` of `Finetuning`)
      hint: similar names are `backbone.bias`, `backbone.weight`, `backbone`
    ");
    assert_snapshot!(error(Groups::Rates, &|trainer| trainer.callback(Sets)), @"
    optimizer `lr-Adam`: no learning rate has this name
      hint: the names are `lr-AdamW`, `lr-AdamW/head`
    ");
}

/// The means and biased variances of the input of the normalization, as the means of those of the batches: what
/// PyTorch's `update_bn` computes with a momentum of `None`.
fn statistics(net: &Net) -> Vec<f32> {
    let device = Device::flex();
    let mut means = vec![0.0; 8];
    for batch in 0_u8..4 {
        let x: Vec<f32> = (0_u8..4).map(|i| f32::from(batch * 4 + i) / 16.0).collect();
        let hidden = net.backbone.forward(Tensor::<1>::from_floats(x.as_slice(), &device).unsqueeze_dim::<2>(1));
        let mean = hidden.clone().mean_dim(0);
        let variance = (hidden - mean.clone()).square().mean_dim(0);
        let numbers = [mean, variance].into_iter().flat_map(|part| part.into_data().iter::<f32>().collect::<Vec<_>>());
        means.iter_mut().zip(numbers).for_each(|(sum, value)| *sum += value / 4.0);
    }
    means
}

fn numbers(weights: &Weights, name: &str) -> Vec<f32> {
    let bits = &weights.iter().find(|(known, _)| known == name).unwrap().1;
    bits.iter().map(|&bits| f32::from_bits(bits)).collect()
}

#[track_caller]
fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs())), "{what}: {found:?} {expected:?}");
}

#[test]
fn stochastic_averages_have_the_last_epochs_and_their_own_statistics() {
    let swa = || StochasticWeightAveraging::new(0.01).start_epoch(2).annealing(2, "linear");
    let fit = |set: Set<'_>| {
        let epochs = Epochs::default();
        let logger = MemoryLogger::new();
        let mut trainer = trainer(&logger, 5, &|trainer| set(trainer.callback(swa()).callback(epochs.clone())));
        let fit = trainer.fit(Net::new(Groups::None), data()).unwrap();
        let averaged = trainer.weights_in_force(&fit.module).unwrap();
        let epochs = epochs.0.lock().unwrap().clone();
        assert_eq!(epochs.last(), Some(&sorted(&fit.module)), "the fit returns the trained weights");
        (averaged, epochs, logger)
    };
    let (averaged, epochs, memory) = fit(&|trainer| trainer);
    let found = sorted(&averaged);
    for name in ["backbone.weight", "norm.gamma", "head.bias"] {
        let mut mean = vec![0.0; numbers(&found, name).len()];
        for epoch in &epochs[2..] {
            mean.iter_mut().zip(numbers(epoch, name)).for_each(|(sum, value)| *sum += value / 3.0);
        }
        assert_near(&numbers(&found, name), &mean, name);
    }
    let of_norm = |weights: &Weights| [numbers(weights, "norm.running_mean"), numbers(weights, "norm.running_var")].concat();
    assert_near(&of_norm(&found), &statistics(&averaged), "statistics");
    let (checkpointed, ..) = fit(&|trainer| trainer.gradient_checkpointing(true));
    assert_eq!(sorted(&checkpointed), found, "with gradient checkpointing");
    // The pass over the data is not an epoch, and logs nothing.
    assert_eq!(epochs.len(), 5);
    assert_eq!(memory.rows().iter().filter(|row| row.0 == "train_loss").count(), 20);

    let (_, logged) = check_resume(Groups::None, 5, &|trainer| trainer.callback(swa()));
    let rates: Vec<f64> = rates_of(&logged, "lr-AdamW").into_iter().step_by(4).collect();
    assert!(rates.iter().zip([0.1, 0.1, 0.1, 0.055, 0.01]).all(|(a, b)| (a - b).abs() < 1e-9), "{rates:?}");

    // Several ranks share the pass, and the last round may be short.
    for (world, batches) in [(2, 4), (3, 4)] {
        let found = threads::run(world, |_rank| -> Result<_> {
            let mut trainer = trainer(&MemoryLogger::new(), 3, &|trainer| trainer.callback(swa()).handle_signals(false));
            let fit = trainer.fit(Net::new(Groups::None), data())?;
            trainer.weights_in_force(&fit.module)
        });
        let found: Vec<_> = found.into_iter().map(|net| net.unwrap()).collect();
        for net in &found {
            assert_near(&of_norm(&sorted(net)), &statistics(net), &format!("{world} ranks, {batches} batches"));
            assert_eq!(sorted(net), sorted(&found[0]));
        }
    }
}

#[test]
fn adapters_are_trained_averaged_resumed_and_saved_alone() {
    let folder = tempfile::tempdir().unwrap();
    let fresh = Net::new(Groups::Lora);
    let before = sorted(&fresh);
    let mut trainer = trainer(&MemoryLogger::new(), 2, &|trainer| trainer.callback(Ema::new(0.5)));
    let fit = trainer.fit(fresh, data()).unwrap();
    let after = sorted(&fit.module);
    let expected =
        ["backbone.weight.lora.a", "backbone.weight.lora.b", "head.bias", "head.weight", "norm.running_mean", "norm.running_var"];
    assert_eq!(changed(&before, &after), expected);
    assert_eq!(changed(&after, &sorted(&trainer.weights_in_force(&fit.module).unwrap())), expected[..4]);
    check_resume(Groups::Lora, 2, &|trainer| trainer.callback(Ema::new(0.5)));

    let path = folder.path().join("adapters.safetensors");
    let all = Snapshot::of_module(&fit.module.valid()).unwrap().read().unwrap();
    let adapters: Vec<_> = all.into_iter().filter(|(name, _)| name.contains(".lora.")).collect();
    write(&path, &Manifest::default().of_weights(), &adapters).unwrap();
    let (loaded, _) = Net::new(Groups::Lora).load_weights(&path, &LoadOptions::new().only(r"\.lora\.")).unwrap();
    let x = Tensor::<2>::from_floats([[0.3], [0.7]], &Device::flex());
    let output = |net: &Net| net.backbone.forward(x.clone()).into_data().iter::<f32>().collect::<Vec<_>>();
    assert_eq!(output(&loaded.valid()), output(&fit.module.valid()));
    assert_near(&output(&loaded.valid().materialize()), &output(&fit.module.valid()), "merged");
}
