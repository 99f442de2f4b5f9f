//! Sends values of monitors to all loggers without making training wait.

use std::sync::{Arc, LazyLock};

use stormfire_loggers::{Error as LoggerError, Logger};
use stormfire_module::{Context, Error, Result};

/// Refuses a run without a logger. A `fast_dev_run` needs no logger, unless it rehearses a run that has none.
pub(crate) fn needs_logger(callback: &str, ctx: &mut Context<'_>) -> Result<()> {
    if ctx.loggers().is_empty() && (!ctx.run().fast_dev_run || ctx.run().internals.lacks_loggers) {
        let reason = format!("`{callback}` needs a logger, and this run has none");
        // It leaves all loggers out.
        let is_barebones = ctx.run().internals.is_barebones;
        let hint = if is_barebones { "leave `barebones` or the callback out" } else { "add one, or leave the callback out" };
        return Err(Error::config("logger", reason, hint));
    }
    Ok(())
}

/// Makes a value on the thread of the first logger that reaches it, and sends it to every logger under the current step
/// number. The training thread waits for neither. A logger that cannot store the value skips it.
pub(crate) fn log_later<T: Send + Sync + 'static>(
    ctx: &mut Context<'_>,
    make: impl FnOnce() -> Result<T> + Send + 'static,
    log: impl Fn(&mut dyn Logger, &T, Option<u64>) -> stormfire_loggers::Result<()> + Send + Sync + 'static,
) -> Result<()> {
    let step = Some(ctx.run().place.logger_step);
    let shared = Arc::new((LazyLock::new(move || make().map_err(|error| error.to_string())), log));
    for logger in ctx.loggers().iter() {
        let shared = Arc::clone(&shared);
        logger.submit_lenient(move |logger| {
            let (value, log) = &*shared;
            let value = value.as_ref().map_err(|reason| LoggerError::other(reason.clone()))?;
            log(logger, value, step)
        })?;
    }
    Ok(())
}
