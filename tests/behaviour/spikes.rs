//! Spikes of the loss: skipped steps, a stop, and the batches that a resumed fit leaves out.

use std::path::Path;

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{Error, prelude::*, ranks::threads};

use crate::{
    devices::{
        net::{Digits, Net, digits},
        values,
    },
    files::names,
    support::quiet,
};

/// The net with a loss that is 1,000 times as large in one batch of the first epoch.
#[derive(Module, Debug)]
struct Spiky {
    net: Net,
    #[module(skip)]
    at: usize,
}

const NEVER: usize = usize::MAX;

impl LightningModule for Spiky {
    type Batch = Digits;

    fn training_step(&self, batch: Digits, batch_idx: usize) -> Result<StepOutput> {
        let rank = self.global_rank();
        let position = batch_idx * self.world_size() + rank;
        let loss = burn::nn::loss::CrossEntropyLossConfig::new().init(&batch.points.device());
        let loss = loss.forward(self.net.logits(batch.points), batch.classes);
        let loss = if self.current_epoch() == 0 && position == self.at { loss * 1000.0 } else { loss };
        self.log("train_loss", &loss).on_step(false).on_epoch(true);
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.net.configure_optimizers()
    }
}

fn spiky(at: usize) -> Spiky {
    Spiky { net: Net::new(), at }
}

fn leaves_out(batches: &'static [usize]) -> LambdaCallback<Spiky> {
    LambdaCallback::new().on_fit_start(move |ctx, _| {
        for batch in batches {
            ctx.leave_out(0, *batch);
        }
        Ok(())
    })
}

/// The weights, steps and mean loss at the end of two epochs of eight batches.
fn ended(module: Spiky, set: impl FnOnce(Trainer<Spiky>) -> Trainer<Spiky>) -> (Vec<f32>, u64, Vec<f64>) {
    let fit = set(quiet().max_epochs(2).seed(1).handle_signals(false)).fit(module, digits(32, 4)).unwrap();
    let losses = fit.metrics.iter().filter(|(name, _)| name.contains("loss")).map(|(_, value)| value).collect();
    (values(&fit.module), fit.progress.global_step, losses)
}

fn detects(action: SpikeAction) -> SpikeDetection {
    SpikeDetection::new(action)
}

/// The law: a step that is skipped is one whose batches are left out.
#[test]
fn a_skipped_spike_leaves_no_trace() {
    let left_out = ended(spiky(NEVER), |trainer| trainer.callback(leaves_out(&[5])));
    assert_eq!(left_out.1, 15);
    let skipped = ended(spiky(5), |trainer| trainer.callback(detects(SpikeAction::Skip)));
    assert_eq!(skipped, left_out);
    let windows = ended(spiky(NEVER), |trainer| trainer.accumulate_grad_batches(2).callback(leaves_out(&[4, 5])));
    assert_eq!(windows.1, 7);
    assert_eq!(ended(spiky(5), |trainer| trainer.accumulate_grad_batches(2).callback(detects(SpikeAction::Skip))), windows);
    let without = ended(spiky(5), |trainer| trainer);
    assert_ne!(without.0, left_out.0);
    assert_eq!(without, ended(spiky(5), |trainer| trainer.callback(detects(SpikeAction::Warn))), "a warning changes nothing");
}

#[test]
fn a_mixed_precision_skips_too() {
    let set = |trainer: Trainer<Spiky>| trainer.precision("bf16-mixed");
    let left_out = ended(spiky(NEVER), |trainer| set(trainer).callback(leaves_out(&[5])));
    assert_eq!(ended(spiky(5), |trainer| set(trainer).callback(detects(SpikeAction::Skip))), left_out);
}

#[test]
fn ranks_skip_together() {
    // One rank with windows of two batches, whose mean has the spike.
    let one = ended(spiky(5), |trainer| trainer.accumulate_grad_batches(2).callback(detects(SpikeAction::Skip)));
    let ranks = threads::run(2, |_| {
        let module = Spiky { net: Net::new().of_its_own(), at: 5 };
        Ok::<_, Error>(ended(module, |trainer| trainer.callback(detects(SpikeAction::Skip))))
    });
    let ranks: Vec<_> = ranks.into_iter().map(Result::unwrap).collect();
    assert_eq!((one.1, &ranks[0].0, &ranks[1].0), (7, &one.0, &one.0));
    assert_eq!(ranks[0].1, 7);
}

fn saving(folder: &Path) -> Trainer<Spiky> {
    Trainer::new()
        .default_root_dir(folder)
        .logger(stormfire::CsvLogger::new(folder))
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .handle_signals(false)
        .max_epochs(2)
        .seed(1)
        .callback(ModelCheckpoint::new().every("2 steps").save_top_k(SaveTopK::All))
        .callback(detects(SpikeAction::Stop))
}

#[test]
fn a_stop_saves_nothing_bad_and_a_resumed_fit_passes_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let fit = saving(folder.path()).fit(spiky(5), digits(32, 4)).unwrap();
    let Stop::Requested(stop) = &fit.stop else { panic!("{}", fit.stop) };
    insta::with_settings!({ filters => [(r"is [-\d.e]+", "is [loss]")] }, {
        assert_snapshot!(stop.reason, @"a spike at step 5 (epoch 0, batch 5): the loss is [loss], and the mean before it is [loss]");
    });
    assert_eq!(fit.progress.global_step, 6);
    let run = folder.path().join("lightning_logs/version_0");
    let saved = names(&run.join("checkpoints"));
    assert!(saved.iter().any(|name| name.contains("step=4")) && !saved.iter().any(|name| name.contains("step=6")), "{saved:?}");
    let mut resumed = saving(folder.path()).ckpt_path("last");
    let resumed = resumed.fit(spiky(5), digits(32, 4)).unwrap();
    let left_out = ended(spiky(NEVER), |trainer| trainer.callback(leaves_out(&[5])));
    assert_eq!((values(&resumed.module), resumed.progress.global_step), (left_out.0, left_out.1));
    // The list is in the checkpoints from then on.
    std::fs::remove_file(run.join("spikes.json")).unwrap();
    let again = saving(folder.path()).ckpt_path("last").max_epochs(3).fit(spiky(5), digits(32, 4)).unwrap();
    assert_eq!(again.progress.batches, 24);
}

#[test]
fn a_callback_that_skips_must_say_so() {
    let skips = LambdaCallback::new().on_before_optimizer_step(|ctx: &mut Context<'_>, _: &mut Spiky, _, _| {
        ctx.skip_step("it is Monday");
        Ok(())
    });
    let error: Error = quiet().callback(skips).fit(spiky(NEVER), digits(8, 4)).unwrap_err();
    assert_snapshot!(error, @"`skip_step`: no callback says that it skips steps (in `training_step` of `Spiky`, epoch 0, batch 0)");
}
