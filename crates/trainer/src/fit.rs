//! The training loop. Its pseudocode is the documentation of [`Event`].

mod boundary;
mod end;
mod epoch_end;
mod round;
mod statistics;
mod step;
mod validation;

use stormfire_data::{Batch, DataModule, Loader, Position};
use stormfire_module::{
    Error, Event, LightningModule, Result, RunningStage,
    for_trainer::{monitored, training_mode},
    place::Stopwatch,
};
use stormfire_optim::for_trainer::DriveOptimizers as _;
use stormfire_values::clock;

use step::BatchOutcome;

use crate::{
    adopt::adopt,
    checkpoint,
    engine::{Engine, RandomPart},
    evaluate::Evaluated,
    finite_watch::FiniteWatch,
    in_force::InForce,
    logger_step,
    stop::Stop,
    training::Training,
};

/// An active fit.
pub(crate) struct FitLoop<'a, M: LightningModule> {
    engine: &'a mut Engine<M>,
    module: &'a mut M,
    training: &'a mut Training,
    data: &'a dyn DataModule<Batch = M::Batch>,
    train: Loader<M::Batch>,
    val: Evaluated<M::Batch>,
    finite: FiniteWatch,
    said_it_continues: bool,
    said_names_are_shared: bool,
}

/// Whether the epoch continues after a batch.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    EndEpoch,
}

impl<'a, M: LightningModule> FitLoop<'a, M> {
    pub(crate) fn new(
        engine: &'a mut Engine<M>,
        module: &'a mut M,
        training: &'a mut Training,
        data: &'a dyn DataModule<Batch = M::Batch>,
        train: Loader<M::Batch>,
        val: Evaluated<M::Batch>,
    ) -> Self {
        let finite = FiniteWatch::new(&engine.frame.config);
        let (said_it_continues, said_names_are_shared) = (false, false);
        Self { engine, module, training, data, train, val, finite, said_it_continues, said_names_are_shared }
    }

    pub(crate) fn run(mut self) -> Result<Stop> {
        self.sanity_check()?;
        self.refresh_learning_rates();
        self.agree()?;
        let stop = match self.is_done() {
            Some(stop) if !self.is_in_epoch() => {
                // A signal may have ended the pass of the fit that wrote the checkpoint.
                self.renew_statistics()?;
                stop
            }
            _ => self.train()?,
        };
        self.engine.fire(self.module, Event::FitEnd)?;
        Ok(stop)
    }

    fn train(&mut self) -> Result<Stop> {
        self.engine.fire(self.module, Event::TrainStart)?;
        if !self.engine.run.place.progress.has_begun() {
            self.engine.run.place.last_validation = Stopwatch::default();
        }
        self.agree()?;
        self.keep()?;
        let stop = loop {
            match self.is_done() {
                // An epoch that a checkpoint left unfinished is ended first.
                Some(stop) if !self.is_in_epoch() => break stop,
                _ => self.epoch()?,
            }
            if self.is_done().is_none() {
                self.engine.check_interrupt()?;
            }
        };
        self.renew_statistics()?;
        self.engine.fire(self.module, Event::TrainEnd)?;
        // A fit resumed from this checkpoint should train longer, so the stop that ended this fit is not saved.
        let asked = std::mem::take(&mut self.engine.run.place.requests.stops);
        self.agree()?;
        self.write_checkpoints()?;
        self.engine.run.place.requests.stops = asked;
        // A checkpoint that cannot be written is a failure of the fit, not of its teardown.
        checkpoint::settle(self.engine)?;
        Ok(stop)
    }

