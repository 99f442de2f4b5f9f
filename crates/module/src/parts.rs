//! One step on several batches or parts of a batch at the same time, each on its own thread.

mod records;
mod turn;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use burn::{
    module::{Module, ParamId},
    optim::GradientsParams,
    tensor::{Device, GradientCheckpointingStrategy, Tensor},
};
use stormfire_data::Part;
use stormfire_optim::gradients;
use stormfire_values::{Scalar, read::is_half, seeds::mix};

use self::turn::Turn;
use crate::{
    draws::Undrawn,
    error::{Error, Result},
    hook::Hook,
    log_error::LogError,
    loss_scale::LossScale,
    moment::Moment,
    print,
    record::{self, Record},
    running_stats, scope,
    step_output::StepOutput,
    tape::{check_loss, scaled, walk_back},
    threads::{Division, Surroundings, Threads},
    training_mode::{in_training, strategy_of},
};

/// A step of a module.
pub type Step<M, B, O> = Arc<dyn Fn(&M, B) -> Result<O> + Send + Sync>;

/// Runs a training step and its backward pass on the parts of a batch. Returns the output of the whole batch, whose
/// loss has no tape, and the gradients of that loss.
///
/// The values that the parts log are logged here, as values of the whole batch. The running statistics of the module
/// become the mean of those of the parts. The gradients are added in the order of the parts.
pub(crate) fn train<M: Module + 'static, B: Send + 'static>(
    threads: &Threads,
    module: &mut M,
    batch: &B,
    step: &Step<M, B, StepOutput>,
    loss_scale: Option<LossScale>,
) -> Result<(StepOutput, GradientsParams)> {
    let step = Arc::clone(step);
    let work = move |module: &M, part: Part<B>, whole: usize, turn: Option<Turn>| {
        let output = step(module, part.value)?;
        drop(turn);
        backward(module, output, share(part.items, whole), loss_scale)
    };
    let training = Training { stats: threads.running_stats(module), strategy: strategy_of(module) };
    let done = of_batch(threads, &module.valid(), Some(&training), batch, &(Arc::new(work) as Work<M, B, Trained>))?;
    let items: usize = done.iter().map(|done| done.items).sum();
    let mut with_loss = 0;
    let (mut sum, mut outputs, mut running) = (GradientsParams::new(), Vec::new(), Vec::new());
    for Done { output: (output, gradients), items: of_part, running: after, .. } in done {
        if let Some(gradients) = gradients {
            gradients::accumulate(&mut sum, gradients, module);
        }
        with_loss += if output.loss().is_some() { of_part } else { 0 };
        outputs.push((output, of_part));
        running.push((after, share(of_part, items)));
    }
    running_stats::set(module, running_stats::mean(running));
    let output = StepOutput::of_parts(outputs)?;
    if sum.is_empty()
        && let Some(loss) = output.loss()
    {
        check_loss(loss)?;
    }
    if output.given_weight().is_none() && with_loss != items && with_loss > 0 {
        // Some parts have no loss. The mean is over the items of the others.
        gradients::divide(&mut sum, module, &Scalar::Host(with_loss as f64 / items as f64));
    }
    Ok((output, sum))
}

/// The share of a part in a whole. A batch without items is one part.
fn share(items: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { items as f64 / whole as f64 }
}

/// The output of a training step without its tape, and the gradients of its loss.
type Trained = (StepOutput, Option<GradientsParams>);

/// The backward pass of a part. Its loss is this share of the whole loss, unless it has a weight.
fn backward<M: Module>(module: &M, output: StepOutput, share: f64, loss_scale: Option<LossScale>) -> Result<Trained> {
    // A part may have nothing to learn from, such as no positive item: its gradients are zero.
    let Some(loss) = output.loss().filter(|loss| loss.is_tracked()) else { return Ok((output.detach()?, None)) };
    check_loss(loss)?;
    let share = if output.given_weight().is_some() { 1.0 } else { share };
    // Always another tensor: burn allows one backward pass per tensor, and a loss may be a parameter. A share is rarely
    // a number of a half float, and must not change whether a scaled gradient overflows. So the gradients are
    // multiplied, in a wider type.
    let is_half = loss_scale.is_some() || is_half(loss.dtype());
    let mut walked = walk_back(&scaled(loss, loss_scale).into_owned().mul_scalar(if is_half { 1.0 } else { share }))?;
    let mut gradients = GradientsParams::from_module(&mut walked, module);
    if is_half {
        gradients::widen(&mut gradients, module);
        gradients::divide(&mut gradients, module, &Scalar::Host(1.0 / share));
    }
    Ok((output.detach()?, Some(gradients)))
}

