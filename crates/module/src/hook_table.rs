//! The only list of hooks. It generates [`Hook`](crate::Hook), [`Event`](crate::Event), the hooks of
//! [`Callback`](crate::Callback) and [`LightningModule`](crate::LightningModule), `ModuleHooks` and `LambdaCallback`.
//!
//! A new hook needs a row here, a `fire` in the loop, a line in the pseudocode of `Event`, and one in the table of
//! `docs/callbacks.md`. Tests check both pages. A hook within an optimization step also needs a method of `StepHooks`.

/// The rows. `$a` is the lifetime of references and `$batch` the type of a batch. Each user of [`hooks!`] chooses its
/// own.
///
/// ```text
/// /// The doc, wherever the hook appears.
/// event method => Variant { argument: Type, .. }, LOG_RULE;       callbacks and module have the method, `Event` the variant
/// call  method => Variant, LOG_RULE;                              a variant of `Hook` alone
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! hook_table {
    ($a:lifetime, $batch:ty, $($to:tt)*) => { $crate::hooks! { $($to)*
        /// First event of a run, once per machine: the place to download or write data.
        event prepare_data => PrepareData, NONE;
        /// A run of some stage starts. The optimizers are configured after it. A run that is refused here leaves no
        /// folder behind.
        event setup => Setup { stage: $crate::moment::Stage }, NONE;
        /// The data module makes the training loader.
        call train_dataloader => TrainDataloader, NONE;
        /// The data module makes the validation loaders.
        call val_dataloader => ValDataloader, NONE;
        /// The data module makes the test loaders.
        call test_dataloader => TestDataloader, NONE;
        /// The data module makes the predict loaders.
        call predict_dataloader => PredictDataloader, NONE;
        /// A run of some stage ends, also after an error.
        event teardown => Teardown { stage: $crate::moment::Stage }, NONE;
        /// The module configures its optimizers.
        call configure_optimizers => ConfigureOptimizers, NONE;

        /// The fit starts. The optimizers are configured; the sanity check comes next.
        event on_fit_start => FitStart, NONE;
        /// The fit ends.
        event on_fit_end => FitEnd, NONE;
        /// The sanity check starts.
        event on_sanity_check_start => SanityCheckStart, NONE;
        /// The sanity check ends. Its metrics are discarded after this event.
        event on_sanity_check_end => SanityCheckEnd, NONE;

        /// Training starts, after the sanity check.
        event on_train_start => TrainStart, EPOCH;
        /// Training ends.
        event on_train_end => TrainEnd, NONE;
        /// A training epoch starts.
        event on_train_epoch_start => TrainEpochStart, EPOCH;
        /// A training epoch ends. Values logged here belong to the metrics of the epoch.
        event on_train_epoch_end => TrainEpochEnd, EPOCH;
        /// A training batch starts. `ctx.skip_epoch()` skips it and the rest of the epoch.
        ///
        /// `batch_idx` counts from 0 in each epoch.
        event on_train_batch_start => TrainBatchStart { batch: &$a $batch, batch_idx: usize }, STEP;
        /// A training batch ends. `output` is the step's result, with its loss detached. The step consumed the batch.
        event on_train_batch_end => TrainBatchEnd { output: &$a $crate::StepOutput, batch_idx: usize }, STEP;
        /// The training step itself, or a custom `training_batch`.
        call training_step => TrainingStep, STEP;
        /// A new window of gradients starts, for the optimizer of this name. Automatic optimization only.
        event on_before_zero_grad => BeforeZeroGrad { optimizer: &$a str }, STEP;
        /// The gradients of `loss` are about to be computed. `loss` is what the step returned.
        event on_before_backward => BeforeBackward { loss: &$a burn::tensor::Tensor<1> }, STEP;
        /// The gradients of one loss are known. They are neither clipped, nor accumulated, nor divided by a weight yet.
        event on_after_backward => AfterBackward { gradients: &$a mut burn::optim::GradientsParams }, STEP;
        /// The optimizer of this name is about to step with `gradients`, the mean of its window. Clipping comes after.
        event on_before_optimizer_step =>
            BeforeOptimizerStep { optimizer: &$a str, gradients: &$a mut burn::optim::GradientsParams }, STEP;

        /// Validation starts.
        event on_validation_start => ValidationStart, EPOCH;
        /// Validation ends. Its metrics are known.
        event on_validation_end => ValidationEnd, NONE;
        /// A pass over the validation loaders starts.
        event on_validation_epoch_start => ValidationEpochStart, EPOCH;
        /// A pass over the validation loaders ends. Values logged here belong to its metrics.
        event on_validation_epoch_end => ValidationEpochEnd, EPOCH;
        /// A validation batch starts. `batch_idx` counts from 0 in each loader.
        event on_validation_batch_start =>
            ValidationBatchStart { batch: &$a $batch, batch_idx: usize, dataloader_idx: usize }, EVALUATION;
        /// A validation batch ends. `output` is what the step returned.
        event on_validation_batch_end =>
            ValidationBatchEnd { output: &$a $crate::StepOutput, batch_idx: usize, dataloader_idx: usize }, EVALUATION;
        /// The validation step itself.
        call validation_step => ValidationStep, EVALUATION;

        /// A test starts.
        event on_test_start => TestStart, EPOCH;
        /// A test ends. Its metrics are known.
        event on_test_end => TestEnd, NONE;
        /// A pass over the test loaders starts.
        event on_test_epoch_start => TestEpochStart, EPOCH;
        /// A pass over the test loaders ends. Values logged here belong to its metrics.
        event on_test_epoch_end => TestEpochEnd, EPOCH;
        /// A test batch starts. `batch_idx` counts from 0 in each loader.
        event on_test_batch_start => TestBatchStart { batch: &$a $batch, batch_idx: usize, dataloader_idx: usize }, EVALUATION;
        /// A test batch ends. `output` is what the step returned.
        event on_test_batch_end =>
            TestBatchEnd { output: &$a $crate::StepOutput, batch_idx: usize, dataloader_idx: usize }, EVALUATION;
        /// The test step itself.
        call test_step => TestStep, EVALUATION;

        /// Prediction starts.
        event on_predict_start => PredictStart, NONE;
        /// Prediction ends.
        event on_predict_end => PredictEnd, NONE;
        /// A pass over the predict loaders starts.
        event on_predict_epoch_start => PredictEpochStart, NONE;
        /// A pass over the predict loaders ends.
        event on_predict_epoch_end => PredictEpochEnd, NONE;
        /// A predict batch starts. `batch_idx` counts from 0 in each loader.
        event on_predict_batch_start => PredictBatchStart { batch: &$a $batch, batch_idx: usize, dataloader_idx: usize }, NONE;
        /// A predict batch ends. `prediction` is what the step returned: downcast it to the module's `Prediction`.
        event on_predict_batch_end =>
            PredictBatchEnd { prediction: &$a dyn std::any::Any, batch_idx: usize, dataloader_idx: usize }, NONE;
        /// The predict step itself.
        call predict_step => PredictStep, NONE;

        /// A checkpoint is about to be written. Add your own values to its JSON.
        event on_save_checkpoint => SaveCheckpoint { checkpoint: &$a mut serde_json::Map<String, serde_json::Value> }, NONE;
        /// A checkpoint was read. `checkpoint` contains the values that `on_save_checkpoint` added.
        event on_load_checkpoint => LoadCheckpoint { checkpoint: &$a serde_json::Map<String, serde_json::Value> }, NONE;
        /// The run failed or was interrupted.
        event on_exception => Exception { error: &$a $crate::Error }, NONE;
    } };
}

