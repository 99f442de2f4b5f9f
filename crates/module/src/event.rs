//! Everything that can happen in a run.

use std::any::Any;

use burn::{optim::GradientsParams, tensor::Tensor};
use serde_json::{Map, Value};
use stormfire_data::Stage;

use crate::{error::Error, hook::Hook, stepper::StepOutput};

/// What happens in a run, in one closed list: everything that can call a callback or a module's hook is here.
///
/// This is the loop. Names on the right are events; steps of the module are calls.
///
/// ```text
/// fit(module, data):
///     data.prepare_data(); data.setup(Fit)                  PrepareData, Setup
///     optimizers = module.configure_optimizers()
///                                                           FitStart
///     sanity check, if there is validation                  SanityCheckStart
///         validate num_sanity_val_steps batches             … as below
///                                                           SanityCheckEnd
///     unless there is nothing to train:                     TrainStart
///     until max_epochs, max_steps or a stop:
///                                                           TrainEpochStart
///         for batch in train_dataloader:
///                                                           TrainBatchStart          (may skip the epoch)
///             module.training_batch(batch), by default:
///                 output = module.training_step(batch)
///                 first batch of a window of gradients:     BeforeZeroGrad
///                                                           BeforeBackward
///                 loss.backward()                           AfterBackward
///                 last batch of a window: divide by weights BeforeOptimizerStep
///                     clip, update the parameters
///             last batch: epoch schedules step
///                                                           TrainBatchEnd
///             log step metrics, if due
///             write checkpoints that were asked for
///             validate, if due:
///                                                           ValidationStart, ValidationEpochStart
///                 for batch in each val_dataloader:
///                                                           ValidationBatchStart
///                     output = module.validation_step(batch)
///                                                           ValidationBatchEnd
///                                                           ValidationEpochEnd
///                 log epoch metrics
///                                                           ValidationEnd
///             schedules that watch a metric by steps look
///             stop?
///         rest skipped in a window: divide what is there    BeforeOptimizerStep
///             clip, update the parameters; epoch schedules step
///                                                           TrainEpochEnd
///         schedules that watch a metric step; log epoch metrics; write checkpoints
///                                                           TrainEnd (if started), FitEnd
///     data.teardown(Fit)                                    Teardown
///
/// on an error, a panic or an interrupt, instead of what is left up to FitEnd:
///                                                           Exception, then Teardown
/// ```
///
/// `validate`, `test` and `predict` are the inner part with their own names, between `Setup` and `Teardown`.
///
/// In every event, ordinary callbacks come first, then the module's own hook, then callbacks of
/// [`Order::Watch`](crate::Order::Watch) and of [`Order::Save`](crate::Order::Save).
///
/// `B` is the type of a batch.
#[derive(Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are what their names and types say; the variants are documented by their hooks")]
pub enum Event<'a, B> {
    PrepareData,
    Setup { stage: Stage },
    Teardown { stage: Stage },
    FitStart,
    FitEnd,
    SanityCheckStart,
    SanityCheckEnd,
    TrainStart,
    TrainEnd,
    TrainEpochStart,
    TrainEpochEnd,
    TrainBatchStart { batch: &'a B, batch_idx: usize },
    TrainBatchEnd { output: &'a StepOutput, batch_idx: usize },
    BeforeZeroGrad { optimizer: &'a str },
    BeforeBackward { loss: &'a Tensor<1> },
    AfterBackward { gradients: &'a mut GradientsParams },
    BeforeOptimizerStep { optimizer: &'a str, gradients: &'a mut GradientsParams },
    ValidationStart,
    ValidationEnd,
    ValidationEpochStart,
    ValidationEpochEnd,
    ValidationBatchStart { batch: &'a B, batch_idx: usize, dataloader_idx: usize },
    ValidationBatchEnd { output: &'a StepOutput, batch_idx: usize, dataloader_idx: usize },
    TestStart,
    TestEnd,
    TestEpochStart,
    TestEpochEnd,
    TestBatchStart { batch: &'a B, batch_idx: usize, dataloader_idx: usize },
    TestBatchEnd { output: &'a StepOutput, batch_idx: usize, dataloader_idx: usize },
    PredictStart,
    PredictEnd,
    PredictEpochStart,
    PredictEpochEnd,
    PredictBatchStart { batch: &'a B, batch_idx: usize, dataloader_idx: usize },
    PredictBatchEnd { prediction: &'a dyn Any, batch_idx: usize, dataloader_idx: usize },
    SaveCheckpoint { checkpoint: &'a mut Map<String, Value> },
    LoadCheckpoint { checkpoint: &'a Map<String, Value> },
    Exception { error: &'a Error },
}

impl<B> Event<'_, B> {
    /// The hook that this event calls.
    pub fn hook(&self) -> Hook {
        match self {
            Event::PrepareData => Hook::PrepareData,
            Event::Setup { .. } => Hook::Setup,
            Event::Teardown { .. } => Hook::Teardown,
            Event::FitStart => Hook::FitStart,
            Event::FitEnd => Hook::FitEnd,
            Event::SanityCheckStart => Hook::SanityCheckStart,
            Event::SanityCheckEnd => Hook::SanityCheckEnd,
            Event::TrainStart => Hook::TrainStart,
            Event::TrainEnd => Hook::TrainEnd,
            Event::TrainEpochStart => Hook::TrainEpochStart,
            Event::TrainEpochEnd => Hook::TrainEpochEnd,
            Event::TrainBatchStart { .. } => Hook::TrainBatchStart,
            Event::TrainBatchEnd { .. } => Hook::TrainBatchEnd,
            Event::BeforeZeroGrad { .. } => Hook::BeforeZeroGrad,
            Event::BeforeBackward { .. } => Hook::BeforeBackward,
            Event::AfterBackward { .. } => Hook::AfterBackward,
            Event::BeforeOptimizerStep { .. } => Hook::BeforeOptimizerStep,
            Event::ValidationStart => Hook::ValidationStart,
            Event::ValidationEnd => Hook::ValidationEnd,
            Event::ValidationEpochStart => Hook::ValidationEpochStart,
            Event::ValidationEpochEnd => Hook::ValidationEpochEnd,
            Event::ValidationBatchStart { .. } => Hook::ValidationBatchStart,
            Event::ValidationBatchEnd { .. } => Hook::ValidationBatchEnd,
            Event::TestStart => Hook::TestStart,
            Event::TestEnd => Hook::TestEnd,
            Event::TestEpochStart => Hook::TestEpochStart,
            Event::TestEpochEnd => Hook::TestEpochEnd,
            Event::TestBatchStart { .. } => Hook::TestBatchStart,
            Event::TestBatchEnd { .. } => Hook::TestBatchEnd,
            Event::PredictStart => Hook::PredictStart,
            Event::PredictEnd => Hook::PredictEnd,
            Event::PredictEpochStart => Hook::PredictEpochStart,
            Event::PredictEpochEnd => Hook::PredictEpochEnd,
            Event::PredictBatchStart { .. } => Hook::PredictBatchStart,
            Event::PredictBatchEnd { .. } => Hook::PredictBatchEnd,
            Event::SaveCheckpoint { .. } => Hook::SaveCheckpoint,
            Event::LoadCheckpoint { .. } => Hook::LoadCheckpoint,
            Event::Exception { .. } => Hook::Exception,
        }
    }
}
