//! Parts of an epoch as periods.

use stormfire_module::{Context, Error, Every, Result};

/// Refuses a part of an epoch whose length is not known.
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

/// Whether so many batches of an epoch end such a part of it; as the Trainer counts it for validation, so that equal
/// fractions meet.
pub(crate) fn ends_part(fraction: f64, ctx: &Context<'_>, batches_in_epoch: usize) -> bool {
    ctx.limits().train_batches.is_some_and(|batches| batches_in_epoch.is_multiple_of(((batches as f64 * fraction) as usize).max(1)))
}
