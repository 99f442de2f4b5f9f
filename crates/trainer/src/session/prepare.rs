//! The first hooks of a run, and the loaders of a fit.

use stormfire_data::{DataModule, Loader, Loaders, Stage, for_trainer::DriveLoader as _};
use stormfire_module::{Event, Hook, LightningModule, Result, run::Limits};
use stormfire_values::{Every, seeds::mix};

use super::on_ranks;
use crate::{
    checkpoint::Resume,
    data_facts::DataFacts,
    engine::Engine,
    evaluate::Evaluated,
    setup::{is_timed, limits_of_fit, refuse_without_logger, tell_what_is_rare},
};

/// Calls a method of the data module. Logging in it is an error.
pub(super) fn of_data<M: LightningModule, R>(
    engine: &mut Engine<M>,
    hook: Hook,
    code: impl FnOnce() -> stormfire_data::Result<R>,
) -> Result<R> {
    let result = {
        let _scope = engine.enter(hook);
        code()?
    };
    engine.collect()?;
    Ok(result)
}

/// Calls the first hooks of every run.
pub(super) fn begin<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut D,
    stage: Stage,
) -> Result<()> {
    let frame = &engine.frame;
    // A `fast_dev_run` alone needs none.
    let needs_logger = frame.config.fast_dev_run == 0 || frame.rehearsed.as_ref().is_some_and(|run| run.lacks_loggers);
    if needs_logger && frame.ranks.is_global_zero() && engine.run.loggers.is_empty() {
        refuse_without_logger(frame.of_run(), engine.callbacks(), stage)?;
    }
    // Once on each machine. The others wait.
    if engine.frame.ranks.local_rank() == 0 {
        of_data(engine, Hook::PrepareData, || data.prepare_data())?;
        engine.fire(module, Event::PrepareData)?;
    }
    engine.frame.ranks.barrier()?;
    of_data(engine, Hook::Setup, || data.setup(stage))?;
    engine.fire(module, Event::Setup { stage })
}

/// The training loader, the validation loaders, and the limits of epochs and of steps. In a rehearsal, these limits are
/// those of the run that is rehearsed.
type FitData<B> = (Loader<B>, Evaluated<B>, (Option<usize>, Option<u64>));

/// Prepares the loaders of a fit: seeds them and determines the number of batches of each.
pub(super) fn prepare_fit<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    engine: &mut Engine<M>,
    module: &mut M,
    data: &mut D,
    mut resume: Option<&mut Resume>,
) -> Result<FitData<M::Batch>> {
    let of_run = engine.frame.of_run();
    let (max_epochs, max_steps) = (of_run.resolved_max_epochs(is_timed(engine.callbacks())), of_run.max_steps);
    // A callback refuses options for them in its `setup`, before the logs start.
    engine.run.limits = Limits { max_epochs, max_steps, ..Limits::default() };
    begin(engine, module, data, Stage::Fit)?;
    if let Some(state) = resume.as_mut().and_then(|resume| resume.take_data_module(&engine.frame.device)) {
        of_data(engine, Hook::Setup, || data.load_state(state))?;
    }
    let resume = resume.as_deref();
    let config = engine.frame.config.clone();
    let mut train = of_data(engine, Hook::TrainDataloader, || data.train_dataloader())?;
    let mut val = of_data(engine, Hook::ValDataloader, || data.val_dataloader())?;
    if !engine.frame.of_run().overfit_batches.is_none() {
        train = train.without_shuffle();
        val = val.iter().map(Loader::without_shuffle).collect();
    }
    let saved_seed = resume.and_then(Resume::data_seed);
    let seed = config.seed.or(saved_seed);
    if let Some(seed) = seed {
        train = train.with_default_seed(seed);
    }
    engine.books.data = DataFacts::of(&train, seed);
    // The draws of batches depend on the run's seed, even if the seed was not given.
    let run_seed = config.seed.or(resume.and_then(|resume| resume.manifest().seed)).or(engine.seed);
    if let Some(seed) = run_seed {
        train = train.with_run_seed(seed);
        val = with_run_seed(&val, seed);
    }
    train = of_rank(engine, &train)?;
    val = val.iter().map(|loader| of_rank(engine, loader)).collect::<Result<_>>()?;
    let (train_batches, val_batches) = limits_of_fit(&train, &val, &config)?;
    let of_run = engine.frame.of_run();
    let batches_of_run = match &engine.frame.rehearsed {
        Some(run) => limits_of_fit(&train, &val, &run.config)?.0,
        None => train_batches,
    };
    let of_whole_fit = Limits { max_epochs, max_steps, train_batches: batches_of_run, ..Limits::default() };
    let fit_steps = of_whole_fit.steps(of_run.accumulate_grad_batches.saturating_mul(engine.world()));
    on_ranks::require_same(engine, || {
        let loaders: Vec<_> = std::iter::once(&train).chain(val.iter()).cloned().collect();
        let limits: Vec<_> = std::iter::once(train_batches).chain(val_batches.iter().copied()).collect();
        Ok(on_ranks::facts_of_data(&loaders, &limits))
    })?;
    let sanity = |n: Option<usize>| config.num_sanity_val_steps.map_or(n, |steps| Some(n.map_or(steps, |n| n.min(steps))));
    engine.run.limits = Limits {
        max_epochs: if engine.frame.rehearsed.is_some() { Some(1) } else { max_epochs },
        max_steps: config.max_steps,
        train_batches,
        sanity_batches: val_batches.iter().map(|&n| sanity(n)).collect(),
        val_batches: val_batches.clone(),
        ..Limits::default()
    };
    engine.run.moment.fit_steps = fit_steps;
    if engine.rank() == 0 {
        tell_what_is_rare(&config, &engine.run);
    }
    engine.run.validates_every_epoch =
        matches!(config.val_check_interval, Every::Epochs(1)) || config.val_check_interval == Every::Fraction(1.0);
    Ok((train, Evaluated::new(val, val_batches), (max_epochs, max_steps)))
}

/// The part of a loader that this rank gets.
pub(super) fn of_rank<M: LightningModule>(engine: &Engine<M>, loader: &Loader<M::Batch>) -> Result<Loader<M::Batch>> {
    Ok(loader.for_rank(engine.rank(), engine.world())?)
}

/// Seeds the loaders of an evaluation. Each gets different random numbers.
pub(super) fn with_run_seed<B: Send + 'static>(loaders: &Loaders<B>, seed: u64) -> Loaders<B> {
    loaders.iter().enumerate().map(|(index, loader)| loader.with_run_seed(mix(seed, index as u64))).collect()
}
