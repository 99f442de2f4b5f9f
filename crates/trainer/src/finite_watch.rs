//! Notices a loss or gradient that is not finite without ever waiting for it.
//!
//! Each batch leaves evidence on the device. When step metrics leave the device, before a checkpoint is written, and at
//! the end of an epoch, the place of the first bad piece of evidence is computed there, and that one number goes along.
//! It is looked at as soon as it is there: usually a few batches later.

use std::collections::VecDeque;

use burn::tensor::{DType, Tensor, TensorData};
use stormfire_module::{
    Error, LightningModule, Result, gradients,
    read::{Reading, Scalar},
    run::Run,
    stepper::{Evidence, FiniteCheck},
};

use crate::{config::TrainerConfig, engine::Engine, non_finite::NonFinite};

/// The place of the first bad piece of evidence when there is none. Up to here `f32` counts without gaps.
const NONE: f32 = 16_777_216.0;

/// So many pieces of evidence are kept before they are boiled down to one number.
const CHUNK: usize = 128;

/// So many readings are kept that nobody has read. Each covers those before it, so the oldest can go.
const UNREAD: usize = 64;

/// A batch with evidence: two pieces, for the losses and for the gradients.
#[derive(Clone, Copy)]
struct Place {
    batch_idx: usize,
    global_step: u64,
}

/// The evidence of the epoch at hand, and what is known of it.
pub(crate) struct FiniteWatch {
    policy: NonFinite,
    detects_anomaly: bool,
    /// The batches of this epoch that are not known to be fine.
    places: VecDeque<Place>,
    /// How many batches before those are.
    fine: usize,
    /// Two pieces of evidence for each of the newest batches.
    pending: Vec<Tensor<1>>,
    /// The first bad piece in this epoch, of all but the pending ones.
    first_bad: Option<Tensor<1>>,
    /// That number on its way from the device, and how many batches it speaks of.
    on_its_way: VecDeque<(Reading, usize)>,
    /// Why the fit stops.
    stop: Option<String>,
    skipped: u64,
}

impl FiniteWatch {
    pub(crate) fn new(config: &TrainerConfig) -> Self {
        Self {
            policy: config.on_non_finite,
            detects_anomaly: config.detect_anomaly,
            places: VecDeque::new(),
            fine: 0,
            pending: Vec::new(),
            first_bad: None,
            on_its_way: VecDeque::new(),
            stop: None,
            skipped: 0,
        }
    }

    /// What the Stepper is to do about it in the next batch.
    pub(crate) fn plan(&self) -> FiniteCheck {
        match self.policy {
            _ if self.detects_anomaly || self.stop.is_some() => FiniteCheck::Off,
            NonFinite::Off => FiniteCheck::Off,
            NonFinite::Skip { .. } => FiniteCheck::BeforeStep,
            NonFinite::Error | NonFinite::Stop => FiniteCheck::Later,
        }
    }

    /// Why the fit stops, if it does.
    pub(crate) fn stop(&self) -> Option<&str> {
        self.stop.as_deref()
    }

    /// Counts the steps that were left out; too many in a row, also over a restart, are an error.
    pub(crate) fn judge(&mut self, skipped: Option<String>, has_stepped: bool, in_a_row: &mut u32, run: &Run) -> Result<()> {
        let Some(what) = skipped else {
            // A batch that only adds to its window of gradients says nothing.
            *in_a_row = if has_stepped { 0 } else { *in_a_row };
            return Ok(());
        };
        *in_a_row += 1;
        self.skipped += 1;
        let place = Place { batch_idx: run.moment.batch_idx, global_step: run.logger_step };
        match self.policy {
            NonFinite::Skip { max_in_a_row } if *in_a_row > max_in_a_row => {
                let plural = if max_in_a_row == 1 { "" } else { "s" };
                let what = format!("after {max_in_a_row} skipped step{plural} in a row {what}");
                Err(error(what, place, run, Vec::new()))
            }
            _ => {
                // At the 1st, 2nd, 4th, 8th, ….
                if self.skipped.is_power_of_two() {
                    tracing::warn!("{}: the step is skipped ({} in all)", error(what, place, run, Vec::new()), self.skipped);
                }
                Ok(())
            }
        }
    }