/// Runs an evaluation step on the parts of a batch, with a module in evaluation mode. The values that the parts log are
/// logged here, as values of the whole batch.
///
/// # Errors
/// The first error of a step, in the order of the parts. A batch that cannot be divided.
pub fn evaluate<M: Module + 'static, B: Send + 'static>(
    threads: &Threads,
    module: &M,
    batch: &B,
    step: &Step<M, B, StepOutput>,
) -> Result<StepOutput> {
    let step = Arc::clone(step);
    let detached: Step<M, B, StepOutput> = Arc::new(move |module: &M, batch| step(module, batch)?.detach());
    let done = of_batch(threads, module, None, batch, &only(&detached))?;
    StepOutput::of_parts(done.into_iter().map(|done| (done.output, done.items)).collect())
}

/// Runs a prediction step on whole batches, with a module in evaluation mode. Each batch has the moment that its step
/// sees, and `seed` returns its seed. The values that the steps log are logged here.
///
/// # Errors
/// The first error of a step, in the order of the batches.
pub fn predict<M: Module + 'static, B: Send + 'static, O: Send + 'static>(
    threads: &Threads,
    module: &M,
    batches: &[(B, Moment)],
    seed: impl Fn(usize) -> Option<u64>,
    step: &Step<M, B, O>,
) -> Result<Vec<O>> {
    let Division { split, .. } = threads.division::<M, B>()?;
    let (here, work) = (Surroundings::here(), only(step));
    let plan = || {
        let plan = |(index, (batch, moment)): (usize, &(B, Moment))| {
            let part = split(batch, 1)?.into_iter().next().ok_or_else(|| Error::other("a batch without parts"))?;
            let (whole, weight) = (part.items, part.items);
            let (module, work, surroundings) = (module.clone(), Arc::clone(&work), here.at(*moment));
            Ok(Planned { module, training: None, part, whole, weight, work, surroundings, seed: seed(index), prints: true })
        };
        batches.iter().enumerate().map(plan).collect()
    };
    let mut outputs = Vec::with_capacity(batches.len());
    for Done { output, logged, .. } in run(threads, false, plan)? {
        record::extend(logged);
        outputs.push(output);
    }
    Ok(outputs)
}

/// The work of a thread on its part of a batch with this number of items. It drops its turn when it draws no more
/// random numbers.
type Work<M, B, O> = Arc<dyn Fn(&M, Part<B>, usize, Option<Turn>) -> Result<O> + Send + Sync>;

/// A step that nothing follows.
fn only<M: 'static, B: 'static, O: 'static>(step: &Step<M, B, O>) -> Work<M, B, O> {
    let step = Arc::clone(step);
    Arc::new(move |module: &M, part: Part<B>, _whole: usize, _turn: Option<Turn>| step(module, part.value))
}

/// Works on the parts of a batch, and logs their values as values of the whole batch. `training`: of a training step.
fn of_batch<M: Module + 'static, B: Send + 'static, O: Send + 'static>(
    threads: &Threads,
    valid: &M,
    training: Option<&Training>,
    batch: &B,
    work: &Work<M, B, O>,
) -> Result<Vec<Done<O>>> {
    let Division { split, weigh } = threads.division::<M, B>()?;
    let here = Surroundings::here();
    let seed = scope::seeded().map(|(_, seed)| seed);
    let plan = || {
        let parts = split(batch, threads.count())?;
        // The statistics of one item are none. A whole batch of one item is the caller's choice.
        let normalizes = training.is_some_and(|training| !training.stats.is_empty());
        let parts = match parts.iter().map(|part| part.items).sum::<usize>() / 2 {
            pairs if normalizes && pairs < parts.len() => split(batch, pairs.max(1))?,
            _ => parts,
        };
        let whole = parts.iter().map(|part| part.items).sum();
        let plan = |(index, part): (usize, Part<B>)| {
            let weight = weigh(valid, &part.value).unwrap_or(part.items);
            let (module, work, surroundings) = (valid.clone(), Arc::clone(work), here.clone());
            let seed = seed.map(|seed| mix(seed, index as u64));
            Planned { module, training: training.cloned(), part, whole, weight, work, surroundings, seed, prints: index == 0 }
        };
        Ok(parts.into_iter().enumerate().map(plan).collect())
    };
    let mut done = run(threads, training.is_some(), plan)?;
    let logged = done.iter_mut().map(|done| (std::mem::take(&mut done.logged), done.weight)).collect();
    record::extend(records::merged(logged));
    Ok(done)
}

