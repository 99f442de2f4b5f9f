//! The hooks of a run, and what may be logged in each.

use std::fmt;

use crate::hooks;

/// Whether a level (`on_step`, `on_epoch`) is allowed in a hook, and its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "it is a row of Lightning's table")]
pub struct LogRule {
    /// `on_step = true` is allowed.
    pub on_step_allowed: bool,
    /// `on_epoch = false` is allowed.
    pub epoch_only: bool,
    /// The default of `on_step`.
    pub on_step: bool,
    /// The default of `on_epoch`.
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

macro_rules! hook_enum {
    ($($(#[$doc:meta])* $kind:ident $method:ident => $hook:ident $({ $($arguments:tt)* })?, $rule:ident;)*) => {
        /// A hook of a run. The names are Lightning's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Hook { $($(#[$doc])* $hook,)* }

        impl Hook {
            /// Every hook.
            pub const ALL: &'static [Hook] = &[$(Hook::$hook,)*];

            /// The method's name: `"on_train_batch_end"`.
            pub fn name(self) -> &'static str {
                match self { $(Hook::$hook => stringify!($method),)* }
            }

            /// The hook with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|hook| hook.name() == name)
            }

            /// The values that may be logged in this hook. `None` if logging is not allowed. The table is Lightning's.
            pub fn log_rule(self) -> Option<LogRule> {
                match self { $(Hook::$hook => $rule,)* }
            }
        }
    };
}

hooks!(hook_enum);

impl Hook {
    /// Whether it is called for a batch: a step, or a hook around one.
    pub fn is_of_batch(self) -> bool {
        let predicts = matches!(self, Hook::PredictBatchStart | Hook::PredictStep | Hook::PredictBatchEnd);
        predicts || self.log_rule().is_some_and(|rule| rule.on_step_allowed)
    }

    /// Whether it is a step of the module.
    pub fn is_step(self) -> bool {
        matches!(self, Hook::TrainingStep | Hook::ValidationStep | Hook::TestStep | Hook::PredictStep)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lightning's table, written again manually.
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
