//! Tests, manual steps, schedules, and further fits.

use burn::{data::dataset::InMemDataset, module::Module, nn::Linear, optim::SgdConfig, prelude::*};
use stormfire::{Error, data::random, loggers::MemoryLogger, prelude::*, ranks::threads};

use super::{FailsIn, Odd, fit, linear, on_ranks, same};
use crate::{
    devices,
    support::{Batch, Line, line_data, quiet, recording},
};

#[test]
fn a_test_of_modules_with_different_weights_is_that_of_rank_zero() {
    let expected = quiet().handle_signals(false).test(&Line { layer: linear(1.0) }, line_data(12, 2)).unwrap();
    let ended = threads::run(2, |rank| {
        quiet().handle_signals(false).test(&Line { layer: linear(if rank == 0 { 1.0 } else { 9.0 }) }, line_data(12, 2))
    });
    match &ended[0] {
        Ok(found) => {
            let (found, expected) = (found[0].get("test_loss").unwrap(), expected[0].get("test_loss").unwrap());
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        }
        Err(error) => eprintln!("refused: {error}"),
    }
}

#[test]
fn failures_in_late_hooks() {
    let mut failed = Vec::new();
    for hook in ["on_fit_end", "teardown", "prepare_data", "on_save_checkpoint", "on_sanity_check_end", "on_validation_batch_end"] {
        for failing in [0, 1] {
            let folder = tempfile::tempdir().unwrap();
            let ended = on_ranks(
                2,
                "",
                || (line_data(14, 2), line_data(7, 2)),
                |_, t| {
                    let save = ModelCheckpoint::new().dirpath(folder.path()).every(Every::Steps(1));
                    t.num_sanity_val_steps(1).enable_checkpointing(true).callback(save).callback(FailsIn(hook, failing))
                },
            );
            let errors: Vec<_> = ended.iter().map(|e| e.as_ref().err()).collect();
            let called = !(failing == 1 && ["prepare_data", "on_save_checkpoint"].contains(&hook));
            if called != ended.iter().all(Result::is_err) {
                failed.push(format!("{hook} {failing}: {errors:?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn random_batches_with_workers() {
    let data = |workers: usize| {
        let collate = |points: Vec<f32>, device: &Device| {
            let drawn = random().tensor::<2>([points.len(), 1], burn::tensor::Distribution::Normal(0.0, 1.0), device);
            let x = Tensor::<1>::from_floats(points.as_slice(), device).unsqueeze_dim::<2>(1) + drawn;
            (x.clone(), x * 2.0 + 1.0)
        };
        let points: Vec<f32> = (0..26).map(|i| i as f32 / 26.0).collect();
        let loader = || Loader::collate(InMemDataset::new(points.clone()), collate).batch_size(2).workers(workers).shuffle(true);
        (loader().map(|(x, y): Batch| (x + random().unit() as f32, y)), loader())
    };
    for workers in 0..4 {
        for world in [2, 3] {
            let one = fit("", data(0), |t| t.seed(3).accumulate_grad_batches(world)).unwrap();
            let several: Vec<_> = on_ranks(world, "", || data(workers), |_, t| t.seed(3)).into_iter().map(|e| e.unwrap()).collect();
            same(&format!("{workers} workers, {world} ranks"), &one, &several);
        }
    }
}

#[test]
fn monitors_of_a_validation_with_fewer_batches_than_ranks() {
    let data = || (line_data(14, 2), [line_data(2, 2), line_data(3, 2)]);
    let set = |t: Trainer<Odd>| t.max_epochs(20).callback(EarlyStopping::new("val/dataloader_idx_0").patience(1));
    let one = fit("", data(), |t| set(t.accumulate_grad_batches(3))).unwrap();
    let several: Vec<_> = on_ranks(3, "", data, |_, t| set(t)).into_iter().map(|e| e.unwrap()).collect();
    same("early stopping", &one, &several);
}

#[test]
fn results_of_a_test_are_the_same_on_all_ranks() {
    let loaders = || Loaders::from([line_data(9, 2), line_data(2, 2), line_data(5, 2)]);
    let one = quiet().handle_signals(false).test(&Odd::new(""), loaders()).unwrap();
    let ended = threads::run(3, |_| quiet().handle_signals(false).test(&Odd::new(""), loaders()));
    for (rank, several) in ended.into_iter().enumerate() {
        let several = several.unwrap();
        for (loader, (one, several)) in one.iter().zip(&several).enumerate() {
            let names = |m: &stormfire::loggers::Metrics| m.iter().map(|(n, v)| format!("{n} {v:.6}")).collect::<Vec<_>>();
            assert_eq!(names(one), names(several), "loader {loader}, rank {rank}");
        }
    }
}

/// Steps a schedule of the rate.
#[derive(Module, Debug)]
struct Scheduled {
    layer: Linear,
    #[module(skip)]
    mode: &'static str,
}

impl LightningModule for Scheduled {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok((self.layer.forward(x) - y).powi_scalar(2).mean().into())
    }

    fn validation_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val", (self.layer.forward(x) - y).powi_scalar(2).mean());
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let optimizer = Optimizer::new(SgdConfig::new(), 0.4);
        Ok(match self.mode {
            "plateau" => optimizer.schedule(Schedule::new(ReduceLrOnPlateau::new().patience(0).factor(0.5)).monitor("val")),
            "plateau steps" => {
                optimizer.schedule(Schedule::new(ReduceLrOnPlateau::new().patience(0).factor(0.5)).monitor("val").every(Every::Epochs(1)))
            }
            _ => {
                let steps = self.estimated_stepping_batches();
                optimizer.schedule(OneCycle::new(0.4, steps.unwrap_or(1)))
            }
        }
        .into())
    }
}

#[test]
fn schedules() {
    for mode in ["plateau", "plateau steps", "one cycle"] {
        for world in [2, 3] {
            let run = |window: usize| {
                let logger = MemoryLogger::new();
                let mut trainer = recording(&logger).max_epochs(4).handle_signals(false).accumulate_grad_batches(window);
                let fit = trainer.fit(Scheduled { layer: linear(0.5), mode }, (line_data(14, 2), line_data(3, 2)))?;
                Ok::<_, Error>((devices::values(&fit.module), fit.progress))
            };
            let one = run(world).unwrap();
            let several: Vec<_> = threads::run(world, |_| run(1)).into_iter().map(|e| e.unwrap()).collect();
            assert_eq!(several[0], several[world - 1], "{mode}");
            assert!(one.0.iter().zip(&several[0].0).all(|(a, b)| (a - b).abs() < 1e-6), "{mode}: {one:?} {several:?}");
            assert_eq!(one.1, several[0].1);
        }
    }
}

#[test]
fn max_steps_within_an_epoch_then_further() {
    for window in [1, 2] {
        let data = || line_data(26, 2);
        let whole = on_ranks(2, "", data, |_, t| t.accumulate_grad_batches(window)).remove(0).unwrap();
        let ended = threads::run(2, |_| {
            let mut trainer = quiet().max_epochs(2).max_steps(2).handle_signals(false).accumulate_grad_batches(window);
            let fit = trainer.fit(Odd::new(""), data())?;
            trainer.set_max_steps(100);
            let fit = trainer.fit_further(fit.module, data())?;
            Ok::<_, Error>((devices::values(&fit.module), fit.progress))
        });
        let ended: Vec<_> = ended.into_iter().map(|e| e.unwrap()).collect();
        assert_eq!(ended[0], ended[1]);
        assert_eq!(ended[0].1, whole.progress);
        assert_eq!(ended[0].0, whole.weights, "window {window}");
    }
}

#[test]
fn checkpoints_every_n_batches() {
    let root = tempfile::tempdir().unwrap();
    for (n, world) in [(2, 2), (4, 2), (3, 3)] {
        let run = |name: &str| {
            let folder = root.path().join(format!("{n}-{world}-{name}"));
            move |t: Trainer<Odd>| {
                let save = ModelCheckpoint::new().dirpath(&folder).every(Every::Batches(n)).save_top_k(SaveTopK::All).save_last(true);
                t.enable_checkpointing(true).callback(save)
            }
        };
        let data = || line_data(24, 2);
        let one = run("one");
        fit("", data(), |t| one(t.accumulate_grad_batches(world))).unwrap();
        let set = run("several");
        for ended in on_ranks(world, "", data, |_, t| set(t)) {
            ended.unwrap();
        }
        let names = |name: &str| crate::files::names(&root.path().join(format!("{n}-{world}-{name}")));
        assert_eq!(names("one"), names("several"), "every {n} batches on {world} ranks");
    }
}

#[test]
fn rank_zero_saves_alone_after_a_fit() {
    let folder = tempfile::tempdir().unwrap();
    let ended = threads::run(2, |rank| {
        let mut trainer = quiet().max_epochs(1).handle_signals(false);
        let fit = trainer.fit(Odd::new(""), line_data(14, 2))?;
        if rank == 0 {
            trainer.save_checkpoint(&fit.module, folder.path().join("end.ckpt"))?;
        }
        Ok::<_, Error>(())
    });
    assert!(ended.iter().all(Result::is_ok));
    assert!(folder.path().join("end.ckpt").exists());
}
