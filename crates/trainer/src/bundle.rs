//! Metrics for the loggers. They are still on the device, and are read once, on a logger's thread.

use std::sync::{Arc, OnceLock};

use stormfire_loggers::{Background, Error as LoggerError, Metrics};
use stormfire_metrics::Picture;
use stormfire_module::{Result, media};
use stormfire_values::read::Reading;

/// Named values that are read in one transaction, by the first logger that needs them.
#[derive(Clone, Debug)]
pub(crate) struct Bundle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    readings: Vec<(Arc<str>, Reading)>,
    /// Values that are read in the same transaction, but not sent.
    watched: Arc<[Reading]>,
    metrics: OnceLock<Result<Metrics, String>>,
}

impl Bundle {
    pub(crate) fn new(readings: Vec<(Arc<str>, Reading)>, watched: Arc<[Reading]>) -> Self {
        Self(Arc::new(Inner { readings, watched, metrics: OnceLock::new() }))
    }

    pub(crate) fn metrics(&self) -> Result<Metrics, LoggerError> {
        let read = || {
            let readings: Vec<Reading> = self.0.readings.iter().map(|(_, reading)| reading).chain(self.0.watched.iter()).cloned().collect();
            let values = Reading::read_all(&readings).map_err(|e| e.to_string())?;
            Ok(self.0.readings.iter().map(|(name, _)| Arc::clone(name)).zip(values).collect())
        };
        self.0.metrics.get_or_init(read).clone().map_err(LoggerError::other)
    }

    /// Queues the values for every logger. The device is read on a logger's thread, never here.
    pub(crate) fn send(&self, loggers: &[Background], step: u64, epoch: Option<usize>) -> Result<()> {
        for logger in loggers {
            let bundle = self.clone();
            logger.submit(move |logger| {
                let (metrics, step) = for_loggers(bundle.metrics()?, step, epoch);
                logger.log_metrics(&metrics, Some(step))
            })?;
        }
        Ok(())
    }
}

/// Queues metrics that are on the host.
pub(crate) fn send_metrics(metrics: &Metrics, loggers: &[Background], step: u64, epoch: Option<usize>) -> Result<()> {
    if metrics.is_empty() {
        return Ok(());
    }
    let (metrics, step) = for_loggers(metrics.clone(), step, epoch);
    for logger in loggers {
        logger.log_metrics(metrics.clone(), Some(step))?;
    }
    Ok(())
}

/// Queues pictures: a figure and a table each, or what a logger has for them. A logger without them is skipped, with
/// one warning.
pub(crate) fn send_pictures(pictures: &[(Arc<str>, Picture)], loggers: &[Background], step: u64) -> Result<()> {
    for (name, picture) in pictures {
        for drawn in media::drawn(picture) {
            for logger in loggers {
                let (name, drawn) = (Arc::clone(name), drawn.clone());
                logger.submit_lenient(move |logger| drawn.log(logger, &name, Some(step)))?;
            }
        }
    }
    Ok(())
}

/// Adds `epoch`, unless the user logged one. A logged `step` becomes the step, and then no `epoch` is added.
fn for_loggers(mut metrics: Metrics, step: u64, epoch: Option<usize>) -> (Metrics, u64) {
    if let Some(own) = metrics.remove("step") {
        return (metrics, own as u64);
    }
    if let Some(epoch) = epoch
        && !metrics.contains("epoch")
    {
        metrics.insert("epoch", epoch as f64);
    }
    (metrics, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_step_or_epoch_replaces_ours() {
        let logged = |names: &[(&'static str, f64)]| names.iter().copied().collect::<Metrics>();
        let (metrics, step) = for_loggers(logged(&[("loss", 1.0)]), 49, Some(3));
        assert_eq!((metrics.get("epoch"), step), (Some(3.0), 49));
        let (metrics, step) = for_loggers(logged(&[("loss", 1.0), ("epoch", 0.5)]), 49, Some(3));
        assert_eq!((metrics.get("epoch"), step), (Some(0.5), 49));
        let (metrics, step) = for_loggers(logged(&[("loss", 1.0), ("step", 7.0)]), 49, Some(3));
        assert_eq!((metrics.get("epoch"), metrics.get("step"), step), (None, None, 7));
    }
}
