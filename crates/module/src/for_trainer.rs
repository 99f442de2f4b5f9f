//! The parts of this crate that only a training loop needs: the ambient scope of a run, the options of a
//! [`Stepper`](crate::Stepper), the taking of logged values.
//!
//! For the Trainer, and for tests that take its place. The crate `stormfire` does not export it, and any release may
//! change it.

pub use crate::{
    context::{context, set_options},
    error::in_hook,
    evidence::{Evidence, FiniteCheck, Skipped},
    metric_source::{MetricSource, counter, monitored, monitored_of_epoch, warn_if_misspelled},
    module_hooks::ModuleHooks,
    outer_run::OuterRun,
    precision::{Lent, cast, cast_parameters, explained, refuse_unfit},
    print::print_above_bars,
    renewed_stats::RenewedStats,
    requests::ChangeRequests,
    run_internals::RunInternals,
    running_stats::KnownStats,
    stepper::{DriveStepper, OtherRanks, StepHooks, StepPlan},
    threads::{Division, Threads},
};

/// The name of a run in the lines that it reports.
pub mod live_run {
    pub use crate::live_run::*;
}

/// The hooks that a callback or module leaves to their default.
pub mod defaults {
    pub use crate::defaults::{did_nothing, forget};
}

/// Evaluation steps on the parts of a batch, each on its own thread.
pub mod parts {
    pub use crate::parts::{Step, evaluate, predict};
}

/// Modules in training mode, with a strategy of gradient checkpointing.
pub mod training_mode {
    pub use crate::training_mode::{device_of, in_training, strategy_of};
}

/// Running statistics, such as those of a batch normalization.
pub mod running_stats {
    pub use crate::running_stats::average;
}

/// The logged values of a thread.
pub mod record {
    pub use crate::record::{discard, is_empty, take_records};
}

/// The hook that runs on a thread, and the state of its run.
pub mod scope {
    pub use crate::scope::*;
}
