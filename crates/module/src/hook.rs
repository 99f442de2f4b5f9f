//! The named points of a run, and what may be logged at each.

use std::fmt;

/// Whether a level (`on_step`, `on_epoch`) may be used in a hook, and what it is when the user says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "it is a row of Lightning's table")]
pub struct LogRule {
    /// `on_step = true` is allowed.
    pub on_step_allowed: bool,
    /// `on_epoch = false` is allowed.
    pub epoch_only: bool,
    /// `on_step` when nothing is said.
    pub on_step: bool,
    /// `on_epoch` when nothing is said.
    pub on_epoch: bool,
}

/// As `training_step`: every level, on step by default.
const STEP: Option<LogRule> = Some(LogRule { on_step_allowed: true, epoch_only: false, on_step: true, on_epoch: false });
/// As `validation_step`: every level, on epoch by default.
const EVALUATION: Option<LogRule> = Some(LogRule { on_step_allowed: true, epoch_only: false, on_step: false, on_epoch: true });
/// As `on_train_epoch_end`: on epoch only.
const EPOCH: Option<LogRule> = Some(LogRule { on_step_allowed: false, epoch_only: true, on_step: false, on_epoch: true });
/// Nothing can be logged.
const NONE: Option<LogRule> = None;

macro_rules! hooks {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $rule:ident;)*) => {
        /// A named point of a run. The names are Lightning's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Hook { $($(#[$doc])* $variant,)* }

        impl Hook {
            /// Every hook.
            pub const ALL: &'static [Hook] = &[$(Hook::$variant,)*];

            /// The method's name: `"on_train_batch_end"`.
            pub fn name(self) -> &'static str {
                match self { $(Hook::$variant => $name,)* }
            }

            /// The hook of this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|hook| hook.name() == name)
            }

            /// What may be logged here; `None` where nothing may. The table is Lightning's.
            pub fn log_rule(self) -> Option<LogRule> {
                match self { $(Hook::$variant => $rule,)* }
            }
        }
    };
}

impl Hook {
    /// Whether it is called for a batch: a step, or a hook around one.
    pub fn is_of_batch(self) -> bool {
        let predicts = matches!(self, Hook::PredictBatchStart | Hook::PredictStep | Hook::PredictBatchEnd);
        predicts || self.log_rule().is_some_and(|rule| rule.on_step_allowed)
    }
}

