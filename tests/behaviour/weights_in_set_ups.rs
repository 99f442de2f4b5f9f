//! `Callback::weights` in other set-ups than the default. In each, the weights of the callback are validated, the
//! trained ones are trained, and files hold both, also over a restart.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::{FloatDType, GradientCheckpointingStrategy, IntDType},
};
use stormfire::{checkpoint::Checkpoint, prelude::*};

use crate::{
    child,
    repeatability::{Weights, weights},
    support::{Batch, line_data, quiet},
};

/// `y = up · (down · x) + b`. If `ties`, the network uses one parameter twice.
#[derive(Module, Debug)]
struct Net {
    down: Linear,
    up: Linear,
    #[module(skip)]
    ties: bool,
    #[module(skip)]
    checkpoints_gradients: bool,
}

impl Net {
    fn new(device: &Device) -> Self {
        let layer = |weight: f32| {
            let mut layer = LinearConfig::new(1, 1).init(device);
            layer.weight = Param::from_tensor(Tensor::from_floats([[weight]], device));
            layer.bias = Some(Param::from_tensor(Tensor::from_floats([0.1], device)));
            layer
        };
        Self { down: layer(0.5), up: layer(0.25), ties: false, checkpoints_gradients: false }
    }

    fn plain() -> Self {
        Self::new(&Device::flex())
    }

    fn tied() -> Self {
        Self { ties: true, ..Self::plain() }
    }

    fn checkpointing() -> Self {
        Self { checkpoints_gradients: true, ..Self::new(&Device::flex().autodiff().gradient_checkpointing()) }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let hidden = self.down.forward(x);
        let last = if self.ties { &self.down } else { &self.up };
        (last.forward(hidden) - y).square().mean()
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let strategy = self.down.weight.val().device().gradient_checkpointing_strategy();
        assert_eq!(strategy == Some(GradientCheckpointingStrategy::Balanced), self.checkpoints_gradients);
        Ok(self.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 0.1).into())
    }
}

/// Puts the weights of the batch before into force.
struct Behind {
    now: Option<Net>,
    before: Option<Net>,
    make: fn() -> Net,
}

impl Callback<Net> for Behind {
    fn on_train_batch_end(&mut self, _: &mut Context<'_>, module: &mut Net, _: &StepOutput, _: usize) -> Result<()> {
        self.before = self.now.replace(module.valid());
        Ok(())
    }

    fn weights(&mut self, _module: &Net) -> Result<Option<Net>> {
        Ok(self.before.clone())
    }

    fn state(&self) -> Result<Saved> {
        let saved = state::save(&self.before.is_some())?;
        let all = [("now", &self.now), ("before", &self.before)];
        Ok(all.into_iter().fold(saved, |saved: Saved, (name, net)| net.iter().fold(saved, |saved, net| saved.with_module(name, net))))
    }

    fn load_state(&mut self, mut state: Saved) -> Result<()> {
        self.now = Some(state.load_module("now", (self.make)())?.valid());
        self.before = Some(state.load_module("before", (self.make)())?.valid());
        Ok(())
    }
}

/// The losses of the validations of a fit.
#[derive(Clone, Default)]
struct Losses(Arc<Mutex<Vec<u64>>>, &'static str);

impl Callback<Net> for Losses {
    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut Net) -> Result<()> {
        self.0.lock().unwrap().push(ctx.metric(self.1)?.to_bits());
        Ok(())
    }
}

/// A module, the number of its validation loaders, and where files are.
#[derive(Clone, Copy)]
struct SetUp {
    make: fn() -> Net,
    val_loaders: usize,
    in_url: bool,
}