    fn epoch(&mut self) -> Result<()> {
        let position = Position::new(self.engine.run.place.progress.epoch, self.engine.run.place.progress.batch_in_epoch);
        let _span = tracing::info_span!("epoch", epoch = position.epoch).entered();
        self.engine.run.moment.stage = RunningStage::Train;
        self.engine.run.moment.num_dataloaders = 1;
        self.engine.run.moment.batch_idx = position.batch.div_ceil(self.engine.world()).saturating_sub(1);
        if position.batch == 0 {
            logger_step::set_to_next(&mut self.engine.run.place);
            self.engine.reseed(RandomPart::EpochStart);
            self.engine.store.start_epoch();
            self.engine.fire(self.module, Event::TrainEpochStart)?;
            self.agree()?;
            adopt(self.module, &self.engine.frame)?;
        }
        // Layers that check whether their input has an autodiff graph (dropout, batch normalization) may come first.
        let with_tape = training_mode::device_of(self.module);
        // The checkpoint may have been written before the actions after a batch, or before a requested skip.
        let mut flow = match position.batch {
            0 => Flow::Continue,
            _ if self.engine.run.place.after_batch => self.after_batch()?,
            _ => self.skip_if_asked(),
        };
        // Only now: no hook may draw random numbers while the threads of the data are checked.
        let mut batches = self.train.batches(position, with_tape.as_ref().unwrap_or(&self.engine.frame.device))?;
        while flow == Flow::Continue && self.is_done().is_none() {
            if self.engine.run.limits.train_batches.is_some_and(|n| self.engine.run.place.progress.batch_in_epoch >= n) {
                break;
            }
            self.begin_round();
            let batch = if self.has_batch() {
                let waiting = clock::now();
                let batch = self.engine.time("train_next", |_| batches.next());
                self.engine.run.data_wait += clock::since(waiting);
                let Some(batch) = batch else {
                    self.check_not_empty()?;
                    flow = Flow::EndEpoch;
                    break;
                };
                Some(batch?).filter(|_| !self.is_left_out())
            } else {
                None
            };
            flow = self.batch(batch, batches.is_last())?;
            if self.engine.signal().is_some() {
                // The run resumes from the state that is saved now.
                self.finite.settle(self.engine, self.module)?;
            }
            // A skipped epoch must end first: no checkpoint can represent that the rest of it is not trained.
            if flow == Flow::Continue {
                self.engine.check_interrupt()?;
            }
        }
        drop(batches);
        if flow == Flow::Continue && !self.engine.run.place.is_last_batch {
            self.note_unfinished()?;
        }
        if flow == Flow::EndEpoch {
            self.end_early()?;
        }
        self.end_epoch()
    }

    /// One batch. `None` on a rank that has none in this round: it takes part in what all ranks do together.
    fn batch(&mut self, batch: Option<Batch<M::Batch>>, is_last: bool) -> Result<Flow> {
        self.training.unfinished = None;
        let round = self.round();
        let engine = &mut *self.engine;
        engine.books.in_force = InForce::Trained;
        let first = engine.run.place.progress.batch_in_epoch;
        let batch_idx = first / round.ranks;
        let _span = tracing::debug_span!("step", step = engine.run.place.progress.global_step, batch_idx).entered();
        let is_last = (is_last && round.ranks == 1) || engine.run.limits.train_batches == Some(first + round.batches);
        let window = engine.run.place.window.next(first == 0, is_last, engine.run.place.accumulate_grad_batches, round);
        engine.run.batch_items = batch.as_ref().and_then(|batch| self.module.batch_size(&batch.value).or(batch.items));
        engine.run.moment.batch_idx = batch_idx;
        engine.run.place.is_last_batch = is_last;
        logger_step::set_to_next(&mut engine.run.place);
        engine.run.place.logs_this_step = window.closes && engine.logs_step(engine.run.place.logger_step);
        engine.reseed(RandomPart::Batch);
        if let Some(batch) = &batch {
            engine.fire(self.module, Event::TrainBatchStart { batch: &batch.value, batch_idx })?;
        }
        self.agree()?;
        if self.skip_if_asked() == Flow::EndEpoch {
            self.engine.run.batch_items = Some(1);
            self.engine.run.place.is_last_batch = false;
            return Ok(Flow::EndEpoch);
        }
        let engine = &mut *self.engine;
        let started = engine.frame.profiler.start();
        let has_batch = batch.is_some();
        let BatchOutcome { output, has_stepped, skipped, evidence } = match batch {
            Some(batch) => self.training_batch(batch.value, batch_idx, window)?,
            None => self.without_batch(window)?,
        };
        let engine = &mut *self.engine;
        engine.stop_time(started, "training_batch");
        engine.average_running_stats(self.module, &mut self.training.stats)?;
        engine.run.place.window.add(window, round, &self.training.accumulated);
        engine.run.place.progress.global_step += u64::from(has_stepped);
        engine.run.place.progress.batches += round.batches as u64;
        engine.run.place.progress.batch_in_epoch += round.batches;
        if is_last {
            self.training.optimizers.step_epoch_schedules(engine.run.place.progress.epoch as u64 + 1)?;
            self.refresh_learning_rates();
        }
        self.engine.run.place.validation_is_due = self.is_validation_due(has_stepped);
        self.engine.run.place.after_batch = true;
        self.engine.run.step_skipped = skipped.is_some();
        self.finite.judge(skipped, has_stepped, &mut self.engine.run)?;
        self.finite.add(evidence, &self.engine.run);
        self.finite.check(self.engine, self.module)?;
        if self.engine.run.place.logs_this_step {
            self.finite.watch(self.engine, self.module);
        }
        self.show_optimizer_state(has_stepped)?;
        // Hooks that change weights must do so on every rank. Values that they log without a batch are dropped.
        self.engine.store.drops_records = !has_batch;
        let fired = self.engine.fire(self.module, Event::TrainBatchEnd { output: &output, batch_idx });
        self.engine.store.drops_records = false;
        fired?;
        if has_batch {
            self.engine.store.end_batch(window.closes, self.engine.run.step_skipped)?;
        } else if window.closes {
            self.engine.store.end_window(self.engine.run.step_skipped)?;
        }
        self.engine.run.batch_items = Some(1);
        self.agree()?;
        self.log_step(has_stepped)?;
        self.keep()?;
        self.write_checkpoints()?;
        self.after_batch()
    }

