//! Detects a loss or gradient that is not finite, without waiting for the device.
//!
//! The loss of each batch is kept on the device, and also the norm of its gradients if clipping computes one. This
//! costs nothing. The kept values are read together with the step metrics, before a checkpoint is written, and at the
//! end of an epoch. They are checked as soon as they are available, usually a few batches later. A gradient may break
//! parameters without a trace in any loss. Such parameters are found because they are checked at intervals, together
//! with other reads.

use std::{collections::VecDeque, sync::Arc};

use burn::tensor::{DType, Tensor, TensorData};
use stormfire_module::{
    Error, LightningModule, Result,
    for_trainer::{Evidence, FiniteCheck, Skipped},
    run::Run,
};
use stormfire_optim::gradients;
use stormfire_values::{Scalar, read::Reading};

use crate::{config::TrainerConfig, engine::Engine, finite_weights::TRAINED, non_finite::NonFinite};

/// The index of the first bad piece of evidence if there is none. `f32` represents all integers up to this value.
const NONE: f32 = 16_777_216.0;

/// Number of unread pieces of evidence that are kept separately. More are reduced to one number.
const CHUNK: usize = 128;

/// Number of batches after which the parameters are checked with the next read, at the cost of one reduction per
/// parameter.
const LOOK_EVERY: usize = 50;

/// The origin of a piece of evidence: the value and the batch.
#[derive(Clone, Copy)]
struct Origin {
    of: &'static str,
    batch_idx: usize,
    global_step: u64,
}

/// The evidence of the current epoch.
pub(crate) struct FiniteWatch {
    policy: NonFinite,
    detects_anomaly: bool,
    /// The origins of all evidence that is not known to be finite, oldest first.
    origins: VecDeque<Origin>,
    /// The newest evidence, one reading per piece.
    pieces: VecDeque<Reading>,
    /// The older evidence, reduced: the index of the first bad piece in `origins`, or [`NONE`].
    first_bad: Option<Reading>,
    /// Number of batches since the last check of the parameters.
    unseen: usize,
    /// Why the fit stops.
    stop: Option<String>,
    skipped: u64,
}

impl FiniteWatch {
    pub(crate) fn new(config: &TrainerConfig) -> Self {
        Self {
            policy: config.on_non_finite,
            detects_anomaly: config.detect_anomaly,
            origins: VecDeque::new(),
            pieces: VecDeque::new(),
            first_bad: None,
            unseen: 0,
            stop: None,
            skipped: 0,
        }
    }

    /// The check that the Stepper must do in the next batch.
    pub(crate) fn plan(&self) -> FiniteCheck {
        match self.policy {
            _ if self.detects_anomaly || self.stop.is_some() => FiniteCheck::Off,
            NonFinite::Off => FiniteCheck::Off,
            NonFinite::Skip { .. } => FiniteCheck::BeforeStep,
            NonFinite::Error | NonFinite::Stop => FiniteCheck::Later,
        }
    }

    /// Another rank has found values that are not finite.
    pub(crate) fn stop_as_another_rank(&mut self) {
        self.stop.get_or_insert_with(|| "another rank has values that are not finite".into());
    }

    /// Why the fit stops, if it does.
    pub(crate) fn stop(&self) -> Option<&str> {
        self.stop.as_deref()
    }

    /// Counts skipped steps. Too many in a row, also across a resume, are an error.
    pub(crate) fn judge(&mut self, skipped: Option<Skipped>, has_stepped: bool, run: &mut Run) -> Result<()> {
        let Some(skipped) = skipped else {
            // A batch that only adds to its window of gradients does not end the row.
            if has_stepped {
                run.place.skipped_in_a_row = 0;
            }
            return Ok(());
        };
        self.skipped += 1;
        let what = match skipped {
            Skipped::NotFinite(what) => what,
            Skipped::Asked(reason) => {
                if self.skipped.is_power_of_two() {
                    tracing::warn!("{reason}: the step is skipped ({} in all)", self.skipped);
                }
                return Ok(());
            }
        };
        run.place.skipped_in_a_row += 1;
        let origin = Origin::of("", run);
        match self.policy {
            NonFinite::Skip { max_in_a_row } if run.place.skipped_in_a_row > max_in_a_row => {
                let plural = if max_in_a_row == 1 { "" } else { "s" };
                let what = format!("after {max_in_a_row} skipped step{plural} in a row {what}");
                Err(error(what, origin, run, Vec::new()))
            }
            _ => {
                // Warns at the 1st, 2nd, 4th, 8th, … skipped step.
                if self.skipped.is_power_of_two() {
                    tracing::warn!("{}: the step is skipped ({} in all)", error(what, origin, run, Vec::new()), self.skipped);
                }
                Ok(())
            }
        }
    }

