//! Notices about names that a service does not accept.

/// Reports once that names had to be changed.
#[derive(Debug, Default)]
pub(crate) struct Notice(bool);

impl Notice {
    /// `why`: the names that the service accepts.
    pub(crate) fn tell(&mut self, logger: &str, wanted: &str, fitted: &str, why: &str) {
        if wanted != fitted && !std::mem::replace(&mut self.0, true) {
            let wanted: String = wanted.chars().take(100).collect();
            tracing::warn!(logger, "{why}: `{}` is logged as `{fitted}`, and others likewise", wanted.escape_debug());
        }
    }
}