impl SetUp {
    fn metric(self) -> &'static str {
        if self.val_loaders > 1 { "val_loss/dataloader_idx_1" } else { "val_loss" }
    }

    fn loaders(self) -> Vec<Loader<Batch>> {
        [8, 6, 4].into_iter().take(self.val_loaders).map(|items| line_data(items, 2)).collect()
    }

    fn fit(self, files: Option<&Path>, weights_only: bool, from: Option<&Path>) -> (Weights, Vec<u64>, Trainer<Net>) {
        let losses = Losses(Arc::default(), self.metric());
        let mut trainer = quiet().seed(3).num_sanity_val_steps(0).max_epochs(3).callback(losses.clone());
        if let Some(files) = files {
            let saving = ModelCheckpoint::new().dirpath(files).monitor(self.metric()).save_top_k(SaveTopK::All).filename("{epoch}");
            trainer = trainer.enable_checkpointing(true).callback(saving.save_weights_only(weights_only));
            trainer = trainer.callback(Behind { now: None, before: None, make: self.make });
        }
        if let Some(from) = from {
            trainer = trainer.ckpt_path(from);
        }
        let fit = trainer.fit((self.make)(), (line_data(12, 2), self.loaders())).unwrap();
        let losses = losses.0.lock().unwrap().clone();
        (sorted(weights(&fit.module)), losses, trainer)
    }

    /// The weights in force of a file.
    fn loaded(self, file: &Path) -> Weights {
        sorted(weights(&(self.make)().load_weights(file, &LoadOptions::new()).unwrap().0))
    }

    fn check(self) {
        let folder = tempfile::tempdir().unwrap();
        let root = if self.in_url { format!("file://{}", folder.path().display()) } else { folder.path().display().to_string() };
        let below = |name: &str| PathBuf::from(format!("{root}/{name}"));
        let (plain, plain_losses, _) = self.fit(None, false, None);
        let (uninterrupted, losses, mut trainer) = self.fit(Some(&below("whole")), false, None);
        assert_eq!(uninterrupted, plain, "the trained weights are as without the callback");
        assert!(losses.len() == 3 && losses != plain_losses, "the others are validated");

        let file = below("whole/epoch=2.ckpt");
        let mut checkpoint = Checkpoint::read(&file).unwrap();
        assert!(!checkpoint.take_under("in_force").is_empty());
        let in_force = self.loaded(&file);
        assert_ne!(in_force, uninterrupted);
        trainer.set_ckpt_path(&*file);
        let validated = trainer.validate(&(self.make)(), Loaders::from(self.loaders())).unwrap();
        let score = validated[self.val_loaders - 1].get("val_loss/dataloader_idx_1").or(validated[0].get("val_loss")).unwrap();
        assert_eq!(losses.last(), Some(&score.to_bits()), "what was scored is what is evaluated");

        let (continued, later, _) = self.fit(Some(&below("whole")), false, Some(&below("whole/epoch=0.ckpt")));
        assert_eq!((&continued, &later[..]), (&uninterrupted, &losses[1..]), "a fit continues with the trained weights");

        let (_, of_slim, _) = self.fit(Some(&below("slim")), true, None);
        assert_eq!(of_slim, losses);
        assert_eq!(self.loaded(&below("slim/epoch=2.ckpt")), in_force, "a file of weights contains those in force");
    }
}

fn sorted(mut weights: Weights) -> Weights {
    weights.sort();
    weights
}

const PLAIN: SetUp = SetUp { make: Net::plain, val_loaders: 1, in_url: false };

#[test]
fn several_validation_loaders_see_the_weights_in_force() {
    SetUp { val_loaders: 2, ..PLAIN }.check();
}

#[test]
fn a_layer_in_two_places_is_one_in_the_weights_in_force() {
    SetUp { make: Net::tied, ..PLAIN }.check();
}

#[test]
fn gradient_checkpointing_stays_on_with_weights_in_force() {
    SetUp { make: Net::checkpointing, ..PLAIN }.check();
}

#[test]
fn weights_in_force_are_kept_in_a_store() {
    SetUp { in_url: true, ..PLAIN }.check();
}

#[test]
fn two_runs_of_a_process_have_their_own_weights_in_force() {
    let runs = [PLAIN, SetUp { make: Net::tied, ..PLAIN }].map(|set_up| std::thread::spawn(move || set_up.check()));
    for run in runs {
        run.join().unwrap();
    }
}

/// The type of a device is set once in a process.
#[test]
#[ignore = "a part of `half_precision_has_weights_in_force`"]
fn in_bf16() {
    if child::folder().is_none() {
        return;
    }
    let mut device = Device::flex();
    device.configure((FloatDType::BF16, IntDType::I32)).unwrap();
    assert_eq!(Net::plain().down.weight.val().dtype(), FloatDType::BF16.into());
    PLAIN.check();
    SetUp { val_loaders: 2, ..PLAIN }.check();
}

#[test]
fn half_precision_has_weights_in_force() {
    child::play(child::part("weights_in_set_ups::in_bf16", tempfile::tempdir().unwrap().path()));
}
