//! The time that the end of a run waits for a server.

use std::time::Duration;

use jiff::SignedDuration;

use crate::{Error, Result};

const DEFAULT: Duration = Duration::from_secs(30);

/// The argument of `patience` of a tracker's logger: a [`Duration`], or a string such as `"10 s"` or `"2 minutes"`. A
/// string that cannot be read is an error when the logger is opened.
#[derive(Debug, Clone)]
pub struct Patience(std::result::Result<Duration, String>);

impl Patience {
    /// The time. The default if it cannot be read.
    pub(crate) fn time(&self) -> Duration {
        self.0.as_ref().copied().unwrap_or(DEFAULT)
    }

    /// # Errors
    /// [`Error::Unreadable`] for a string that is not a time.
    pub(crate) fn check(&self, logger: &str) -> Result<()> {
        let hint = "write a number with a unit, such as `10 s` or `2 minutes`";
        let unreadable = |text: &String| Error::Unreadable { logger: logger.into(), option: "patience", text: text.clone(), hint };
        self.0.as_ref().map(drop).map_err(unreadable)
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self(Ok(DEFAULT))
    }
}

impl From<Duration> for Patience {
    fn from(time: Duration) -> Self {
        Self(Ok(time))
    }
}

impl From<&str> for Patience {
    fn from(text: &str) -> Self {
        let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        Self(time.ok_or_else(|| text.to_owned()))
    }
}

impl From<String> for Patience {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_may_be_a_string() {
        for (text, seconds) in [("10 s", 10), ("10s", 10), ("2 minutes", 120), ("1 hour", 3600), ("0 s", 0)] {
            let patience = Patience::from(text);
            assert_eq!(patience.time(), Duration::from_secs(seconds), "{text}");
            assert!(patience.check("x").is_ok(), "{text}");
        }
        for text in ["10", "10 parsecs", "-5 s", "soon", ""] {
            let error = Patience::from(text).check("x").unwrap_err();
            assert_eq!(error.to_string(), format!("logger `x`: `patience`: cannot read `{text}` as a time"));
            assert_eq!(error.hint().as_deref(), Some("write a number with a unit, such as `10 s` or `2 minutes`"));
        }
    }
}
