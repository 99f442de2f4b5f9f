//! When an average is updated.

use serde::{Deserialize, Serialize};
use stormfire_module::{Context, Error, Result};
use stormfire_values::{
    Every,
    every::{Passed, Tick},
};

/// When an average is updated: the first time, and then how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) start_after: Option<Every>,
    pub(super) every: Every,
}

impl Default for Pace {
    fn default() -> Self {
        Self { start_after: None, every: Every::Steps(1) }
    }
}

/// The progress of a fit at the updates of its average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Number of updates.
    pub(super) updates: u64,
    /// The step count at the last check.
    steps: u64,
    /// The step count at the last update.
    updated_at_step: u64,
    /// The number of batches at the last update.
    updated_at_batch: u64,
}

/// The progress since the last update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) steps: u64,
    pub(super) batches: u64,
}

impl Pace {
    pub(super) fn check(&self, callback: &str) -> Result<()> {
        for (option, period) in [("start_after", self.start_after), ("every", Some(self.every))] {
            let Some(period) = period else { continue };
            let option = format!("{callback}::{option}");
            period.check().map_err(|reason| Error::config(&option, reason, "use `10 steps`, for example"))?;
            if !matches!(period, Every::Steps(_) | Every::Epochs(_)) {
                return Err(Error::config(option, format!("it counts steps or epochs, not {period}"), "use `10 steps` or `1 epoch`"));
            }
        }
        Ok(())
    }

    /// Whether steps may come between two updates.
    pub(super) fn leaves_steps_out(&self) -> bool {
        self.every != Every::Steps(1)
    }

    /// Whether the average has to be updated now: after a batch, or (`ends_epoch`) at the end of an epoch, which may
    /// have been cut short and then may have stepped after its last batch.
    pub(super) fn is_due(&self, seen: &mut Seen, ctx: &Context<'_>, ends_epoch: bool) -> Option<Since> {
        let progress = ctx.progress();
        let (steps, batches) = (progress.global_step, progress.batches);
        let before = std::mem::replace(&mut seen.steps, steps);
        let tick = Tick {
            steps: (steps > before).then_some(Passed { before, now: steps }),
            epochs: (ends_epoch || ctx.run().place.is_last_batch).then(|| Passed::one(progress.epoch as u64 + 1)),
            ..Tick::default()
        };
        let before_this_step = Tick {
            steps: steps.checked_sub(1).map(Passed::since_zero),
            epochs: Some(Passed::since_zero(progress.epoch as u64)),
            ..Tick::default()
        };
        let has_started = self.start_after.is_none_or(|period| period.is_due(&before_this_step));
        let has_stepped = steps > seen.updated_at_step;
        (has_started && has_stepped && self.every.is_due(&tick)).then(|| {
            let since = Since { steps: steps - seen.updated_at_step, batches: batches.saturating_sub(seen.updated_at_batch) };
            (seen.updated_at_step, seen.updated_at_batch) = (steps, batches);
            seen.updates += 1;
            since
        })
    }

    /// A fit starts to be averaged at its current progress.
    pub(super) fn begin(ctx: &Context<'_>) -> Seen {
        let steps = ctx.global_step();
        Seen { updates: 0, steps, updated_at_step: steps, updated_at_batch: ctx.progress().batches }
    }
}
