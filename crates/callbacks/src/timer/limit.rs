//! A length of time, given as a number or as a text.

use std::{str::FromStr, time::Duration};

use stormfire_module::{Error, Every, Result};

/// How long a fit may take: a [`Duration`], or a text as `"00:12:00:00"` (days, hours, minutes, seconds) or `"12 hours"`.
///
/// A text that cannot be read is an error when the fit begins, or at once with [`str::parse`].
#[derive(Clone, Debug, PartialEq)]
pub struct TimeLimit(Result<Duration, String>);

impl TimeLimit {
    /// The limit.
    ///
    /// # Errors
    /// [`Error::Config`] when it was given as a text that cannot be read, or is zero.
    pub fn duration(&self) -> Result<Duration> {
        let hint = "write it as `00:12:00:00` (days:hours:minutes:seconds) or `12 hours`";
        match &self.0 {
            Ok(limit) if limit.is_zero() => Err(Error::config("Timer", "a limit of no time at all", "leave it out, or give a longer one")),
            Ok(limit) => Ok(*limit),
            Err(text) => Err(Error::config("Timer", format!("cannot read `{text}` as a time"), hint)),
        }
    }

    fn read(text: &str) -> Option<Duration> {
        if !text.contains(':') {
            return match text.parse() {
                Ok(Every::Time(time)) => Some(time),
                _ => None,
            };
        }
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = text.trim().split(':').collect();
        let &[days, hours, minutes, seconds] = parts.as_slice() else { return None };
        if !digits(days) || ![hours, minutes, seconds].iter().all(|part| part.len() == 2 && digits(part)) {
            return None;
        }
        let terms = [(days, 86_400_u64), (hours, 3_600), (minutes, 60), (seconds, 1)];
        let sum = terms.iter().try_fold(0_u64, |sum, (part, unit)| sum.checked_add(part.parse::<u64>().ok()?.checked_mul(*unit)?))?;
        Some(Duration::from_secs(sum))
    }
}

impl From<Duration> for TimeLimit {
    fn from(limit: Duration) -> Self {
        Self(Ok(limit))
    }
}

impl From<&str> for TimeLimit {
    fn from(text: &str) -> Self {
        Self(Self::read(text).ok_or_else(|| text.into()))
    }
}

impl From<String> for TimeLimit {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

impl FromStr for TimeLimit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let limit = Self::from(text);
        limit.duration()?;
        Ok(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Timer,
        testing::{Bench, text},
    };

    #[test]
    fn limits_are_durations_and_texts() {
        let seconds = |text: &str| text.parse::<TimeLimit>().unwrap().duration().unwrap().as_secs();
        assert_eq!(seconds("00:12:00:00"), 43_200);
        assert_eq!(seconds("1:00:01:30"), 86_490);
        assert_eq!(seconds("90 minutes"), 5_400);
        assert_eq!(TimeLimit::from(Duration::from_secs(5)).duration().unwrap().as_secs(), 5);
    }

    #[test]
    fn wrong_limits_are_refused_when_the_fit_begins() {
        for wrong in
            ["12:00:00", "00:1:00:00", "a:00:00:00", "-1:00:00:00", "00:00:00:00:00", "5 epochs", "99999999999999999999:00:00:00", ""]
        {
            let error = Bench::new().setup(&mut Timer::new(wrong)).unwrap_err();
            assert_eq!(
                text(&error),
                format!(
                    "`Timer`: cannot read `{wrong}` as a time | hint: write it as `00:12:00:00` (days:hours:minutes:seconds) or `12 hours`"
                )
            );
            assert!(wrong.parse::<TimeLimit>().is_err());
        }
        let error = Bench::new().setup(&mut Timer::new("00:00:00:00")).unwrap_err();
        assert_eq!(text(&error), "`Timer`: a limit of no time at all | hint: leave it out, or give a longer one");
    }
}
