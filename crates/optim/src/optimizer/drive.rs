//! Steps of optimizers and of their schedules.

use std::collections::HashSet;

use burn::{module::Module, optim::GradientsParams, tensor::Gradients};

use stormfire_values::every::Tick;

use super::{Optimizer, Optimizers, Ramp, RateOf, params, scale::Scale};
use crate::{
    error::{Error, Result},
    gradients,
    schedule::LookupError,
    window::StepGradients,
};

/// The interface of one optimizer for a training loop.
pub trait DriveOptimizer {
    /// Takes the gradients of this optimizer's parameters from a backward pass.
    fn gradients<M: Module>(&self, all: Gradients, module: &M) -> GradientsParams;

    /// As [`gradients`](Self::gradients), from gradients that other optimizers share.
    fn share_of<M: Module>(&self, all: &GradientsParams, module: &M) -> GradientsParams;

    /// Its share of gradients that no other optimizer needs.
    fn own_of<M: Module>(&self, all: GradientsParams, module: &M) -> GradientsParams;

    /// Steps with its share of the gradients.
    fn update<M: Module>(&mut self, module: &mut M, gradients: StepGradients);

    /// Steps a schedule that counts optimizer steps and does not watch a metric.
    ///
    /// # Errors
    /// [`Error::Optimizer`] for a rate that is negative or not finite.
    fn step_schedule(&mut self) -> Result<()>;

    /// The highest learning rate in a fit with this number of optimizer steps and epochs, as far as they are known:
    /// the rate that stands for a schedule. Call it after [`DriveOptimizers::start`].
    fn peak_rate(&self, steps: Option<u64>, epochs: Option<u64>) -> f64;

    /// Multiplies all learning rates by a factor: those of the schedule and of parameter groups, too.
    fn scale_rates(&mut self, factor: f64);

    /// Multiplies the highest learning rates ([`peak_rate`](Self::peak_rate)) by a factor of each step, without a
    /// schedule.
    fn ramp_rates(&mut self, ramp: &Ramp, steps: Option<u64>, epochs: Option<u64>);
}

impl DriveOptimizer for Optimizer {
    fn gradients<M: Module>(&self, mut all: Gradients, module: &M) -> GradientsParams {
        match &self.params {
            None => GradientsParams::from_module(&mut all, module),
            Some(own) => GradientsParams::from_params(&mut all, module, &own.iter().copied().collect::<Vec<_>>()),
        }
    }

    fn share_of<M: Module>(&self, all: &GradientsParams, module: &M) -> GradientsParams {
        gradients::share(all, module, self.params.as_ref())
    }

    fn own_of<M: Module>(&self, all: GradientsParams, module: &M) -> GradientsParams {
        if self.params.is_none() { all } else { self.share_of(&all, module) }
    }

    fn update<M: Module>(&mut self, module: &mut M, gradients: StepGradients) {
        let StepGradients { params: mut gradients, is_sum } = gradients;
        if is_sum {
            gradients::as_parameters(&mut gradients, module);
        }
        // burn takes the module by value. The copy shares every tensor, so nothing is lost if the update panics.
        let rates = self.rates();
        *module = self.inner.step(rates, module.clone(), gradients);
        self.steps += 1;
        self.scale.note(self.steps);
    }

    fn step_schedule(&mut self) -> Result<()> {
        match &mut self.schedule {
            Some(schedule) if schedule.watches().is_none() => {
                schedule.step(&self.name, &Tick::of_step(self.steps), &mut |_| Ok::<_, Error>(None)).map(drop)
            }
            _ => Ok(()),
        }
    }

    fn peak_rate(&self, steps: Option<u64>, epochs: Option<u64>) -> f64 {
        let of_schedule = self.schedule.as_ref().and_then(|schedule| schedule.peak(steps, epochs));
        of_schedule.map_or(self.lr, |peak| peak.base())
    }

    fn scale_rates(&mut self, factor: f64) {
        self.scale = Scale::Fixed(factor);
    }

    fn ramp_rates(&mut self, ramp: &Ramp, steps: Option<u64>, epochs: Option<u64>) {
        if let Some(schedule) = &mut self.schedule
            && let Some(peak) = schedule.peak(steps, epochs)
        {
            schedule.hold(peak);
        }
        self.scale = Scale::OfStep(ramp.clone());
    }
}

/// The interface of the optimizers of a module for a training loop.
pub trait DriveOptimizers {
    /// Makes names unique, checks parameters and schedules, and sets the first learning rates. The Trainer calls it
    /// once, with the module that returned the optimizers.
    ///
    /// # Errors
    /// [`Error::Optimizer`] for a duplicate name, a learning rate that is negative or not finite, parameters outside of
    /// the module, or an invalid schedule.
    fn start<M: Module>(&mut self, module: &M) -> Result<()>;

    /// The index of the optimizer of this name.
    ///
    /// # Errors
    /// [`Error::UnknownOptimizer`].
    fn index_of(&self, name: &str) -> Result<usize>;

