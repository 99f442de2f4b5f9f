//! A type for all periods: of validation, saving, schedules and logging.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::{self, TextError, TextPattern, number_pattern, time_unit_pattern};

/// How often something happens.
///
/// It is written and parsed as a string: `"50 steps"`, `"200 batches"`, `"2 epochs"`, `"0.25 epochs"`, `"10 minutes"`.
///
/// ```
/// use std::time::Duration;
/// use stormfire_values::Every;
///
/// assert_eq!("50 steps".parse(), Ok(Every::Steps(50)));
/// assert_eq!("0.25 epochs".parse(), Ok(Every::Fraction(0.25)));
/// assert_eq!("10 minutes".parse(), Ok(Every::Time(Duration::from_secs(600))));
/// assert_eq!(Every::Epochs(1).to_string(), "1 epoch");
/// assert!("5 parsecs".parse::<Every>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Every {
    /// Every `n` optimizer steps: training batches after which the parameters changed. No validation is due at the step
    /// with which `skip_epoch` closes a window.
    Steps(u64),
    /// Every `n` training batches of the whole run, including batches that only accumulate gradients.
    Batches(u64),
    /// Every `n` epochs.
    Epochs(u64),
    /// At every such fraction of an epoch: `0.25` is four times in an epoch of 100 batches. In `(0, 1]`. Requires
    /// training data of known length. The period is rounded down to whole batches, as in Lightning: 0.25 of 10 batches
    /// is every 2 batches.
    Fraction(f64),
    /// Whenever this time has passed, at the end of the batch in which it is reached. Tests control the
    /// [clock](crate::clock).
    Time(Duration),
}

/// The string forms of a period.
const FORMS: &str = "a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`";

impl Every {
    /// Checks that the period is not empty and that a fraction is in `(0, 1]`.
    ///
    /// # Errors
    /// The reason, as a sentence part.
    pub fn check(&self) -> Result<(), String> {
        match *self {
            Every::Steps(0) | Every::Batches(0) | Every::Epochs(0) => Err("the number must be at least 1".into()),
            Every::Fraction(f) if !(f > 0.0 && f <= 1.0) => Err(format!("the fraction of an epoch must be in (0, 1], not {f}")),
            Every::Time(d) if d.is_zero() => Err("the time must be longer than zero".into()),
            _ => Ok(()),
        }
    }

    /// Whether a period ends with this progress.
    pub fn is_due(&self, tick: &Tick) -> bool {
        if let Every::Time(time) = *self {
            return tick.elapsed >= time;
        }
        self.periods_in(tick).is_some_and(|ended| ended > 0)
    }

    /// Number of periods that end with this progress. `None` if the progress lacks the count, and for a time, which is
    /// not counted.
    ///
    /// ```
    /// use stormfire_values::{Every, every::{Passed, Tick}};
    ///
    /// let fit = Tick { steps: Some(Passed::since_zero(95)), ..Tick::default() };
    /// assert_eq!(Every::Steps(10).periods_in(&fit), Some(9));
    /// assert_eq!(Every::Epochs(1).periods_in(&fit), None);
    /// ```
    pub fn periods_in(&self, tick: &Tick) -> Option<u64> {
        let (period, passed) = match *self {
            Every::Steps(n) => (n, tick.steps?),
            Every::Batches(n) => (n, tick.batches?),
            Every::Epochs(n) => (n, tick.epochs?),
            Every::Fraction(part) => {
                let (batches, length) = tick.in_epoch?;
                (((length? as f64 * part) as u64).max(1), batches)
            }
            Every::Time(_) => return None,
        };
        let ended = |count: u64| count.checked_div(period);
        Some(ended(passed.now)?.saturating_sub(ended(passed.before)?))
    }
}

/// The progress that the loop has just made. [`Every::is_due`] uses it for validation, checkpoints, histograms,
/// schedules and logging.
///
/// ```
/// use stormfire_values::{Every, every::Tick};
///
/// let every = Every::Steps(10);
/// assert!(every.is_due(&Tick::of_step(20)) && !every.is_due(&Tick::of_step(21)));
/// assert!(!every.is_due(&Tick::of_epoch(20)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// Number of optimizer steps, if one was taken.
    pub steps: Option<Passed>,
    /// Number of training batches of the run, if one was completed.
    pub batches: Option<Passed>,
    /// Number of epochs, if one was completed.
    pub epochs: Option<Passed>,
    /// Number of training batches of this epoch, if one was completed, and the length of the epoch, if known.
    pub in_epoch: Option<(Passed, Option<usize>)>,
    /// The time since the last period ended.
    pub elapsed: Duration,
}

/// A count before and after the progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The count at the last check.
    pub before: u64,
    /// The current count.
    pub now: u64,
}

impl Passed {
    /// An increment by one, to `now`.
    pub fn one(now: u64) -> Self {
        Self::of(1, now)
    }

    /// The progress from 0 to `now`, such as that of a whole fit.
    pub fn since_zero(now: u64) -> Self {
        Self::of(now, now)
    }

    /// An increment to `now`.
    pub fn of(increment: u64, now: u64) -> Self {
        Self { before: now.saturating_sub(increment), now }
    }
}

impl Tick {
    /// An optimizer step. `now` includes it.
    pub fn of_step(now: u64) -> Self {
        Self { steps: Some(Passed::one(now)), ..Self::default() }
    }

