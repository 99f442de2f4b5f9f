//! Permitted and refused changes between a checkpoint and the fit that resumes from it.

use std::path::{Path, PathBuf};

use burn::{
    lr_scheduler::{exponential::ExponentialLrSchedulerConfig, step::StepLrSchedulerConfig},
    nn::LinearConfig,
    optim::{AdamConfig, SgdConfig},
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{data::WeightedSampler, loggers::MemoryLogger, module::requests::SaveRequest, prelude::*};
use tempfile::TempDir;

use crate::{
    error_text::error_text,
    repeatability::weights,
    rig::Logging,
    support::{Batch, Line, line_data, quiet, recording},
    told::told,
};

fn shown(error: &str, folder: &TempDir) -> String {
    error.replace(&folder.path().display().to_string(), "[folder]")
}

/// Requests a checkpoint after a training step.
struct SaveAfter(u64, PathBuf);

impl<M: LightningModule> Callback<M> for SaveAfter {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.global_step() == self.0 {
            ctx.save_checkpoint(SaveRequest { path: self.1.clone(), ..SaveRequest::default() });
        }
        Ok(())
    }
}

/// A folder with a checkpoint of a line. An epoch has four steps.
struct Checkpointed {
    folder: TempDir,
}

impl Checkpointed {
    fn after(steps: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let saving = SaveAfter(steps, folder.path().join("a.ckpt"));
        let _ = quiet().max_epochs(2).callback(saving).fit(Line::new(), line_data(8, 2)).unwrap();
        Self { folder }
    }

    /// A checkpoint after two complete epochs.
    fn at_an_end() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = quiet().max_epochs(2);
        let fit = trainer.fit(Line::new(), line_data(8, 2)).unwrap();
        trainer.save_checkpoint(&fit.module, folder.path().join("a.ckpt")).unwrap();
        Self { folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.ckpt")
    }

    /// The error of a fit that should resume from the checkpoint.
    #[track_caller]
    fn refused<M: LightningModule<Batch = Batch>>(&self, trainer: Trainer<M>, module: M, data: Loader<Batch>) -> String {
        let text = error_text(trainer.ckpt_path(self.path()).fit(module, data));
        shown(&text, &self.folder) + "\n"
    }
}

#[test]
fn a_raised_limit_equals_the_longer_run() {
    let module = Logging::new();
    let fit = |trainer: Trainer<Logging>, logger: &MemoryLogger| {
        let mut trainer = trainer.logger(logger.clone()).enable_checkpointing(false);
        let fit = trainer.fit(module.clone(), line_data(8, 2)).unwrap();
        (weights(&fit.module), fit.progress, logger.rows())
    };
    let whole = || Trainer::new().log_every_n_steps(1).enable_progress_bar(false).enable_model_summary(false);
    let uninterrupted = fit(whole().max_epochs(3), &MemoryLogger::new());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    for (max_steps, step) in [(None, 4), (None, 2), (Some(6), 6), (Some(6), 5)] {
        let shorter = match max_steps {
            None => whole().max_epochs(1),
            Some(steps) => whole().max_steps(steps),
        };
        let logger = MemoryLogger::new();
        let _ = fit(shorter.callback(SaveAfter(step, path.clone())), &logger);
        assert_eq!(fit(whole().max_epochs(3).ckpt_path(&path), &logger), uninterrupted, "saved after step {step}");
    }
}

#[test]
fn a_completed_fit_can_be_extended() {
    let saved = Checkpointed::at_an_end();
    let fit = |epochs: usize| quiet().max_epochs(epochs).ckpt_path(saved.path()).fit(Line::new(), line_data(8, 2)).unwrap();
    assert_eq!((fit(2).stop, fit(2).progress.global_step), (Stop::MaxEpochs(2), 8));
    assert_eq!((fit(3).stop, fit(3).progress.global_step), (Stop::MaxEpochs(3), 12));
}

