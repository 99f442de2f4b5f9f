use std::{cell::RefCell, path::Path, rc::Rc};

use burn::{lr_scheduler::module_lr_scheduler::ModuleLrScheduler, module::ParamGroup, nn::Linear, optim::SgdConfig, prelude::*};
use serde_json::Value;
use stormfire_data::{DataModule, Loader, Position};
use stormfire_module::{
    Callback, Context, Error, LightningModule, Result, StepOutput, Stepper,
    state::{self, Saved},
};
use stormfire_optim::{OneCycle, Optimizer, Optimizers, Schedule};
use stormfire_ranks::threads;
use stormfire_trainer::Trainer;
use stormfire_values::Every;

use crate::{Batch, Line, Net, alone, bits, line_data, mse, quiet};
use stormfire_tuner::{LrFind, Tuner};

/// The results of PyTorch, Lightning, `NumPy` and fastai: `xtask/python/tuner/lr_find.py`.
const ORACLE: &str = include_str!("lr_find.csv");

#[test]
fn losses_and_suggestions_are_those_of_lightning_with_its_mean_corrected() {
    let _alone = alone();
    let (first, rows) = ORACLE.split_once('\n').unwrap();
    let words: Vec<&str> = first.split(' ').collect();
    let [steepest, valley] = [words[2], words[4]].map(|word| word.parse::<f64>().unwrap());
    let rows: Vec<Vec<f64>> = rows.lines().map(|row| row.split(',').map(|cell| cell.parse().unwrap()).collect()).collect();
    let options = LrFind::new().min_lr(1e-4).max_lr(20.0).num_training(60);
    let curve = Tuner::new(&mut quiet().max_epochs(1)).lr_find(&Line::fixed(), line_data(12, 4), &options).unwrap();
    assert_eq!(curve.points().len(), rows.len());
    assert!(rows.len() < 60 && curve.end().contains("exceeds 4 times"), "{}", curve.end());
    for (point, row) in curve.points().iter().zip(&rows) {
        for (ours, theirs) in [point.rate, point.loss, point.smoothed].iter().zip(row) {
            assert!((ours / theirs - 1.0).abs() < 1e-4, "{point:?}: {row:?}");
        }
    }
    assert!((curve.steepest().unwrap() / steepest - 1.0).abs() < 1e-12, "{:?}: {steepest}", curve.steepest());
    assert!((curve.valley().unwrap() / valley - 1.0).abs() < 1e-12, "{:?}: {valley}", curve.valley());
    assert_eq!(curve.suggestion().unwrap().to_bits(), curve.valley().unwrap().to_bits());

    let folder = tempfile::tempdir().unwrap();
    curve.write(folder.path()).unwrap();
    let csv = std::fs::read_to_string(folder.path().join("lr_find.csv")).unwrap();
    assert_eq!((csv.lines().count(), csv.lines().next()), (rows.len() + 1, Some("learning_rate,loss,smoothed_loss")));
    let svg = std::fs::read_to_string(folder.path().join("lr_find.svg")).unwrap();
    assert!(svg.contains("valley 6.72e-2") && svg.contains("steepest 5.48e-2") && !svg.contains("NaN"), "{svg}");
}

/// Files with their contents.
type Files = Vec<(String, Vec<u8>)>;

/// Every file below a folder with its content, without times.
fn files(folder: &Path) -> Files {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                // Names of event files and contents of checkpoints have times and ids.
                let is_compared = path.extension().is_some_and(|extension| extension == "csv" || extension == "yaml");
                found.push(if is_compared {
                    (name, std::fs::read(&path).unwrap())
                } else {
                    (name.chars().filter(|c| !c.is_ascii_digit()).collect(), Vec::new())
                });
            }
        }
    }
    found.sort();
    found.iter_mut().filter(|(name, _)| name.ends_with("trainer.yaml")).for_each(|(_, content)| content.clear());
    found
}

