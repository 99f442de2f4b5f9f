//! Failures of a delivery.

use std::time::Duration;

use serde_json::Value;

/// Why records were not delivered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another attempt may succeed: no connection, 408, 429, 5xx.
    Retry {
        /// The delay that the server requests.
        after: Option<Duration>,
        reason: String,
    },
    /// No attempt will succeed. The first `count` records are dropped.
    Refused {
        /// The HTTP status.
        status: Option<u16>,
        /// The service's own code.
        code: Option<String>,
        count: usize,
        reason: String,
    },
}

impl Failure {
    pub(crate) fn retry(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, reason: reason.into() }
    }

    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { status: None, code: None, count: 1, reason: reason.into() }
    }

    /// The HTTP status of a refusal.
    pub(crate) const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => *status,
            Self::Retry { .. } => None,
        }
    }

    /// The service's own code of a refusal.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => code.as_deref(),
            Self::Retry { .. } => None,
        }
    }

    /// Sets the code of a refusal from the service's answer: `error_code` of MLflow, `sdk_error_code` of Comet.
    pub(crate) fn coded(mut self, answer: &Value) -> Self {
        if let Self::Refused { code, .. } = &mut self {
            let found = ["error_code", "sdk_error_code"].iter().find_map(|name| answer.get(name));
            *code = found.map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
        }
        self
    }

    /// Sets the number of refused records.
    pub(crate) fn of(mut self, refused: usize) -> Self {
        if let Self::Refused { count, .. } = &mut self {
            *count = refused;
        }
        self
    }

    pub(crate) fn map_reason(mut self, map: impl FnOnce(&str) -> String) -> Self {
        let (Self::Retry { reason, .. } | Self::Refused { reason, .. }) = &mut self;
        *reason = map(reason);
        self
    }

    pub(crate) fn reason(&self) -> &str {
        let (Self::Retry { reason, .. } | Self::Refused { reason, .. }) = self;
        reason
    }
}
