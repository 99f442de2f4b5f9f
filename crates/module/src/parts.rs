//! One step on several batches or parts of a batch at the same time, each on its own thread.

mod records;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use burn::{
    module::{Module, ParamId},
    tensor::{Device, Tensor},
};
use stormfire_data::Part;

use crate::{
    draws::{Undrawn, mix},
    error::Result,
    hook::Hook,
    log_error::LogError,
    moment::Moment,
    record::{self, Record},
    running_stats, scope,
    step_output::StepOutput,
    threads::{Division, Surroundings, Threads},
};

/// A step of a module.
pub type Step<M, B, O> = Arc<dyn Fn(&M, B) -> Result<O> + Send + Sync>;

/// Runs a training step on the parts of a batch. What the parts log is logged here, as values of the whole batch, and the running
/// statistics of the module become the mean of those of the parts.
///
/// Gives the outputs of the parts with their numbers of items, and the modules that made them. These have leaves of their own over
/// the same memory: burn locks up where two threads walk back over the same leaves.
pub(crate) fn train<M: Module + 'static, B: Send + 'static>(
    threads: &Threads,
    module: &mut M,
    batch: &B,
    step: &Step<M, B, StepOutput>,
) -> Result<Vec<(M, (StepOutput, usize))>> {
    let done = of_batch(threads, &module.valid(), true, batch, step)?;
    let items: usize = done.iter().map(|done| done.items).sum();
    let mut stepped = Vec::with_capacity(done.len());
    let mut running = Vec::with_capacity(done.len());
    for Done { module, output, items: of_part, running: of_step, .. } in done {
        running.push((of_step, of_part as f64 / items as f64));
        stepped.push((module, (output, of_part)));
    }
    running_stats::set(module, running_stats::mean(running));
    Ok(stepped)
}

/// Runs an evaluation step on the parts of a batch, with a module that is in evaluation mode. What the parts log is logged here,
/// as values of the whole batch.
///
/// # Errors
/// The first error of a step, in the order of the parts; a batch that cannot be divided.
pub fn evaluate<M: Module + 'static, B: Send + 'static>(
    threads: &Threads,
    module: &M,
    batch: &B,
    step: &Step<M, B, StepOutput>,
) -> Result<StepOutput> {
    let done = of_batch(threads, module, false, batch, step)?;
    Ok(StepOutput::of_parts(done.into_iter().map(|done| (done.output, done.items)).collect())?.0)
}

/// Runs a prediction step on whole batches, each with the moment that it sees, with a module that is in evaluation mode. What they
/// log is logged here. `seed` gives the seed of each.
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
    let here = Surroundings::here();
    let plan = || {
        let plan = |(index, (batch, moment)): (usize, &(B, Moment))| {
            let part = split(batch, 1)?.into_iter().next().ok_or_else(|| crate::error::Error::other("a batch without parts"))?;
            let (module, step, surroundings) = (module.clone(), Arc::clone(step), here.at(*moment));
            Ok(Planned { module, trains: false, weight: part.items, part, step, surroundings, seed: seed(index) })
        };
        batches.iter().enumerate().map(plan).collect()
    };
    let done = run(threads, plan)?;
    let (outputs, logged) = done.into_iter().map(|Done { output, logged, .. }| (output, logged)).unzip::<_, _, Vec<_>, Vec<_>>();
    record::extend(logged.into_iter().flatten());
    Ok(outputs)
}

/// Runs a step on the parts of a batch, and logs what they have logged as values of the whole batch.
fn of_batch<M: Module + 'static, B: Send + 'static>(
    threads: &Threads,
    valid: &M,
    trains: bool,
    batch: &B,
    step: &Step<M, B, StepOutput>,
) -> Result<Vec<Done<M, StepOutput>>> {
    let Division { split, weigh } = threads.division::<M, B>()?;
    let here = Surroundings::here();
    let seed = scope::seeded().map(|(_, seed)| seed);
    let plan = || {
        let parts = split(batch, threads.count())?;
        let plan = |(index, part): (usize, Part<B>)| {
            let weight = weigh(valid, &part.value).unwrap_or(part.items);
            let (module, step, surroundings) = (valid.clone(), Arc::clone(step), here.clone());
            let seed = seed.map(|seed| mix(seed, index as u64));
            Planned { module, trains, part, weight, step, surroundings, seed }
        };
        Ok(parts.into_iter().enumerate().map(plan).collect())
    };
    let mut done = run(threads, plan)?;
    let logged = done.iter_mut().map(|done| (std::mem::take(&mut done.logged), done.weight)).collect();
    record::extend(records::merged(logged));
    Ok(done)
}

