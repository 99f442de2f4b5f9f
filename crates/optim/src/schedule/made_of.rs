//! The sources of a schedule.

use burn::lr_scheduler::{
    LrSchedulerConfig,
    composed::ComposedLrSchedulerConfig,
    cosine::CosineAnnealingLrSchedulerConfig,
    exponential::ExponentialLrSchedulerConfig,
    linear::LinearLrSchedulerConfig,
    module_lr_scheduler::{ModuleLrScheduler, ModuleLrSchedulerConfig},
    noam::NoamLrSchedulerConfig,
    sequential::SequentialLrSchedulerConfig,
    step::StepLrSchedulerConfig,
};

use super::{IntoSchedule, Kind, Schedule, Steps};
use crate::{
    one_cycle::OneCycle,
    plateau::{PlateauState, ReduceLrOnPlateau},
};

impl IntoSchedule for Schedule {
    fn into_schedule(self) -> Schedule {
        self
    }
}

impl IntoSchedule for ModuleLrScheduler {
    fn into_schedule(self) -> Schedule {
        Schedule::of(Kind::Burn(Steps { has_groups: true, ..Steps::new(self) }))
    }
}

impl IntoSchedule for ModuleLrSchedulerConfig {
    fn into_schedule(self) -> Schedule {
        self.init().map_or_else(|reason| Schedule::of(Kind::Invalid(reason)), IntoSchedule::into_schedule)
    }
}

impl IntoSchedule for LrSchedulerConfig {
    fn into_schedule(self) -> Schedule {
        ModuleLrSchedulerConfig::new(self).into_schedule()
    }
}

impl IntoSchedule for ReduceLrOnPlateau {
    fn into_schedule(self) -> Schedule {
        Schedule::of(Kind::Plateau(self, PlateauState::new(0.0)))
    }
}

impl IntoSchedule for OneCycle {
    fn into_schedule(self) -> Schedule {
        Schedule::custom(self)
    }
}

macro_rules! burn_schedules {
    ($($config:ty),* $(,)?) => {$(
        impl IntoSchedule for $config {
            fn into_schedule(self) -> Schedule {
                LrSchedulerConfig::from(self).into_schedule()
            }
        }
    )*};
}

burn_schedules!(
    f64,
    LinearLrSchedulerConfig,
    CosineAnnealingLrSchedulerConfig,
    ExponentialLrSchedulerConfig,
    NoamLrSchedulerConfig,
    StepLrSchedulerConfig,
    ComposedLrSchedulerConfig,
    SequentialLrSchedulerConfig,
);