/// A fit with default files, after the calls of a tuner or without them.
fn fit(seed: Option<u64>, tunes: bool) -> (Vec<u32>, f64, Files) {
    let folder = tempfile::tempdir().unwrap();
    Device::flex().seed(7);
    let mut trainer = Trainer::new().default_root_dir(folder.path()).max_epochs(2).log_every_n_steps(1).enable_progress_bar(false);
    trainer = trainer.enable_model_summary(false);
    if let Some(seed) = seed {
        trainer = trainer.seed(seed);
    }
    let module = Net::new();
    let data = || (line_data(24, 4).shuffle(true), line_data(8, 4));
    if tunes {
        let mut finder = Tuner::new(&mut trainer);
        finder.lr_find(&module, data(), &LrFind::new().num_training(20)).unwrap();
        finder.lr_find(&module, data(), &LrFind::new().num_training(20)).unwrap();
        let sized = |size| Ok((line_data(24, size), line_data(8, size)));
        assert_eq!(finder.scale_batch_size(&module, sized, &stormfire_tuner::ScaleBatchSize::new()).unwrap(), 24);
        assert_eq!(files(folder.path()), [], "a tuner writes no files");
    }
    let fit = trainer.fit(module, data()).unwrap();
    (bits(&fit.module), fit.metrics.get("val_loss").unwrap(), files(folder.path()))
}

#[test]
fn a_fit_after_a_tuner_equals_one_without_it_bit_for_bit() {
    let _alone = alone();
    for seed in [Some(5), None] {
        let (without, with) = (fit(seed, false), fit(seed, true));
        assert_eq!(without.0, with.0, "{seed:?}");
        assert_eq!(without.1.to_bits(), with.1.to_bits());
        assert_eq!(without.2, with.2);
        assert!(without.2.iter().any(|(name, content)| name.ends_with("metrics.csv") && !content.is_empty()));
    }
}