#[test]
fn a_limit_below_the_progress_of_the_checkpoint_is_refused() {
    let data = || line_data(8, 2);
    let errors = [
        Checkpointed::at_an_end().refused(quiet().max_epochs(1), Line::new(), data()),
        Checkpointed::after(6).refused(quiet().max_epochs(1), Line::new(), data()),
        Checkpointed::after(6).refused(quiet().max_steps(5), Line::new(), data()),
    ];
    assert_snapshot!(errors.concat(), @"
    `max_epochs`: 1 is less than the 2 epochs that `[folder]/a.ckpt` has completed
      hint: raise it, or resume from an earlier checkpoint
    `max_epochs`: 1 is less than the 2 epochs that `[folder]/a.ckpt` has begun
      hint: raise it, or resume from an earlier checkpoint
    `max_steps`: 5 is less than the 6 steps that `[folder]/a.ckpt` has done
      hint: raise it, or resume from an earlier checkpoint
    ");
}

#[test]
fn the_data_may_only_change_between_epochs() {
    let saved = Checkpointed::after(6);
    let others = [line_data(10, 2), line_data(8, 3), line_data(8, 2).shuffle(true), Loader::from_fn(|_| std::iter::from_fn(|| None))];
    assert_snapshot!(others.map(|data| saved.refused(quiet().max_epochs(3), Line::new(), data)).concat(), @"
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it has 10 items, the checkpoint's had 8
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it has 3 batches an epoch, the checkpoint's had 4
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it is shuffled, the checkpoint's was not shuffled
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it has an unknown number of items, the checkpoint's had 8
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    ");
    // The number of workers may change.
    let fit = quiet().max_epochs(3).ckpt_path(saved.path()).fit(Line::new(), line_data(8, 2).workers(2)).unwrap();
    assert_eq!(fit.progress.global_step, 12);

    let saved = Checkpointed::at_an_end();
    let fit = quiet().max_epochs(3).ckpt_path(saved.path()).fit(Line::new(), line_data(10, 2)).unwrap();
    assert_eq!(fit.progress.global_step, 8 + 5);
}

#[test]
fn another_shuffle_seed_is_refused_in_mid_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let data = || line_data(8, 2).shuffle(true);
    let _ = quiet().seed(1).max_epochs(1).callback(SaveAfter(2, path.clone())).fit(Line::new(), data()).unwrap();
    let again = |trainer: Trainer<Line>| trainer.max_epochs(1).ckpt_path(&path).fit(Line::new(), data());
    let _ = again(quiet().seed(1)).unwrap();
    let _ = again(quiet()).unwrap();
    assert_snapshot!(shown(&error_text(again(quiet().seed(2))), &folder), @"
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it is shuffled with another `seed` than the checkpoint's
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    ");
}

/// The numbers of items and batches are the same.
#[test]
fn other_batches_of_as_many_items_are_refused_in_mid_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let weighted = |last: f64| line_data(9, 5).sampler(WeightedSampler::new([[1.0; 8].as_slice(), &[last]].concat()));
    let errors = [(line_data(9, 5), line_data(9, 6)), (weighted(1.0), weighted(9.0))].map(|(saved, other)| {
        let save = SaveAfter(1, path.clone());
        let _ = quiet().seed(1).max_epochs(1).callback(save).fit(Line::new(), saved.clone()).unwrap();
        let again = |data| quiet().max_epochs(1).ckpt_path(&path).fit(Line::new(), data);
        let _ = again(saved).unwrap();
        shown(&error_text(again(other)), &folder)
    });
    assert_snapshot!(errors.join("\n"), @r"
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: its loader has batch_size 6, shuffle false, seed none, drop_last false, the checkpoint's had batch_size 5, shuffle false, seed none, drop_last false
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    checkpoint `[folder]/a.ckpt`: it was written in the middle of an epoch, and the training data is not the same: its loader has batch_size 5, shuffle false, seed 1, drop_last false, sampler 7cea9b9848114825, the checkpoint's had batch_size 5, shuffle false, seed 1, drop_last false, sampler 06fb8a89fcd725b5
      hint: resume with the data it was written with, or from a checkpoint that was written at the end of an epoch
    ");
}

/// A line that logs its learning rate as a setting.
#[derive(Module, Debug)]
struct Rated {
    line: Line,
    #[module(skip)]
    lr: f64,
}

impl LightningModule for Rated {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), self.lr).into())
    }

    fn hparams(&self) -> Result<Value> {
        Ok(serde_json::json!({ "lr": self.lr }))
    }
}

#[test]
fn a_continued_log_has_the_settings_of_the_newest_start() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |epochs, lr| {
        let mut trainer = Trainer::new().default_root_dir(folder.path()).max_epochs(epochs).ckpt_path("last");
        trainer = trainer.enable_progress_bar(false).enable_model_summary(false);
        let _ = trainer.fit(Rated { line: Line::new(), lr }, line_data(4, 2)).unwrap();
        std::fs::read_to_string(folder.path().join("lightning_logs/version_0/hparams.yaml")).unwrap()
    };
    assert_eq!([fit(1, 0.1), fit(2, 0.1), fit(3, 0.5)], ["lr: 0.1\n", "lr: 0.1\n", "lr: 0.5\n"]);
}

/// A line with other optimizers.
#[derive(Module, Debug)]
struct Other {
    line: Line,
    #[module(skip)]
    optimizers: fn() -> Optimizers,
}