/// The settings of a copy of a module for training.
#[derive(Clone)]
struct Training {
    /// The running statistics of the module.
    stats: Arc<HashSet<ParamId>>,
    strategy: GradientCheckpointingStrategy,
}

/// A step that is about to run.
struct Planned<M, B, O> {
    /// In evaluation mode.
    module: M,
    training: Option<Training>,
    part: Part<B>,
    /// The number of items of the whole batch.
    whole: usize,
    /// The weight in the mean of a logged value.
    weight: usize,
    work: Work<M, B, O>,
    surroundings: Surroundings,
    seed: Option<u64>,
    /// Whether lines that it prints are shown.
    prints: bool,
}

/// A step that has run.
struct Done<O> {
    output: O,
    items: usize,
    weight: usize,
    logged: Vec<Record>,
    /// The running statistics after it.
    running: HashMap<ParamId, Tensor<1>>,
}

/// The same, as its thread returns it.
struct Returned<O> {
    done: Done<Result<O>>,
    misuse: Option<LogError>,
    not_implemented: Option<Hook>,
}

impl<M: Module, B, O> Planned<M, B, O> {
    /// Runs it on this thread. With a turn, it waits for the turn first.
    fn run(self, turn: Option<Turn>) -> Returned<O> {
        let Self { module, training, part, whole, weight, work, surroundings, prints, .. } = self;
        let items = part.items;
        print::mute(!prints);
        surroundings.within(|| {
            // A copy with its own leaves over the same memory. burn dead-locks if two threads walk back over the same
            // leaves.
            let module = match &training {
                Some(training) => in_training(module, training.strategy),
                None => module,
            };
            if let Some(turn) = &turn {
                turn.begin();
            }
            let output = work(&module, part, whole, turn);
            let mut logged = Vec::new();
            let misuse = record::take_records(&mut logged).err();
            let running = training.map(|training| running_stats::values(&module, &training.stats)).unwrap_or_default();
            let not_implemented = scope::take_not_implemented();
            Returned { done: Done { output, items, weight, logged, running }, misuse, not_implemented }
        })
    }
}

impl<O> Returned<O> {
    /// Notes on this thread what went wrong on the other one.
    fn taken(self) -> Result<Done<O>> {
        let Self { done: Done { output, items, weight, logged, running }, misuse, not_implemented } = self;
        if let Some(step) = not_implemented {
            scope::mark_not_implemented(step);
        }
        if let Some(misuse) = misuse {
            record::put_back(misuse);
        }
        Ok(Done { output: output?, items, weight, logged, running })
    }
}

/// Runs planned steps at the same time.
///
/// burn has one random generator for all threads. If steps draw from it, their numbers depend on which thread is
/// faster. The first time that this happens, the results of the steps are dropped. From then on the steps take turns,
/// each with its own seed. The work after a step, a backward pass, still runs at the same time.
fn run<M: Module + 'static, B: Send + 'static, O: Send + 'static>(
    threads: &Threads,
    trains: bool,
    plan: impl Fn() -> Result<Vec<Planned<M, B, O>>>,
) -> Result<Vec<Done<O>>> {
    let Some((device, seed)) = scope::seeded() else {
        return threads.run(jobs(plan()?, None))?.into_iter().map(Returned::taken).collect();
    };
    let mut returned = None;
    if !threads.draws(trains) {
        let undrawn = Undrawn::seeded(&device, || device.seed(seed));
        returned = Some(threads.run(jobs(plan()?, None))?);
        if !undrawn.holds(&device)? {
            threads.note_that_it_draws(trains);
            tracing::debug!(
                "the steps, or another thread of this program, draw random numbers from burn: from now on, the forward passes \
                 run one after another on the threads of this run"
            );
            returned = None;
        }
    }
    let returned = match returned {
        Some(returned) => returned,
        None => threads.run(jobs(plan()?, Some(&device)))?,
    };
    // Later draws must not depend on what was known before.
    device.seed(mix(seed, u64::MAX - 1));
    returned.into_iter().map(Returned::taken).collect()
}

/// A job for each step. The steps take turns if they draw from the generator of a device.
fn jobs<M: Module + 'static, B: Send + 'static, O: Send + 'static>(
    planned: Vec<Planned<M, B, O>>,
    draws_from: Option<&Device>,
) -> Vec<impl FnOnce() -> Returned<O> + Send + 'static> {
    let seeds = planned.iter().filter_map(|planned| planned.seed).collect();
    let mut turns = draws_from.map(|device| Turn::for_each(device, seeds)).unwrap_or_default().into_iter();
    let job = |planned: Planned<M, B, O>| {
        let turn = turns.next();
        move || planned.run(turn)
    };
    planned.into_iter().map(job).collect()
}