hooks! {
    /// Data is downloaded or written, once a machine.
    PrepareData = "prepare_data", NONE;
    /// A run of some stage begins.
    Setup = "setup", NONE;
    /// The data module makes the training loader.
    TrainDataloader = "train_dataloader", NONE;
    /// The data module makes the validation loaders.
    ValDataloader = "val_dataloader", NONE;
    /// The data module makes the test loaders.
    TestDataloader = "test_dataloader", NONE;
    /// The data module makes the predict loaders.
    PredictDataloader = "predict_dataloader", NONE;
    /// A run of some stage is over, also after a failure.
    Teardown = "teardown", NONE;
    /// The module says what optimizes it.
    ConfigureOptimizers = "configure_optimizers", NONE;
    /// The fit begins.
    FitStart = "on_fit_start", NONE;
    /// The fit is over.
    FitEnd = "on_fit_end", NONE;
    /// The sanity check begins.
    SanityCheckStart = "on_sanity_check_start", NONE;
    /// The sanity check is over.
    SanityCheckEnd = "on_sanity_check_end", NONE;
    /// Training begins.
    TrainStart = "on_train_start", EPOCH;
    /// Training is over.
    TrainEnd = "on_train_end", NONE;
    /// A training epoch begins.
    TrainEpochStart = "on_train_epoch_start", EPOCH;
    /// A training epoch is over.
    TrainEpochEnd = "on_train_epoch_end", EPOCH;
    /// A training batch begins.
    TrainBatchStart = "on_train_batch_start", STEP;
    /// A training batch is over.
    TrainBatchEnd = "on_train_batch_end", STEP;
    /// The training step itself, or a `training_batch` of the user's own.
    TrainingStep = "training_step", STEP;
    /// The gradients of the last window are let go.
    BeforeZeroGrad = "on_before_zero_grad", STEP;
    /// The loss is known, its gradients are not.
    BeforeBackward = "on_before_backward", STEP;
    /// The gradients are known.
    AfterBackward = "on_after_backward", STEP;
    /// An optimizer is about to step.
    BeforeOptimizerStep = "on_before_optimizer_step", STEP;
    /// Validation begins.
    ValidationStart = "on_validation_start", EPOCH;
    /// Validation is over and its metrics are known.
    ValidationEnd = "on_validation_end", NONE;
    /// A pass over the validation loaders begins.
    ValidationEpochStart = "on_validation_epoch_start", EPOCH;
    /// A pass over the validation loaders is over.
    ValidationEpochEnd = "on_validation_epoch_end", EPOCH;
    /// A validation batch begins.
    ValidationBatchStart = "on_validation_batch_start", EVALUATION;
    /// A validation batch is over.
    ValidationBatchEnd = "on_validation_batch_end", EVALUATION;
    /// The validation step itself.
    ValidationStep = "validation_step", EVALUATION;
    /// The test begins.
    TestStart = "on_test_start", EPOCH;
    /// The test is over.
    TestEnd = "on_test_end", NONE;
    /// A pass over the test loaders begins.
    TestEpochStart = "on_test_epoch_start", EPOCH;
    /// A pass over the test loaders is over.
    TestEpochEnd = "on_test_epoch_end", EPOCH;
    /// A test batch begins.
    TestBatchStart = "on_test_batch_start", EVALUATION;
    /// A test batch is over.
    TestBatchEnd = "on_test_batch_end", EVALUATION;
    /// The test step itself.
    TestStep = "test_step", EVALUATION;
    /// Prediction begins.
    PredictStart = "on_predict_start", NONE;
    /// Prediction is over.
    PredictEnd = "on_predict_end", NONE;
    /// A pass over the predict loaders begins.
    PredictEpochStart = "on_predict_epoch_start", NONE;
    /// A pass over the predict loaders is over.
    PredictEpochEnd = "on_predict_epoch_end", NONE;
    /// A predict batch begins.
    PredictBatchStart = "on_predict_batch_start", NONE;
    /// A predict batch is over.
    PredictBatchEnd = "on_predict_batch_end", NONE;
    /// The predict step itself.
    PredictStep = "predict_step", NONE;
    /// A checkpoint is about to be written.
    SaveCheckpoint = "on_save_checkpoint", NONE;
    /// A checkpoint was read.
    LoadCheckpoint = "on_load_checkpoint", NONE;
    /// The run failed or was interrupted.
    Exception = "on_exception", NONE;
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lightning's table, written out again by hand.
    #[test]
    fn the_rules_are_lightnings() {
        let on_step = [
            "training_step",
            "on_train_batch_start",
            "on_train_batch_end",
            "on_before_backward",
            "on_after_backward",
            "on_before_optimizer_step",
            "on_before_zero_grad",
        ];
        let on_epoch = [
            "validation_step",
            "test_step",
            "on_validation_batch_start",
            "on_validation_batch_end",
            "on_test_batch_start",
            "on_test_batch_end",
        ];
        let epoch_only = [
            "on_train_start",
            "on_validation_start",
            "on_test_start",
            "on_train_epoch_start",
            "on_validation_epoch_start",
            "on_test_epoch_start",
            "on_train_epoch_end",
            "on_validation_epoch_end",
            "on_test_epoch_end",
        ];
        for &hook in Hook::ALL {
            let expected = if on_step.contains(&hook.name()) {
                STEP
            } else if on_epoch.contains(&hook.name()) {
                EVALUATION
            } else if epoch_only.contains(&hook.name()) {
                EPOCH
            } else {
                NONE
            };
            assert_eq!(hook.log_rule(), expected, "{hook}");
        }
    }
}
