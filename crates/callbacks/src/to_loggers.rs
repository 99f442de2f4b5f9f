//! Sends values of monitors to all loggers without making training wait.

use std::sync::{Arc, LazyLock};

use stormfire_loggers::{Error as LoggerError, Logger};
use stormfire_module::{Context, Result};

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
