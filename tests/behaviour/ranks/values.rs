//! Logged values of several ranks.

use std::sync::{Arc, Mutex};

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{
    Error,
    loggers::{Call, MemoryLogger},
    metrics::{aggregation::Mean, classification::Multiclass},
    prelude::*,
    ranks::threads,
};

use crate::support::{Batch, Line, line_data, quiet, recording};

/// Logs what depends on the rank and the batch.
#[derive(Module, Debug)]
struct Logs {
    line: Line,
}

/// The largest of many values, by a function of the user.
const LARGEST: ReduceFx = ReduceFx::Custom { name: "largest", reduce: |all| all.max() };

impl LightningModule for Logs {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let (rank, items) = (self.global_rank() as f64, batch.0.dims()[0]);
        let number = (batch_idx * self.world_size() + self.global_rank()) as f64;
        self.log("mean", number).on_step(true).on_epoch(true);
        self.log("sum", number).on_step(true).on_epoch(true).reduce_fx(ReduceFx::Sum);
        self.log("min", number).on_step(true).on_epoch(true).reduce_fx(ReduceFx::Min);
        self.log("max", number).on_step(true).on_epoch(true).reduce_fx(ReduceFx::Max);
        self.log("custom", number).on_step(true).on_epoch(true).reduce_fx(LARGEST);
        self.log("metric", Mean::new(number, items as f64)).on_step(true).on_epoch(true);
        let scores = Tensor::<1>::from_floats([0.0, 1.0, 2.0, 3.0, 4.0], &Device::flex()).sub_scalar(number).abs().neg().reshape([1, 5]);
        let classes = Multiclass::from_logits(&scores, &Tensor::<1, Int>::from_ints([number as i32 % 2], &Device::flex()))?;
        self.log("recall", classes.counts().recall().per_class()).on_step(false).on_epoch(true);
        self.log("auroc", classes.exact_curves().auroc().per_class()).on_step(false).on_epoch(true);
        self.log("confusion", classes.confusion());
        self.log("own", rank).on_step(true).on_epoch(true).sync_dist(false);
        self.log("zero", rank + 5.0).on_step(true).on_epoch(true).rank_zero_only(true);
        if self.global_rank() == 1 {
            self.log("one", number).on_step(true).on_epoch(true);
        }
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.line.validation_step(batch, 0)
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        ctx.log("late", 10.0 * self.global_rank() as f64);
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

fn logs() -> Logs {
    Logs { line: Line { layer: Line::fixed().layer.valid() } }
}

#[test]
fn values_are_reduced_over_the_ranks() {
    let loggers = [MemoryLogger::new(), MemoryLogger::new(), MemoryLogger::new()];
    // Four batches of two items, and one of one item, on three ranks.
    let ended = threads::run(3, |rank| {
        let trainer = recording(&loggers[rank]).max_epochs(1).log_every_n_steps(1).handle_signals(false);
        Ok::<_, Error>(trainer.num_sanity_val_steps(0).fit(logs(), line_data(9, 2))?.metrics)
    });
    let metrics: Vec<_> = ended.into_iter().map(|ended| ended.unwrap()).collect();
    let of = |name: &str| loggers[0].rows().into_iter().filter(|(known, ..)| known == name).map(|(_, value, _)| value).collect::<Vec<_>>();
    // Steps: batches 0, 1, 2; then 3 and 4, the last of which has one item.
    let steps = [
        ("mean", [1.0, 10.0 / 3.0]),
        ("metric", [1.0, 10.0 / 3.0]),
        ("sum", [3.0, 7.0]),
        ("min", [0.0, 3.0]),
        ("max", [2.0, 4.0]),
        ("custom", [2.0, 4.0]),
        ("own", [0.0, 0.0]),
        ("zero", [5.0, 5.0]),
        // A name that only rank 1 logs.
        ("one", [1.0, 4.0]),
    ];
    for (name, values) in steps {
        let logged = of(&format!("{name}_step"));
        assert!(logged.len() == 2 && logged.iter().zip(values).all(|(a, b)| (a - b).abs() < 1e-12), "{name}: {logged:?}");
    }
    let epoch = [
        ("mean_epoch", 16.0 / 9.0),
        ("metric_epoch", 16.0 / 9.0),
        ("sum_epoch", 10.0),
        ("min_epoch", 0.0),
        ("max_epoch", 4.0),
        ("custom_epoch", 4.0),
        // One prediction of each class; the targets are 0, 1, 0, 1, 0.
        ("recall/class_0", 1.0 / 3.0),
        ("recall/class_1", 0.5),
        ("recall/class_4", 0.0),
        ("auroc/class_1", 2.0 / 3.0),
        ("own_epoch", 0.0),
        ("zero_epoch", 5.0),
        ("one_epoch", 2.0),
        ("late", 10.0),
    ];
    for (name, value) in epoch {
        let logged = of(name);
        assert!(logged.len() == 1 && (logged[0] - value).abs() < 1e-12, "{name}: {logged:?}");
        for (rank, metrics) in metrics.iter().enumerate().filter(|(rank, _)| *rank == 0 || !["own_epoch", "zero_epoch"].contains(&name)) {
            let found = metrics.get(name);
            assert!(found.is_some_and(|found| (found - value).abs() < 1e-12), "{name} on rank {rank}: {found:?}");
        }
    }
    assert_eq!(metrics[2].get("own_epoch"), Some(2.0), "each rank keeps its own value");
    assert_eq!(metrics[2].get("zero_epoch"), None, "only rank 0 logs it");
    assert!(loggers[1].rows().is_empty() && loggers[2].rows().is_empty());
    let table = |call: Call| if let Call::Table { tag, table, .. } = call { Some((tag, table.rows().to_vec())) } else { None };
    let tables: Vec<_> = loggers[0].calls().into_iter().filter_map(table).collect();
    let count = tables.iter().flat_map(|(_, rows)| rows.iter().flatten()).filter_map(stormfire::loggers::Value::as_f64).sum::<f64>();
    assert!(tables.len() == 1 && tables[0].0 == "confusion_table" && (count - 5.0).abs() < 1e-12, "{tables:?}");
}

/// The values of `late` that each rank's monitors have seen.
#[derive(Clone, Default)]
struct Sees(Arc<Mutex<Vec<(usize, f64, f64)>>>);

impl Callback<Logs> for Sees {
    fn order(&self) -> stormfire::module::Order {
        stormfire::module::Order::Watch
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut Logs) -> Result<()> {
        let seen = (module.global_rank(), ctx.metric("late")?, ctx.metric("mean_epoch")?);
        self.0.lock().unwrap().push(seen);
        Ok(())
    }
}

#[test]
fn a_monitor_sees_the_same_on_every_rank() {
    let sees = Sees::default();
    let ended = threads::run(2, |_| {
        let stop = EarlyStopping::new("late").patience(1);
        let trainer = quiet().max_epochs(5).handle_signals(false).callback(sees.clone()).callback(stop);
        trainer.num_sanity_val_steps(0).fit(logs(), line_data(8, 2)).map(|fit| (fit.stop, fit.progress.epoch))
    });
    let stops: Vec<_> = ended.into_iter().map(|ended| ended.unwrap()).collect();
    assert_eq!(stops[0], stops[1]);
    assert_eq!(stops[0].1, 2, "the second value is not better");
    let mut all = sees.0.lock().unwrap().clone();
    all.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(all, [(0, 5.0, 1.5), (0, 5.0, 1.5), (1, 5.0, 1.5), (1, 5.0, 1.5)]);
}

/// Reduces the rate by a metric that differs from rank to rank.
#[derive(Module, Debug)]
struct Plateau {
    line: Line,
}

impl LightningModule for Plateau {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let falls = 100.0 - batch_idx as f64;
        self.log("own", if self.global_rank() == 0 { falls } else { 1.0 });
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let schedule = Schedule::new(ReduceLrOnPlateau::new().patience(1).factor(0.5)).monitor("own").every(Every::Steps(1));
        Ok(Optimizer::new(burn::optim::SgdConfig::new(), 0.1).schedule(schedule).into())
    }
}