    /// Takes in what a batch left behind.
    pub(crate) fn add(&mut self, evidence: Evidence, run: &Run) {
        if self.plan() != FiniteCheck::Later {
            return;
        }
        let (losses, gradients) = match (evidence.losses, evidence.gradients) {
            (Some(losses), Some(gradients)) => (losses, gradients),
            (Some(only), None) | (None, Some(only)) => (only.clone(), only),
            (None, None) => return,
        };
        self.pending.extend([losses, gradients]);
        self.places.push_back(Place { batch_idx: run.moment.batch_idx, global_step: run.logger_step });
        if self.pending.len() >= CHUNK {
            self.boil_down();
        }
    }

    /// The number of batches in this epoch that left something.
    fn batches(&self) -> usize {
        self.fine + self.places.len()
    }

    fn boil_down(&mut self) {
        let end = 2 * self.batches();
        let start = end - self.pending.len();
        if start == end {
            return;
        }
        let values = Tensor::cat(std::mem::take(&mut self.pending), 0);
        // Beyond millions of batches in an epoch the place is not exact, but never lost.
        let numbers: Vec<f32> = (start..end).map(|i| (i as f32).min(NONE - 1.0)).collect();
        let numbers = Tensor::<1>::from_data(TensorData::from(numbers.as_slice()), (&values.device(), DType::F32));
        let first = numbers.mask_fill(values.is_finite(), NONE).min();
        self.first_bad = Some(match self.first_bad.take() {
            Some(before) => before.min_pair(first),
            None => first,
        });
    }

    /// Lets the verdict go along with the values that are read next.
    pub(crate) fn watch<M: LightningModule>(&mut self, engine: &mut Engine<M>) {
        let news = !self.pending.is_empty();
        self.boil_down();
        let Some(first_bad) = self.first_bad.clone().filter(|_| news) else { return };
        let reading = Reading::new(Scalar::Device(first_bad));
        engine.store.watch(reading.clone());
        self.on_its_way.push_back((reading, self.batches()));
        if self.on_its_way.len() > UNREAD {
            self.on_its_way.pop_front();
        }
    }

    /// Acts upon a verdict that is here: an error, or a stop.
    pub(crate) fn check<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) -> Result<()> {
        let Some(newest) = self.on_its_way.iter().rposition(|(reading, _)| reading.get().is_some()) else { return Ok(()) };
        let Some((reading, batches)) = self.on_its_way.drain(..=newest).next_back() else { return Ok(()) };
        let first_bad = reading.get().unwrap_or(f64::from(NONE));
        let fine = if first_bad < f64::from(NONE) { first_bad as usize / 2 } else { batches };
        self.places.drain(..(fine - self.fine).min(self.places.len()));
        self.fine = fine;
        if first_bad >= f64::from(NONE) {
            return Ok(());
        }
        let Some(&place) = self.places.front() else { return Ok(()) };
        let what = if (first_bad as usize).is_multiple_of(2) { "the training loss" } else { "a gradient" };
        let error = error(what.into(), place, &engine.run, gradients::non_finite_parameters(module)?);
        if self.policy != NonFinite::Stop {
            return Err(error);
        }
        tracing::warn!("{error}: training stops");
        self.stop = Some(error.to_string());
        self.forget();
        Ok(())
    }

    /// Reads the verdict on all batches so far: something is about to be saved. Nothing is saved after a stop.
    pub(crate) fn settle<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) -> Result<()> {
        self.watch(engine);
        if let Some((newest, _)) = self.on_its_way.back() {
            Reading::read_all(std::slice::from_ref(newest))?;
        }
        self.check(engine, module)?;
        if self.stop.is_some() {
            for request in engine.run.requests.saves.drain(..) {
                tracing::warn!("`{}` is not written: the parameters are not finite", request.path.display());
            }
        }
        Ok(())
    }

    /// Acts upon the verdict on the whole epoch, which has been read with its metrics.
    pub(crate) fn end_epoch<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) -> Result<()> {
        self.check(engine, module)?;
        self.forget();
        Ok(())
    }

    fn forget(&mut self) {
        (self.fine, self.first_bad) = (0, None);
        self.places.clear();
        self.pending.clear();
        self.on_its_way.clear();
    }
}

fn error(what: String, place: Place, run: &Run, parameters: Vec<String>) -> Error {
    let Place { batch_idx, global_step } = place;
    Error::NonFinite { what, epoch: run.progress.epoch, batch_idx, global_step, parameters }
}