/// Passes rows of [`hook_table!`] to the macro with this name.
///
/// | call | rows | as |
/// |---|---|---|
/// | `hooks!(name)` | all | as in the table |
/// | `hooks!(name<'a, Batch>)` | events | `#[doc] method => Variant { argument: Type, .. };` |
#[doc(hidden)]
#[macro_export]
macro_rules! hooks {
    ($name:ident) => { $crate::hook_table! { '_, (), @all $name } };
    ($name:ident<$a:lifetime, $batch:ty>) => { $crate::hook_table! { $a, $batch, @events $name [] } };

    (@all $name:ident $($rows:tt)*) => { $name! { $($rows)* } };

    // One row at a time: `[..]` collects the events.
    (@events $name:ident [$($events:tt)*]) => { $name! { $($events)* } };
    (@events $name:ident [$($events:tt)*]
        $(#$doc:tt)* event $method:ident => $variant:ident $({ $($arguments:tt)* })?, $rule:ident; $($rest:tt)*
    ) => {
        $crate::hooks! { @events $name [$($events)* $(#$doc)* $method => $variant $({ $($arguments)* })?;] $($rest)* }
    };
    (@events $name:ident [$($events:tt)*] $(#$doc:tt)* call $method:ident => $variant:ident, $rule:ident; $($rest:tt)*) => {
        $crate::hooks! { @events $name [$($events)*] $($rest)* }
    };
}