#[test]
fn schedules_follow_rank_zero() {
    let ended = threads::run(2, |_| {
        let module = Plateau { line: Line { layer: Line::fixed().layer.valid() } };
        let fit = quiet().max_epochs(1).handle_signals(false).fit(module, line_data(32, 2))?;
        Ok::<_, Error>(crate::devices::values(&fit.module))
    });
    let weights: Vec<_> = ended.into_iter().map(|ended| ended.unwrap()).collect();
    assert_eq!(weights[0], weights[1]);
}

/// Sleeps on rank 1.
#[derive(Module, Debug)]
struct Slow {
    line: Line,
}

impl LightningModule for Slow {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        if self.global_rank() == 1 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(self.line.loss(batch).into())
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        if self.is_global_zero() {
            let shown = ctx.progress_bar_metrics();
            let of = |name: &str| shown.iter().find(|(known, _)| known == name).and_then(|(_, value)| *value);
            assert_eq!(of("slowest_rank"), Some(1.0), "{shown:?}");
            assert!(of("wait_for_it").is_some_and(|share| share > 0.0), "{shown:?}");
        }
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn the_slowest_rank_is_shown() {
    let ended = threads::run(2, |_| {
        let module = Slow { line: Line { layer: Line::fixed().layer.valid() } };
        let trainer = recording(&MemoryLogger::new()).max_epochs(1).log_every_n_steps(1).handle_signals(false);
        trainer.num_sanity_val_steps(0).fit(module, line_data(16, 2)).map(drop)
    });
    for ended in ended {
        ended.unwrap();
    }
}

/// Logs on later ranks only.
#[derive(Module, Debug)]
struct Late {
    line: Line,
    #[module(skip)]
    is_metric: bool,
}

impl LightningModule for Late {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let rank = self.global_rank() as f64;
        if rank > 0.0 && self.is_metric {
            self.log("metric", Mean::new(rank, 1.0)).on_step(false).on_epoch(true);
        } else if rank > 0.0 {
            self.log("min", rank).on_step(false).on_epoch(true).reduce_fx(ReduceFx::Min);
            self.log("max", rank).on_step(false).on_epoch(true).reduce_fx(ReduceFx::Max);
            self.log("sum", rank).on_step(false).on_epoch(true).reduce_fx(ReduceFx::Sum);
        }
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn values_of_later_ranks_are_reduced_or_refused_by_name() {
    let fit = |is_metric| {
        threads::run(3, |_| {
            let module = Late { line: Line { layer: Line::fixed().layer.valid() }, is_metric };
            let trainer = recording(&MemoryLogger::new()).max_epochs(1).handle_signals(false);
            trainer.num_sanity_val_steps(0).fit(module, line_data(12, 2)).map(|fit| fit.metrics)
        })
    };
    for metrics in fit(false) {
        let metrics = metrics.unwrap();
        for (name, value) in [("min", 1.0), ("max", 2.0), ("sum", 6.0)] {
            assert_eq!(metrics.get(name), Some(value), "{name}");
        }
    }
    let errors: Vec<_> = fit(true).into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors[0], @"`log`: the values of `metric` in `training_step` on several ranks cannot be reduced: they differ in kind");
}
