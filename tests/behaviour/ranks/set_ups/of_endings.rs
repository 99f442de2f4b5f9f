//! Interrupts, failures, and facts that must be the same on all ranks.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use burn::{module::Module, nn::Linear, optim::SgdConfig};
use stormfire::{Error, loggers::MemoryLogger, prelude::*, ranks::threads};

use super::{FailsIn, Odd, fit, linear, on_ranks, same};
use crate::{
    child::{folder, part, play},
    devices::{
        self,
        net::{Net, digits},
    },
    support::{Batch, line_data, quiet, recording},
};

/// Sends an interrupt on rank 0, at a batch of the training or of the validation.
pub(super) struct Interrupts {
    pub(super) hook: &'static str,
    pub(super) at: Arc<Mutex<usize>>,
}

impl<M: LightningModule> Callback<M> for Interrupts {
    fn on_event(&mut self, _ctx: &mut Context<'_>, module: &mut M, event: &mut stormfire::module::Event<'_, M::Batch>) -> Result<()> {
        if event.hook().name() == self.hook && module.global_rank() == 0 {
            let mut at = self.at.lock().unwrap();
            if *at == 0 {
                crate::signals::kill_self("INT");
            }
            *at = at.wrapping_sub(1);
        }
        Ok(())
    }
}

