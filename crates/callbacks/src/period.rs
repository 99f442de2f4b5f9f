//! Checks of the periods of monitors.

use stormfire_module::{Context, Error, Result, Stage};
use stormfire_values::{Every, text::Misread};

/// Refuses a period of a fit that cannot be used, and a setting that could not be read.
pub(crate) fn check(option: &str, every: Every, misread: &Misread, stage: Stage) -> Result<()> {
    if stage != Stage::Fit {
        return Ok(());
    }
    misread.check()?;
    every.check().map_err(|reason| Error::config(option, reason, "give another period, such as `500 steps`"))
}

/// Refuses a fraction of an epoch of unknown length.
pub(crate) fn needs_length(option: &str, every: Every, ctx: &Context<'_>) -> Result<()> {
    if matches!(every, Every::Fraction(_)) && ctx.limits().train_batches.is_none() {
        return Err(Error::config(
            option,
            format!("`{every}` needs training data of known length"),
            "use a number of steps or batches, or limit the data with `limit_train_batches`",
        ));
    }
    Ok(())
}
