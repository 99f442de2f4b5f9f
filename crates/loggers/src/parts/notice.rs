//! Names that a service does not take.

/// Says once that names had to be changed.
#[derive(Debug, Default)]
pub(crate) struct Notice(bool);

impl Notice {
    /// `why`: what the service takes.
    pub(crate) fn tell(&mut self, logger: &str, wanted: &str, fitted: &str, why: &str) {
        if wanted != fitted && !std::mem::replace(&mut self.0, true) {
            let wanted: String = wanted.chars().take(100).collect();
            tracing::warn!(logger, "{why}: `{}` is logged as `{fitted}`, and others likewise", wanted.escape_debug());
        }
    }
}