    /// Adds the evidence of a batch.
    pub(crate) fn add(&mut self, evidence: Evidence, run: &Run) {
        if self.plan() != FiniteCheck::Later {
            return;
        }
        self.unseen += 1;
        for (of, piece) in [("the training loss", evidence.losses), ("a gradient", evidence.gradients)] {
            if let Some(piece) = piece {
                self.keep(of, piece, run);
            }
        }
    }

    fn keep(&mut self, of: &'static str, piece: Scalar, run: &Run) {
        if matches!(&piece, Scalar::Host(value) if value.is_finite()) {
            return;
        }
        if self.pieces.len() >= CHUNK {
            self.boil_down();
        }
        self.origins.push_back(Origin::of(of, run));
        self.pieces.push_back(Reading::new(piece));
    }

    fn boil_down(&mut self) {
        let start = self.origins.len() - self.pieces.len();
        let pieces: Vec<_> = self.pieces.iter().map(|piece| piece.source().scalar()).collect();
        let device = |piece: &Scalar| if let Scalar::Device(value) = piece { Some(value.parts().open.device()) } else { None };
        let Some(device) = pieces.iter().find_map(device) else {
            // All pieces were read. The next check handles them.
            return;
        };
        self.pieces.clear();
        let tensor = |piece| match piece {
            Scalar::Device(value) => value.into_tensor().cast(DType::F32),
            Scalar::Host(value) => Tensor::from_data([value as f32], (&device, DType::F32)),
        };
        let values = Tensor::cat(pieces.into_iter().map(tensor).collect(), 0);
        // After millions of batches in an epoch the index is not exact, but a bad piece is never lost.
        let numbers: Vec<f32> = (start..self.origins.len()).map(|i| (i as f32).min(NONE - 1.0)).collect();
        let numbers = Tensor::<1>::from_data(TensorData::from(numbers.as_slice()), (&device, DType::F32));
        let first = Scalar::from(numbers.mask_fill(values.is_finite(), NONE).min());
        let first = match self.first_bad.take() {
            Some(before) => before.source().scalar().min(first),
            None => first,
        };
        self.first_bad = Some(Reading::new(first));
    }