    /// An epoch. `now` includes it.
    pub fn of_epoch(now: u64) -> Self {
        Self { epochs: Some(Passed::one(now)), ..Self::default() }
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |n: u64| if n == 1 { "" } else { "s" };
        match *self {
            Every::Steps(n) => write!(f, "{n} step{}", plural(n)),
            Every::Batches(n) => write!(f, "{n} batch{}", if n == 1 { "" } else { "es" }),
            Every::Epochs(n) => write!(f, "{n} epoch{}", plural(n)),
            Every::Fraction(x) if x.fract() == 0.0 => write!(f, "{x:.1} epochs"),
            Every::Fraction(x) => write!(f, "{x} epochs"),
            Every::Time(d) => {
                let seconds = d.as_secs_f64();
                let (value, unit) = match seconds {
                    s if s >= 3600.0 && s % 3600.0 == 0.0 => (s / 3600.0, "hour"),
                    s if s >= 60.0 && s % 60.0 == 0.0 => (s / 60.0, "minute"),
                    s => (s, "second"),
                };
                write!(f, "{value} {unit}{}", if (value - 1.0).abs() < f64::EPSILON { "" } else { "s" })
            }
        }
    }
}

impl Every {
    fn error_in(text: &str, reason: String) -> TextError {
        TextError { text: text.into(), what: "a period", reason, forms: FORMS }
    }

    /// Reads a string. The period may be empty: see [`check`](Self::check). `units`: those that an error lists.
    pub(crate) fn read_unchecked(text: &str, units: &str) -> Result<Self, TextError> {
        let fail = |reason: String| Self::error_in(text, reason);
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(|| fail("the unit is missing".into()))?;
        let (number, unit) = (trimmed[..split].trim(), trimmed[split..].trim());
        if number.is_empty() {
            return Err(fail("it does not start with a digit".into()));
        }
        let value: f64 = number.parse().map_err(|_| fail(format!("`{number}` is not a number")))?;
        let whole = || match number.parse::<u64>() {
            Ok(n) => Ok(n),
            Err(_) => Err(fail(format!("`{number}` is not a whole number"))),
        };
        let seconds = |factor: f64| Duration::try_from_secs_f64(value * factor).map_err(|_| fail("it is too long".into()));
        Ok(match unit {
            "step" | "steps" => Every::Steps(whole()?),
            "batch" | "batches" => Every::Batches(whole()?),
            "epoch" | "epochs" if number.contains('.') => Every::Fraction(value),
            "epoch" | "epochs" => Every::Epochs(whole()?),
            "s" | "sec" | "second" | "seconds" => Every::Time(seconds(1.0)?),
            "m" | "min" | "minute" | "minutes" => Every::Time(seconds(60.0)?),
            "h" | "hour" | "hours" => Every::Time(seconds(3600.0)?),
            "d" | "day" | "days" => Every::Time(seconds(86400.0)?),
            other => return Err(fail(format!("`{other}` is not one of {units}"))),
        })
    }
}

impl FromStr for Every {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let every = Self::read_unchecked(text, "steps, batches, epochs, seconds, minutes, hours, days")?;
        every.check().map_err(|reason| Self::error_in(text, reason))?;
        Ok(every)
    }
}

crate::reads_text!(Every);

impl TextPattern for Every {
    const PATTERN: &'static str =
        concat!(r"^\s*([0-9]+\s*(steps?|batch(es)?)|", number_pattern!(), r"\s*(epochs?|", time_unit_pattern!(), r"))\s*$");
    const EXAMPLES: &'static [&'static str] = &["50 steps", "2 epochs", "0.25 epochs", "10 minutes"];
}

impl Serialize for Every {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Every {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer, "a period", FORMS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_round_trip() {
        for text in
            ["1 step", "50 steps", "1 batch", "200 batches", "2 epochs", "0.25 epochs", "1.0 epochs", "1 minute", "36 hours", "0.5 seconds"]
        {
            let every: Every = text.parse().unwrap();
            assert_eq!(every.to_string(), text);
            let json = serde_json::to_string(&every).unwrap();
            assert_eq!(serde_json::from_str::<Every>(&json).unwrap(), every);
        }
    }

    #[test]
    fn a_period_without_its_count_is_not_due() {
        let of_epoch = |length| Tick { in_epoch: Some((Passed::one(2), length)), ..Tick::default() };
        let half = Every::Fraction(0.5);
        assert_eq!(half.periods_in(&of_epoch(Some(4))), Some(1));
        assert_eq!(half.periods_in(&of_epoch(None)), None);
        assert!(half.is_due(&of_epoch(Some(4))) && !half.is_due(&of_epoch(None)));
        assert_eq!(Every::Time(Duration::from_secs(1)).periods_in(&of_epoch(Some(4))), None);
    }

    #[test]
    fn wrong_text_names_what_is_wrong() {
        let texts = ["", "50", "steps", "2.5 steps", "0 epochs", "1.5 epochs", "3 steps per second", "0 s"];
        insta::assert_snapshot!(texts.map(|text| text.parse::<Every>().unwrap_err().to_string()).join("\n"), @r"
        cannot read `` as a period: the unit is missing; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        cannot read `50` as a period: the unit is missing; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        cannot read `steps` as a period: it does not start with a digit; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        cannot read `2.5 steps` as a period: `2.5` is not a whole number; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        cannot read `0 epochs` as a period: the number must be at least 1; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        cannot read `1.5 epochs` as a period: the fraction of an epoch must be in (0, 1], not 1.5; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        cannot read `3 steps per second` as a period: `steps per second` is not one of steps, batches, epochs, seconds, minutes, hours, days; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        cannot read `0 s` as a period: the time must be longer than zero; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
        ");
        let numbers = ["0.5", "5", "-1"].map(|number| serde_json::from_str::<Every>(number).unwrap_err().to_string());
        insta::assert_snapshot!(numbers.join("\n"), @r"
        cannot read `0.5` as a period: the unit is missing; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes` at line 1 column 3
        cannot read `5` as a period: the unit is missing; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes` at line 1 column 1
        cannot read `-1` as a period: it does not start with a digit; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes` at line 1 column 2
        ");
    }
}
