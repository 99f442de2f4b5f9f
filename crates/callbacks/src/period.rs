//! Periods that are fractions of an epoch.

use stormfire_module::{Context, Error, Result};
use stormfire_values::Every;

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