#[test]
fn a_point_is_one_optimizer_step() {
    let _alone = alone();
    // The rates change nothing: each loss is that of the first weights.
    let options = LrFind::new().min_lr(1e-30).max_lr(2e-30).num_training(6).skip(0, 0);
    let losses = |trainer: &mut Trainer<Line>, size: usize| {
        let curve = Tuner::new(trainer).lr_find(&Line::fixed(), line_data(16, size), &options).unwrap();
        curve.points().iter().map(|point| point.loss).collect::<Vec<_>>()
    };
    let whole = losses(&mut quiet(), 4);
    assert_eq!(whole.len(), 6);
    let in_windows = losses(&mut quiet().accumulate_grad_batches(2), 2);
    assert!(whole.iter().zip(&in_windows).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {in_windows:?}");
    let on_threads = losses(&mut quiet().devices(2), 4);
    assert!(whole.iter().zip(&on_threads).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {on_threads:?}");
    let narrow = losses(&mut quiet().precision("bf16-mixed"), 4);
    assert!(whole.iter().zip(&narrow).all(|(a, b)| (a - b).abs() < 5e-2), "{whole:?} {narrow:?}");
    for ranked in stormfire_ranks::threads::run(2, |_| Ok::<_, Error>(losses(&mut quiet(), 2))) {
        let ranked = ranked.unwrap();
        assert!(whole.iter().zip(&ranked).all(|(a, b)| (a - b).abs() < 1e-5), "{whole:?} {ranked:?}");
    }
}

/// A loss that is not finite from some step on.
#[derive(Module, Debug)]
struct Breaks {
    line: Line,
    #[module(skip)]
    after: u64,
    #[module(skip)]
    to: f32,
}

impl LightningModule for Breaks {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = mse(self.line.layer.forward(x), y);
        Ok(if self.global_step() >= self.after { loss * self.to } else { loss }.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn a_loss_that_is_not_finite_ends_the_test() {
    let _alone = alone();
    for to in [f32::NAN, f32::INFINITY] {
        let breaks = |after| Breaks { line: Line::fixed(), after, to };
        let options = LrFind::new().early_stop_threshold(None).max_lr(1e-3);
        let curve = Tuner::new(&mut quiet()).lr_find(&breaks(20), line_data(16, 4), &options).unwrap();
        assert_eq!(curve.points().len(), 21);
        assert!(curve.points()[20].smoothed.is_nan() || curve.points()[20].smoothed.is_infinite());
        assert!(curve.suggestion().unwrap() < curve.points()[20].rate);
        let csv = String::from_utf8(curve.table().unwrap().to_csv().unwrap()).unwrap();
        assert!(csv.lines().last().is_some_and(|row| row.contains("NaN") || row.contains("inf")), "{csv}");
        let error = Tuner::new(&mut quiet()).lr_find(&breaks(5), line_data(16, 4), &options).unwrap_err().to_string();
        assert!(error.starts_with("`lr_find`: too few points for a suggestion: 0 of 6 are left"), "{error}");
    }
}

/// Two lines with an optimizer each. The second one steps in every third batch.
#[derive(Module, Debug)]
struct Two {
    first: Linear,
    second: Linear,
}

impl LightningModule for Two {
    type Batch = Batch;

    fn training_batch(&mut self, (x, y): Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let loss = mse(self.first.forward(x.clone()), y.clone());
        opt.step("first", self, &loss)?;
        let loss = mse(self.second.forward(x), y);
        if batch_idx.is_multiple_of(3) {
            opt.step("second", self, &loss)?;
        }
        Ok(StepOutput::from(loss.detach()))
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = |name| Optimizer::new(SgdConfig::new(), 0.01).named(name);
        Ok([sgd("first").params_of(&self.first), sgd("second").params_of(&self.second)].into())
    }
}

#[test]
fn one_of_several_optimizers_has_a_name() {
    let _alone = alone();
    let module = Two { first: Line::fixed().layer, second: Line::fixed().layer };
    let mut trainer = quiet();
    let options = LrFind::new().num_training(15).early_stop_threshold(None);
    let error = Tuner::new(&mut trainer).lr_find(&module, line_data(12, 4), &options).unwrap_err();
    assert!(error.to_string().starts_with("`LrFind::optimizer`: the module has 2 optimizers: `first`, `second`"), "{error}");
    let error = Tuner::new(&mut trainer).lr_find(&module, line_data(12, 4), &options.clone().optimizer("third")).unwrap_err();
    assert!(error.to_string().contains("third"), "{error}");
    let curve = Tuner::new(&mut trainer).lr_find(&module, line_data(12, 4), &options.optimizer("second").apply(true)).unwrap();
    // A point for each step of that optimizer: 45 batches.
    assert_eq!(curve.points().len(), 15);
    let rates = rates_of(trainer, module);
    assert_eq!((rates[0].clone(), rates[1].0.as_str()), (("lr-first".to_owned(), 0.01), "lr-second"));
    assert!((rates[1].1 / curve.suggestion().unwrap() - 1.0).abs() < 1e-12, "{rates:?}");
}

/// Notes the learning rates of each batch.
struct Rates(Rc<RefCell<Vec<Named>>>);

/// Learning rates by name.
type Named = Vec<(String, f64)>;

impl<M: LightningModule> Callback<M> for Rates {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        self.0.borrow_mut().push(ctx.learning_rates().to_vec());
        Ok(())
    }
}

fn all_rates<M: LightningModule<Batch = Batch>>(trainer: Trainer<M>, module: M) -> Vec<Named> {
    let rates = Rc::default();
    drop(trainer.callback(Rates(Rc::clone(&rates))).max_epochs(2).fit(module, line_data(12, 4)).unwrap());
    rates.take()
}

fn rates_of<M: LightningModule<Batch = Batch>>(trainer: Trainer<M>, module: M) -> Named {
    all_rates(trainer, module).swap_remove(0)
}

/// A line with its own schedule.
#[derive(Module, Debug)]
struct Scheduled {
    layer: Linear,
    #[module(skip)]
    schedule: fn() -> Schedule,
}

impl LightningModule for Scheduled {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(mse(self.layer.forward(x), y).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 1.0).schedule((self.schedule)()).into())
    }
}

#[test]
fn groups_keep_their_proportions_and_schedules_their_shapes() {
    let _alone = alone();
    let scheduled = |schedule| Scheduled { layer: Line::fixed().layer, schedule };
    let groups = || {
        let slow = ModuleLrScheduler::new(0.1_f64).with_group(ParamGroup::from_predicate("bias"), 0.01_f64);
        Schedule::new(slow).every(Every::Steps(1))
    };
    let mut trainer = quiet();
    trainer.set_learning_rate(None, 0.5);
    let rates = rates_of(trainer, scheduled(groups));
    assert_eq!(rates.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["lr-SGD", "lr-SGD/layer.bias"]);
    assert!((rates[0].1 - 0.5).abs() < 1e-12 && (rates[1].1 - 0.05).abs() < 1e-12, "{rates:?}");

    // The rates are those that the parameters get.
    let step = |rate: Option<f64>| {
        let mut trainer = quiet().max_steps(1);
        if let Some(rate) = rate {
            trainer.set_learning_rate("SGD", rate);
        }
        let after = trainer.fit(scheduled(groups), line_data(4, 4)).unwrap().module;
        let change = |(before, after): (u32, u32)| f32::from_bits(after) - f32::from_bits(before);
        bits(&Line::fixed()).into_iter().zip(bits(&after)).map(change).collect::<Vec<f32>>()
    };
    let (own, scaled) = (step(None), step(Some(0.5)));
    assert!(own.len() == 2 && own.iter().zip(&scaled).all(|(own, scaled)| (scaled / own - 5.0).abs() < 1e-3), "{own:?} {scaled:?}");

    let cycle = || Schedule::new(OneCycle::new(0.2, 6)).every(Every::Steps(1));
    let own: Vec<f64> = all_rates(quiet(), scheduled(cycle)).iter().map(|rates| rates[0].1).collect();
    let mut trainer = quiet();
    trainer.set_learning_rate(None, 0.02);
    let scaled: Vec<f64> = all_rates(trainer, scheduled(cycle)).iter().map(|rates| rates[0].1).collect();
    assert_eq!(own.len(), 6);
    // The cycle has its peak between two steps.
    let factor = 0.02 / own.iter().copied().fold(0.0, f64::max);
    assert!(own.iter().zip(&scaled).all(|(own, scaled)| (own * factor - scaled).abs() < 1e-12), "{own:?} {scaled:?}");
    // The test itself holds the schedule: its rates are those of the options.
    let curve = Tuner::new(&mut quiet())
        .lr_find(&scheduled(cycle), line_data(12, 4), &LrFind::new().num_training(20).early_stop_threshold(None))
        .unwrap();
    assert!((curve.points()[19].rate - 1.0).abs() < 1e-12);
}

/// Data that counts its loaders.
struct Counting {
    loaders: u64,
}

impl DataModule for Counting {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> stormfire_data::Result<Loader<Batch>> {
        self.loaders += 1;
        Ok(line_data(12, 4))
    }

    fn state(&self) -> stormfire_data::Result<Saved> {
        state::save(&self.loaders).map_err(stormfire_data::Error::other)
    }

    fn load_state(&mut self, state: Saved) -> stormfire_data::Result<()> {
        self.loaders = if let Value::Number(count) = state.json() { count.as_u64().unwrap() } else { 0 };
        Ok(())
    }
}

#[test]
fn data_stays_as_it_is() {
    let _alone = alone();
    let mut data = Counting { loaders: 3 };
    let options = LrFind::new().num_training(15);
    Tuner::new(&mut quiet()).lr_find(&Line::fixed(), &mut data, &options).unwrap();
    assert_eq!(data.loaders, 3);
    let once = Loader::from_iter(
        line_data(12, 4).batches(Position::default(), &Device::flex()).unwrap().map(|batch| batch.unwrap().value).collect::<Vec<_>>(),
    );
    let error = Tuner::new(&mut quiet()).lr_find(&Line::fixed(), once.clone(), &options).unwrap_err();
    assert!(error.to_string().contains("has a single pass"), "{error}");
    assert!(quiet().max_epochs(1).fit(Line::fixed(), once).is_ok(), "nothing was taken");
}

/// Ranks with a batch each make the points of one rank with a window of two, also if the last round is short.
#[test]
fn ranks_find_what_one_rank_finds() {
    let _alone = alone();
    let options = LrFind::new().min_lr(1e-4).num_training(20).skip(2, 1);
    let find = |window: usize| {
        let mut trainer = quiet().seed(1).handle_signals(false).accumulate_grad_batches(window);
        Tuner::new(&mut trainer).lr_find(&Line::fixed(), line_data(10, 2), &options)
    };
    let one = find(2).unwrap();
    let several: Vec<_> = threads::run(2, |_| find(1)).into_iter().map(Result::unwrap).collect();
    for curve in &several {
        assert_eq!(curve.points().len(), one.points().len());
        for (a, b) in curve.points().iter().zip(one.points()) {
            assert!((a.rate - b.rate).abs() < 1e-12 && (a.smoothed / b.smoothed - 1.0).abs() < 1e-5, "{a:?} {b:?}");
        }
    }
}