    /// Adds the evidence to the values of the next read.
    pub(crate) fn watch<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) {
        if self.plan() == FiniteCheck::Later && self.unseen >= LOOK_EVERY {
            self.look_at_parameters(&engine.run, module);
        }
        engine.store.watch(self.unread());
    }

    fn look_at_parameters<M: LightningModule>(&mut self, run: &Run, module: &M) {
        self.unseen = 0;
        if let Some(total) = gradients::total_of_trained(module) {
            self.keep(TRAINED, total.into(), run);
        }
    }

    fn unread(&self) -> Arc<[Reading]> {
        self.first_bad.iter().chain(&self.pieces).cloned().collect()
    }

    /// Drops evidence that is known to be finite. Returns the origin of the first piece that is known not to be.
    fn sift(&mut self) -> Option<Origin> {
        if let Some(first_bad) = &self.first_bad {
            let first_bad = first_bad.get()?;
            let covered = self.origins.len() - self.pieces.len();
            if first_bad < f64::from(NONE) {
                return self.origins.get((first_bad as usize).min(covered.saturating_sub(1))).copied();
            }
            self.origins.drain(..covered);
            self.first_bad = None;
        }
        while let Some(value) = self.pieces.front().and_then(Reading::get) {
            if !value.is_finite() {
                return self.origins.front().copied();
            }
            self.pieces.pop_front();
            self.origins.pop_front();
        }
        None
    }

    /// Acts on available evidence: returns an error, or stops the fit.
    pub(crate) fn check<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) -> Result<()> {
        if let Some(refused) = engine.frame.checkpoints.refused() {
            self.stop.get_or_insert(refused.to_string());
            self.forget(engine);
        }
        let Some(origin) = self.sift() else { return Ok(()) };
        let error = error(origin.of.into(), origin, &engine.run, gradients::non_finite_parameters(module)?);
        if self.policy != NonFinite::Stop {
            return Err(error);
        }
        tracing::warn!("{error}: training stops");
        self.stop = Some(error.to_string());
        self.forget(engine);
        Ok(())
    }

    /// Reads the evidence of all batches so far before a save. After a stop, nothing is saved. The parameters are
    /// checked when they are written.
    pub(crate) fn settle<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) -> Result<()> {
        Reading::read_all(&self.unread())?;
        self.check(engine, module)?;
        let why = if self.stop.is_some() { "the parameters are not finite" } else { "a callback has found the weights to be bad" };
        if self.stop.is_some() || engine.run.place.requests.saves_nothing {
            for request in engine.run.place.requests.saves.drain(..) {
                tracing::warn!("`{}` is not written: {why}", request.path.display());
            }
        }
        Ok(())
    }

    /// At the end of an epoch: its evidence and that of the parameters is read with its metrics.
    pub(crate) fn watch_epoch<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) {
        if self.plan() == FiniteCheck::Later {
            self.look_at_parameters(&engine.run, module);
        }
        self.watch(engine, module);
    }

    /// Acts on the evidence of the whole epoch, which was read.
    pub(crate) fn end_epoch<M: LightningModule>(&mut self, engine: &mut Engine<M>, module: &M) -> Result<()> {
        self.check(engine, module)?;
        self.forget(engine);
        Ok(())
    }

    fn forget<M: LightningModule>(&mut self, engine: &mut Engine<M>) {
        self.first_bad = None;
        self.origins.clear();
        self.pieces.clear();
        engine.store.watch(Arc::default());
    }
}

impl Origin {
    fn of(of: &'static str, run: &Run) -> Self {
        Self { of, batch_idx: run.moment.batch_idx, global_step: run.place.logger_step }
    }
}

fn error(what: String, origin: Origin, run: &Run, parameters: Vec<String>) -> Error {
    let Origin { batch_idx, global_step, .. } = origin;
    Error::NonFinite { what, epoch: run.place.progress.epoch, batch_idx, global_step, parameters }
}

#[cfg(test)]
mod tests {
    use stormfire_values::read::DistantCpu;

    use super::*;

    /// Another thread may read just before the evidence is reduced.
    #[test]
    fn the_first_bad_batch_is_found_whenever_its_evidence_was_read() {
        let _distant = DistantCpu::new();
        let device = burn::tensor::Device::flex();
        for (bad, read) in [(5, 0..0), (5, 0..CHUNK), (5, 0..6), (5, 6..CHUNK), (0, 0..1), (CHUNK - 1, 0..CHUNK), (CHUNK, 0..CHUNK)] {
            let mut watch = FiniteWatch::new(&TrainerConfig::default());
            // The last piece is added after the others were reduced.
            for batch_idx in 0..=CHUNK {
                if watch.pieces.len() == CHUNK {
                    let known: Vec<_> = watch.pieces.range(read.clone()).cloned().collect();
                    Reading::read_all(&known).unwrap();
                    watch.boil_down();
                }
                let value = if batch_idx == bad { f32::NAN } else { 1.0 };
                watch.origins.push_back(Origin { of: "the training loss", batch_idx, global_step: 0 });
                watch.pieces.push_back(Reading::new(Tensor::<1>::from_floats([value], &device).into()));
            }
            Reading::read_all(&watch.unread()).unwrap();
            assert_eq!(watch.sift().map(|origin| origin.batch_idx), Some(bad), "{read:?}");
        }
    }
}