/// Helper test for a child process, because it raises signals.
#[test]
#[ignore = "a part of `an_interrupt_resumes_exactly`"]
fn is_interrupted() {
    if folder().is_none() {
        return;
    }
    let mut failed = Vec::new();
    for (hook, at) in [
        ("on_train_batch_end", 0),
        ("on_train_batch_end", 2),
        ("on_train_batch_end", 3),
        ("on_validation_batch_end", 0),
        ("on_validation_batch_end", 1),
        ("on_before_optimizer_step", 1),
        ("on_train_epoch_end", 0),
    ] {
        for window in [1, 2] {
            for world in [1, 2] {
                let folder = tempfile::tempdir().unwrap();
                let run = |logger: &MemoryLogger, set: &(dyn Fn(Trainer<Net>) -> Trainer<Net> + Sync)| {
                    threads::run(world, |rank| {
                        let own = MemoryLogger::new();
                        let trainer = recording(if rank == 0 { logger } else { &own }).max_epochs(2).accumulate_grad_batches(window);
                        let trainer = trainer.num_sanity_val_steps(0).val_check_interval(Every::Steps(2)).log_every_n_steps(1);
                        let fit = set(trainer).fit(Net::new().normalised().of_its_own(), (digits(50, 4), digits(18, 4)))?;
                        Ok::<_, Error>((devices::values(&fit.module), fit.progress, fit.stop.to_string()))
                    })
                };
                let (whole_rows, cut_rows, rest_rows) = (MemoryLogger::new(), MemoryLogger::new(), MemoryLogger::new());
                let whole = run(&whole_rows, &|t| t);
                let count = Arc::new(Mutex::new(at));
                let cut = run(&cut_rows, &|t| {
                    t.callback(Interrupts { hook, at: Arc::clone(&count) }).callback(OnExceptionCheckpoint::new(folder.path()))
                });
                stormfire::forget_interrupt();
                let path = folder.path().join("on_exception.ckpt");
                let what = format!("{hook} {at}, window {window}, {world} ranks");
                if !path.exists() {
                    failed.push(format!("{what}: no checkpoint: {cut:?}"));
                    continue;
                }
                let rest = run(&rest_rows, &|t| t.ckpt_path(path.as_path()));
                let rest: Vec<_> = rest.into_iter().map(|e| e.map_err(|e| e.to_string())).collect();
                let whole: Vec<_> = whole.into_iter().map(|e| e.map_err(|e| e.to_string())).collect();
                if rest != whole {
                    let difference = match (&rest[0], &whole[0]) {
                        (Ok(a), Ok(b)) => {
                            let of = |r: std::ops::Range<usize>| r.map(|i| (a.0[i] - b.0[i]).abs()).fold(0.0, f32::max);
                            format!("weights {}, running {}", of(0..64), of(64..96))
                        }
                        _ => format!("{rest:?}"),
                    };
                    failed.push(format!("{what}: {difference}"));
                }
                let (all, tail) = (whole_rows.rows(), rest_rows.rows());
                let epochs = |rows: Vec<(String, f64, Option<u64>)>| {
                    rows.into_iter()
                        .filter(|(n, ..)| n.ends_with("_epoch"))
                        .map(|(n, v, s)| format!("{n} {s:?} {v:.9}"))
                        .collect::<Vec<_>>()
                };
                let (all, tail) = (epochs(all), epochs(tail));
                if all[all.len() - tail.len()..] != tail[..] {
                    let differing: Vec<_> = all[all.len() - tail.len()..].iter().zip(&tail).filter(|(a, b)| a != b).take(2).collect();
                    failed.push(format!("{what}: rows {differing:?}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn an_interrupt_resumes_exactly() {
    play(part("ranks::set_ups::of_endings::is_interrupted", tempfile::tempdir().unwrap().path()));
}

#[test]
fn a_checkpoint_of_an_exception_is_usable_with_another_number_of_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let data = || line_data(24, 2);
    let set = |t: Trainer<Odd>| t.max_epochs(1);
    let whole = on_ranks(2, "", data, |_, t| set(t)).remove(0).unwrap();
    let failed =
        on_ranks(2, "", data, |_, t| set(t).callback(FailsIn("on_train_epoch_end", 1)).callback(OnExceptionCheckpoint::new(folder.path())));
    assert!(failed.iter().all(Result::is_err));
    let path: &Path = &folder.path().join("on_exception.ckpt");
    let resumed = fit("", data(), |t| set(t.accumulate_grad_batches(2)).ckpt_path(path)).unwrap();
    assert_eq!(whole.progress, resumed.progress);
    assert_eq!(whole.weights, resumed.weights);
}

/// A copy of the weights that only rank 0 keeps.
#[derive(Default)]
struct Copies(Option<Odd>);

impl Callback<Odd> for Copies {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn on_train_epoch_end(&mut self, _ctx: &mut Context<'_>, module: &mut Odd) -> Result<()> {
        self.0 = Some(module.valid());
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        let saved: Saved = state::save(&self.0.is_some())?;
        Ok(self.0.iter().fold(saved, |saved, copy| saved.with_module("copy", copy)))
    }

    fn load_state(&mut self, mut saved: Saved) -> Result<()> {
        let mut is_some = false;
        state::load(&mut is_some, saved.take_json())?;
        self.0 = is_some.then(|| saved.load_module("copy", Odd::new(""))).transpose()?;
        Ok(())
    }
}

#[test]
fn a_callback_of_rank_zero_with_tensors_in_its_state() {
    let ended = on_ranks(2, "", || line_data(14, 2), |_, t| t.callback(Copies::default()));
    let errors: Vec<_> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn loaders_with_different_seeds_are_refused() {
    let ended = threads::run(2, |rank| fit("", line_data(24, 2).shuffle(true).seed(rank as u64), |t| t));
    assert!(ended.iter().all(Result::is_err), "each rank has another order, so batches are repeated and left out");
}

#[test]
fn loaders_with_different_orders_are_refused() {
    let ended = threads::run(2, |rank| fit("", line_data(24, 2).shuffle(rank == 0), |t| t));
    assert!(ended.iter().all(Result::is_err), "one rank shuffles");
}

#[test]
fn loaders_with_different_batch_sizes_are_refused() {
    // Two batches of each, with ten items.
    let ended = threads::run(2, |rank| fit("", line_data(10, 5 + rank), |t| t));
    assert!(ended.iter().all(Result::is_err), "batches of 5 and of 6");
}

#[derive(Module, Debug)]
struct OwnRate {
    layer: Linear,
}

impl LightningModule for OwnRate {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("rank", self.global_rank()).on_step(false).on_epoch(true);
        Ok((self.layer.forward(x) - y).powi_scalar(2).mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), if self.global_rank() == 0 { 0.1 } else { 0.2 }).into())
    }
}

#[test]
fn optimizers_that_differ_are_refused() {
    let ended = threads::run(2, |_| {
        let fit = quiet().max_epochs(1).handle_signals(false).fit(OwnRate { layer: linear(0.5) }, line_data(16, 2))?;
        Ok::<_, Error>(devices::values(&fit.module))
    });
    let weights: Vec<_> = ended.into_iter().filter_map(Result::ok).collect();
    assert!(weights.is_empty() || weights[0] == weights[1], "the ranks end with other weights, and nothing said so: {weights:?}");
}

#[test]
fn threads_of_ranks() {
    for (items, window) in [(26, 1), (22, 2), (9, 3)] {
        let data = || (line_data(items, 2), line_data(7, 2));
        let one = fit("", data(), |t| t.accumulate_grad_batches(2 * window)).unwrap();
        let two: Vec<_> =
            on_ranks(2, "", data, |_, t| t.accumulate_grad_batches(window).devices(2)).into_iter().map(|e| e.unwrap()).collect();
        same("devices(2)", &one, &two);
    }
}

/// Skips the rest of the first epoch at a batch.
struct Skips {
    at: usize,
    rank: usize,
    at_end: bool,
}

impl Callback<Odd> for Skips {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, module: &mut Odd, _batch: &Batch, batch_idx: usize) -> Result<()> {
        if !self.at_end && (batch_idx, ctx.current_epoch(), module.global_rank()) == (self.at, 0, self.rank) {
            ctx.skip_epoch();
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut Odd, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if self.at_end && (batch_idx, ctx.current_epoch(), module.global_rank()) == (self.at, 0, self.rank) {
            ctx.skip_epoch();
        }
        Ok(())
    }
}

#[test]
fn skipped_epochs_with_open_windows() {
    for window in [1, 2, 3] {
        for at in 0..5 {
            for at_end in [false, true] {
                for rank in [0, 1] {
                    let data = || (line_data(26, 2), line_data(7, 2));
                    // The last batch of the round, or the first one.
                    let of_one = if at_end { 2 * at + 1 } else { 2 * at };
                    let one =
                        fit("", data(), |t| t.accumulate_grad_batches(2 * window).callback(Skips { at: of_one, rank: 0, at_end })).unwrap();
                    let two: Vec<_> = on_ranks(2, "", data, |_, t| t.accumulate_grad_batches(window).callback(Skips { at, rank, at_end }))
                        .into_iter()
                        .map(|e| e.unwrap())
                        .collect();
                    same(&format!("window {window}, at {at}, end {at_end}, rank {rank}"), &one, &two);
                }
            }
        }
    }
}

#[test]
#[ignore = "sends a signal to the process: run it alone"]
fn an_interrupt_ends_a_prediction() {
    for world in [1, 2] {
        let seen = Arc::new(Mutex::new(0));
        let ended = threads::run(world, |_| {
            let (seen, at) = (Arc::clone(&seen), Arc::new(Mutex::new(0)));
            let counts = LambdaCallback::new().on_predict_batch_start(move |_ctx, _module: &mut Odd, _batch, _, _| {
                *seen.lock().unwrap() += 1;
                Ok(())
            });
            let trainer = quiet().callback(Interrupts { hook: "on_predict_batch_start", at }).callback(counts);
            { trainer }.predict(&Odd::new(""), line_data(200, 2)).map(drop)
        });
        stormfire::forget_interrupt();
        assert!(ended.iter().all(Result::is_err), "{world} ranks");
        assert!(*seen.lock().unwrap() < 10, "{world} ranks: {} batches begin", seen.lock().unwrap());
    }
}

#[test]
fn metrics_with_skipped_windows() {
    for (mode, window) in [("nan at 2", 1), ("nan at 1", 2)] {
        let data = || (line_data(14, 2), line_data(7, 2));
        let one = fit(mode, data(), |t| t.on_non_finite("skip:5").accumulate_grad_batches(3 * window)).unwrap();
        let three: Vec<_> = on_ranks(3, mode, data, |_, t| t.on_non_finite("skip:5").accumulate_grad_batches(window))
            .into_iter()
            .map(|e| e.unwrap())
            .collect();
        same(mode, &one, &three);
    }
}

#[test]
fn a_loader_that_fails_on_one_rank() {
    let data = || {
        line_data(24, 2).map(|(x, y): Batch| {
            assert!(x.clone().into_data().iter::<f32>().next().unwrap() < 0.6, "bad item");
            (x, y)
        })
    };
    let ended = on_ranks(2, "", data, |_, t| t);
    assert!(ended.iter().all(Result::is_err));
}