/// A step that is about to run.
struct Planned<M, B, O> {
    /// In evaluation mode.
    module: M,
    trains: bool,
    part: Part<B>,
    /// The weight in the mean of a logged value.
    weight: usize,
    step: Step<M, B, O>,
    surroundings: Surroundings,
    seed: Option<u64>,
}

/// A step that has run.
struct Done<M, O> {
    module: M,
    output: O,
    items: usize,
    weight: usize,
    logged: Vec<Record>,
    /// The running statistics after it.
    running: HashMap<ParamId, Tensor<1>>,
}

/// The same, as its thread brings it back.
struct Returned<M, O> {
    done: Done<M, Result<O>>,
    mistake: Option<LogError>,
    not_implemented: Option<Hook>,
}

impl<M: Module, B, O> Planned<M, B, O> {
    /// Runs it on this thread.
    fn run(self, running: &HashSet<ParamId>) -> Returned<M, O> {
        let Self { module, trains, part: Part { value, items }, weight, step, surroundings, .. } = self;
        surroundings.within(|| {
            let module = if trains { module.train() } else { module };
            let output = step(&module, value);
            let mut logged = Vec::new();
            let mistake = record::take_records(&mut logged).err();
            let running = if trains { running_stats::values(&module, running) } else { HashMap::new() };
            let not_implemented = scope::take_not_implemented();
            Returned { done: Done { module, output, items, weight, logged, running }, mistake, not_implemented }
        })
    }
}

/// Runs what is planned at the same time.
///
/// burn has one generator of random numbers for all threads. Where steps draw from it, the numbers of each would follow from
/// which thread is faster. So the first time that happens, what the steps have done is thrown away, and from then on they run one
/// after the other, each with a seed of its own; only what follows them is done at the same time.
fn run<M: Module + 'static, B: Send + 'static, O: Send + 'static>(
    threads: &Threads,
    plan: impl Fn() -> Result<Vec<Planned<M, B, O>>>,
) -> Result<Vec<Done<M, O>>> {
    let seeded = scope::seeded();
    let returned = match &seeded {
        Some((device, seed)) if !threads.draws() => {
            let undrawn = Undrawn::seeded(device, || device.seed(*seed));
            let returned = threads.run(jobs(threads, plan()?, None), false)?;
            if undrawn.holds(device)? {
                returned
            } else {
                threads.note_that_it_draws();
                tracing::debug!("the steps draw random numbers of burn, so the threads of this run take turns in them");
                threads.run(jobs(threads, plan()?, Some(device)), true)?
            }
        }
        Some((device, _)) => threads.run(jobs(threads, plan()?, Some(device)), true)?,
        None => threads.run(jobs(threads, plan()?, None), false)?,
    };
    if let Some((device, seed)) = seeded {
        // What is drawn next must not depend on whether that was known already.
        device.seed(mix(seed, u64::MAX - 1));
    }
    returned.into_iter().map(Returned::taken).collect()
}

fn jobs<M: Module + 'static, B: Send + 'static, O: Send + 'static>(
    threads: &Threads,
    planned: Vec<Planned<M, B, O>>,
    seeds: Option<&Device>,
) -> Vec<impl FnOnce() -> Returned<M, O> + Send + 'static> {
    let job = |planned: Planned<M, B, O>| {
        let running = Arc::clone(&threads.running);
        let device = seeds.cloned();
        move || {
            if let Some((device, seed)) = device.zip(planned.seed) {
                device.seed(seed);
            }
            planned.run(&running)
        }
    };
    planned.into_iter().map(job).collect()
}

impl<M, O> Returned<M, O> {
    /// Takes note of what went wrong on the other thread, as if it had been this one.
    fn taken(self) -> Result<Done<M, O>> {
        let Self { done: Done { module, output, items, weight, logged, running }, mistake, not_implemented } = self;
        if let Some(step) = not_implemented {
            scope::mark_not_implemented(step);
        }
        if let Some(mistake) = mistake {
            record::put_back(mistake);
        }
        Ok(Done { module, output: output?, items, weight, logged, running })
    }
}