    /// Actions after a batch: validation, if it is due or the run is about to stop, and schedules that watch a metric.
    fn after_batch(&mut self) -> Result<Flow> {
        let is_due = self.engine.run.place.validation_is_due;
        if is_due {
            self.validate(RunningStage::Validate)?;
        }
        let engine = &mut *self.engine;
        let mut newest = |name: &str| engine.found_by_zero(|engine| monitored(&mut engine.store, &engine.run, name).map(Some));
        if self.training.optimizers.step_watching_schedules(None, &mut newest)? {
            self.refresh_learning_rates();
        }
        // A longer fit would not validate here, so its schedules must not see this validation.
        let is_last_look = !is_due && !self.val.is_empty() && self.allowed_stop().is_some();
        if is_last_look {
            if !self.engine.run.place.is_last_batch && !self.engine.run.place.requests.skip_epoch {
                self.note_unfinished()?;
            }
            self.validate(RunningStage::Validate)?;
        }
        self.engine.run.place.after_batch = false;
        // An interrupt may have cut short a final validation, which the resumed fit does not repeat.
        self.engine.run.place.evaluating = None;
        if is_due || is_last_look {
            self.agree()?;
            self.keep()?;
            self.write_checkpoints()?;
        }
        Ok(self.skip_if_asked())
    }

    fn skip_if_asked(&mut self) -> Flow {
        if std::mem::take(&mut self.engine.run.place.requests.skip_epoch) { Flow::EndEpoch } else { Flow::Continue }
    }

    /// Sends the step metrics to the loggers, if they are due. They are read from the device on the loggers' threads.
    fn log_step(&mut self, stepped: bool) -> Result<()> {
        let engine = &mut *self.engine;
        let is_due = engine.run.place.logs_this_step || engine.run.place.requests.stop().is_some();
        let is_logged = if engine.world() == 1 { !engine.run.loggers.is_empty() } else { engine.books.is_logged };
        if !(stepped && is_due && is_logged) || engine.frame.config.log_every_n_steps == 0 {
            return Ok(());
        }
        let started = engine.frame.profiler.start();
        if let Some(bundle) = engine.step_metrics()? {
            engine.frame.device.flush().map_err(Error::other)?;
            let sent = bundle.send(&engine.run.loggers, engine.run.place.logger_step, Some(engine.run.place.progress.epoch));
            engine.note_logged(sent);
        }
        engine.stop_time(started, "log_step");
        Ok(())
    }
}