    /// The optimizer at an index of [`index_of`](Self::index_of).
    ///
    /// # Panics
    /// If the index is too large.
    fn at(&mut self, index: usize) -> &mut Optimizer;

    /// Sets a learning rate in place of that of schedule and group, until it is set again. `None` gives it back to
    /// them.
    ///
    /// # Errors
    /// [`Error::Optimizer`] for a rate that is negative or not finite, or an unknown name. [`Error::Config`] for
    /// patterns without a match.
    fn set_rate(&mut self, of: &RateOf, rate: Option<f64>) -> Result<()>;

    /// Steps the schedules that count epochs and do not watch a metric, at the last batch of an epoch or when the rest
    /// of it is skipped. `completed` is the number of the epoch, counted from 1.
    ///
    /// # Errors
    /// [`Error::Optimizer`] for a rate that is negative or not finite.
    fn step_epoch_schedules(&mut self, completed: u64) -> Result<()>;

    /// Steps the schedules that watch a metric. Those that count epochs step at the end of one (`Some(completed)`).
    /// Those that count steps do so after a batch (`None`), once for each step count of their optimizer. Returns
    /// whether a schedule has stepped.
    ///
    /// # Errors
    /// Those of `metric`, which returns the value of a monitored metric. [`Error::Optimizer`] for a rate that is
    /// negative or not finite.
    fn step_watching_schedules<E: LookupError>(
        &mut self,
        completed: Option<u64>,
        metric: &mut dyn FnMut(&str) -> Result<Option<f64>, E>,
    ) -> Result<bool, E>;

    /// The metrics that schedules watch.
    fn watched_metrics(&self) -> impl Iterator<Item = &str>;
}

impl DriveOptimizers for Optimizers {
    fn start<M: Module>(&mut self, module: &M) -> Result<()> {
        let mut seen: HashSet<String> = HashSet::new();
        let params = params::of(module);
        for optimizer in &mut self.all {
            if !seen.insert(optimizer.name.clone()) {
                return Err(Error::Optimizer {
                    optimizer: optimizer.name.clone(),
                    reason: "two optimizers have this name".into(),
                    hint: "give each its own with `Optimizer::named`".into(),
                });
            }
            if !(optimizer.lr.is_finite() && optimizer.lr >= 0.0) {
                return Err(Error::Optimizer {
                    optimizer: optimizer.name.clone(),
                    reason: format!("the learning rate {} is not a number of at least 0", optimizer.lr),
                    hint: "use 1e-3, for example".into(),
                });
            }
            let own = match &optimizer.params {
                Some(own) => params::own(&optimizer.name, own, &params)?,
                None => params.clone(),
            };
            optimizer.paths = own.iter().map(|(_, path)| path.clone()).collect();
            if let Some(schedule) = &mut optimizer.schedule {
                schedule.start(&optimizer.name, optimizer.lr, &own)?;
            }
            optimizer.start_groups()?;
        }
        Ok(())
    }

    fn index_of(&self, name: &str) -> Result<usize> {
        self.all
            .iter()
            .position(|o| o.name == name)
            .ok_or_else(|| Error::UnknownOptimizer { name: name.into(), available: self.all.iter().map(|o| o.name.clone()).collect() })
    }

    fn at(&mut self, index: usize) -> &mut Optimizer {
        &mut self.all[index]
    }

    fn set_rate(&mut self, of: &RateOf, rate: Option<f64>) -> Result<()> {
        self.set_learning_rate(of, rate)
    }

    fn step_epoch_schedules(&mut self, completed: u64) -> Result<()> {
        step_schedules(self, false, &mut |_| Ok::<_, Error>(None), |_| Tick::of_epoch(completed)).map(drop)
    }

    fn step_watching_schedules<E: LookupError>(
        &mut self,
        completed: Option<u64>,
        metric: &mut dyn FnMut(&str) -> Result<Option<f64>, E>,
    ) -> Result<bool, E> {
        step_schedules(self, true, metric, |optimizer_steps| completed.map_or(Tick::of_step(optimizer_steps), Tick::of_epoch))
    }

    fn watched_metrics(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter_map(|optimizer| optimizer.schedule.as_ref()?.watches())
    }
}

/// Steps the schedules that watch a metric (`watching`), or the others. Returns whether one has stepped.
fn step_schedules<E: LookupError>(
    optimizers: &mut Optimizers,
    watching: bool,
    metric: &mut dyn FnMut(&str) -> Result<Option<f64>, E>,
    tick: impl Fn(u64) -> Tick,
) -> Result<bool, E> {
    let mut has_stepped = false;
    for optimizer in &mut optimizers.all {
        let steps = optimizer.steps;
        if let Some(schedule) = optimizer.schedule.as_mut().filter(|s| s.watches().is_some() == watching) {
            has_stepped |= schedule.step(&optimizer.name, &tick(steps), metric)?;
        }
    }
    Ok(has_stepped)
}