impl LightningModule for Other {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok((self.optimizers)())
    }
}

fn sgd() -> Optimizer {
    Optimizer::new(SgdConfig::new(), 0.01)
}

#[test]
fn a_different_module_is_refused_with_all_its_paths() {
    let saved = Checkpointed::after(6);
    let mut wide = Line::new();
    wide.layer = LinearConfig::new(2, 3).init(&Device::flex());
    let other = Other { line: Line::new(), optimizers: || sgd().into() };
    let errors =
        [saved.refused(quiet().max_epochs(2), wide, line_data(8, 2)), saved.refused(quiet().max_epochs(2), other, line_data(8, 2))];
    assert_snapshot!(errors.concat(), @r#"
    `[folder]/a.ckpt`: the weights do not fit the module: 0 parameters loaded; 2 that do not fit: `layer.weight` (f32 [1, 1] in the file, f32 [2, 3] in the module), `layer.bias` (f32 [1] in the file, f32 [3] in the module)
      hint: build the module as it was when it was saved; `rename` maps other names, `strict(false)` loads what fits
    `[folder]/a.ckpt`: the weights do not fit the module: 0 parameters loaded; 2 missing: `line.layer.weight`, `line.layer.bias`; 2 unexpected: `layer.bias`, `layer.weight`
      hint: build the module as it was when it was saved; most names fit with `LoadOptions::rename(r"^", "line.")`, and `strict(false)` loads what fits
    "#);
}

#[test]
fn a_refused_resume_reports_its_error_without_warnings_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let trainer = |root: &str| {
        let trainer = Trainer::new().default_root_dir(folder.path().join(root)).enable_checkpointing(false).log_every_n_steps(1);
        trainer.enable_progress_bar(false).enable_model_summary(false)
    };
    let mut first = trainer("first").max_epochs(1);
    let fit = first.fit(Line::new(), line_data(8, 2)).unwrap();
    first.save_checkpoint(&fit.module, &path).unwrap();
    let warnings = |module: Line| {
        let mut second = trainer("second").max_epochs(2).ckpt_path(&path);
        let lines = told(|| drop(second.fit(module, line_data(6, 2))));
        lines.into_iter().filter(|line| line.starts_with("WARN")).map(|line| shown(&line, &folder) + "\n").collect::<String>()
    };
    let mut wide = Line::new();
    wide.layer = LinearConfig::new(2, 3).init(&Device::flex());
    assert_eq!(warnings(wide), "");
    assert_snapshot!(warnings(Line::new()), @"
    WARN the logs of the checkpoint's run are not in `[folder]/second/lightning_logs/version_0`: a new version starts
    WARN the training data is not that of the checkpoint: it has 6 items, the checkpoint's had 8
    ");
}

#[test]
fn other_optimizers_and_schedules_are_refused() {
    type Configure = fn() -> Optimizers;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let fit = |optimizers: Configure, from: Option<&Path>| {
        let trainer = quiet().max_epochs(2).callback(SaveAfter(6, path.clone()));
        let trainer = match from {
            Some(from) => trainer.ckpt_path(from),
            None => trainer,
        };
        let mut trainer = trainer;
        trainer.fit(Other { line: Line::new(), optimizers }, line_data(8, 2))
    };
    let stepped = || sgd().schedule(StepLrSchedulerConfig::new(0.01, 1));
    let plain: Configure = || sgd().into();
    let scheduled: Configure = || sgd().schedule(StepLrSchedulerConfig::new(0.01, 1)).into();
    let falling: Configure = || sgd().schedule(ExponentialLrSchedulerConfig::new(0.01, 0.9)).into();
    let watching: Configure = || sgd().schedule(Schedule::new(ReduceLrOnPlateau::new()).monitor("val_loss").strict(false)).into();
    let adam: Configure = || Optimizer::new(AdamConfig::new(), 0.01).into();
    let adam_named_sgd: Configure = || Optimizer::new(AdamConfig::new(), 0.01).named("SGD").into();
    let two: Configure = || [sgd(), sgd().named("second")].into();
    assert_eq!(stepped().name(), "SGD");

    let refused = |(saved, now): (Configure, Configure)| {
        let _ = fit(saved, None).unwrap();
        shown(&error_text(fit(now, Some(&path))), &folder) + "\n"
    };
    let changes = [
        (plain, adam),
        (adam, plain),
        (adam, adam_named_sgd),
        (plain, two),
        (plain, scheduled),
        (scheduled, plain),
        (scheduled, watching),
        (watching, scheduled),
        (scheduled, falling),
    ];
    assert_snapshot!(changes.map(refused).concat(), @"
    checkpoint `[folder]/a.ckpt`: optimizer `Adam`: the checkpoint has `SGD`, in this order; `configure_optimizers` returns `Adam`
      hint: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `SGD`: the checkpoint has `Adam`, in this order; `configure_optimizers` returns `SGD`
      hint: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `SGD`: the checkpoint has `Adam`, in this order; `configure_optimizers` returns `SGD`
      hint: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `second`: the checkpoint has `SGD`, in this order; `configure_optimizers` returns `SGD`, `second`
      hint: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `SGD`: it has a schedule, but the checkpoint has none for it
      hint: remove the schedule to continue, or load the weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `SGD`: the checkpoint has a schedule for it, but none is configured
      hint: add `Optimizer::schedule` as it was, or load the weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `SGD`: the checkpoint has the state of another schedule: a scheduler of burn instead of a `ReduceLrOnPlateau`
      hint: configure the schedule as it was when the checkpoint was saved, or load the weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `SGD`: the checkpoint has the state of another schedule: a `ReduceLrOnPlateau` instead of a scheduler of burn
      hint: configure the schedule as it was when the checkpoint was saved, or load the weights alone
    checkpoint `[folder]/a.ckpt`: optimizer `SGD`: the checkpoint has the state of another schedule: `0.iter_idx` instead of `0.previous_lr`
      hint: configure the schedule as it was when the checkpoint was saved, or load the weights alone
    ");
}

#[test]
fn an_unusable_checkpoint_is_refused() {
    let saved = Checkpointed::after(6);
    let whole = std::fs::read(saved.path()).unwrap();
    let refused = || saved.refused(quiet().max_epochs(2), Line::new(), line_data(8, 2));

    let mut trainer = quiet().max_epochs(1);
    let fit = trainer.fit(Line::new(), line_data(8, 2)).unwrap();
    trainer.save_weights(&fit.module, saved.path()).unwrap();
    assert_snapshot!(refused(), @"
    checkpoint `[folder]/a.ckpt`: it contains only weights, so a fit cannot resume from it
      hint: start a new fit from its weights with `LightningModule::load_weights`, or save without `save_weights_only`
    ");

    let good = saved.folder.path().join("good.ckpt");
    std::fs::write(&good, &whole).unwrap();
    std::fs::write(saved.path(), &whole[..whole.len() - 10]).unwrap();
    insta::with_settings!({ filters => [(r"\d{3,}", "[bytes]")] }, {
        assert_snapshot!(refused(), @"
        checkpoint `[folder]/a.ckpt`: it is cut off: it has [bytes] bytes and needs at least [bytes]
          hint: the newest good checkpoint in its folder is `[folder]/good.ckpt`
        ");
    });

    std::fs::remove_file(saved.path()).unwrap();
    assert_snapshot!(refused(), @"
    checkpoint `[folder]/a.ckpt`: there is no such file
      hint: the newest good checkpoint in its folder is `[folder]/good.ckpt`
    ");
    std::fs::remove_file(good).unwrap();
    assert_snapshot!(refused(), @"
    checkpoint `[folder]/a.ckpt`: there is no such file
      hint: check the path; a relative one starts at the current folder
    ");

    std::fs::write(saved.path(), "loss,step\n").unwrap();
    assert_snapshot!(refused(), @"
    checkpoint `[folder]/a.ckpt`: it is not a checkpoint: it is not a safetensors file
      hint: give a `.ckpt` file that Stormfire wrote
    ");
}

#[test]
fn a_metric_with_another_reduction_is_refused() {
    /// Logs the loss with the given reduction.
    #[derive(Module, Debug)]
    struct Logs {
        line: Line,
        #[module(skip)]
        reduce_fx: ReduceFx,
    }
    impl LightningModule for Logs {
        type Batch = Batch;
        fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
            let loss = self.line.loss(batch);
            self.log("loss", &loss).on_step(false).on_epoch(true).reduce_fx(self.reduce_fx);
            Ok(loss.into())
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            Ok(sgd().into())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let logs = |reduce_fx| Logs { line: Line::new(), reduce_fx };
    let logger = MemoryLogger::new();
    let _ = recording(&logger).max_epochs(1).callback(SaveAfter(2, path.clone())).fit(logs(ReduceFx::Sum), line_data(8, 2)).unwrap();
    let error = error_text(recording(&logger).max_epochs(1).ckpt_path(&path).fit(logs(ReduceFx::Mean), line_data(8, 2)));
    assert_snapshot!(shown(&error, &folder), @"
    `loss` was logged twice in `training_step` with different arguments
      hint: use the same arguments, or two names
    ");
    let _ = recording(&logger).max_epochs(1).ckpt_path(&path).fit(logs(ReduceFx::Sum), line_data(8, 2)).unwrap();
}
