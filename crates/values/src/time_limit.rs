//! A duration, given as a number or as a string.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de::Visitor};

use crate::{
    every::Every,
    reads_text,
    text::{TextError, TextPattern, number_pattern, time_unit_pattern},
};

/// A time limit: a [`Duration`], or a string such as `"12 hours"` or `"00:12:00:00"` (days, hours, minutes, seconds).
/// In a file, a number is seconds. The option decides whether the time may be zero.
///
/// ```
/// use std::time::Duration;
/// use stormfire_values::TimeLimit;
///
/// assert_eq!("90 minutes".parse(), Ok(TimeLimit(Duration::from_secs(5_400))));
/// assert_eq!("1:00:00:30".parse(), Ok(TimeLimit(Duration::from_secs(86_430))));
/// assert!("5 epochs".parse::<TimeLimit>().is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimit(pub Duration);

const WHAT: &str = "a time";
const FORMS: &str = "a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)";

impl From<Duration> for TimeLimit {
    fn from(time: Duration) -> Self {
        Self(time)
    }
}

impl std::str::FromStr for TimeLimit {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let read = if text.contains(':') { clock(text) } else { words(text) };
        read.map(Self).map_err(|reason| TextError { text: text.into(), what: WHAT, reason, forms: FORMS })
    }
}

reads_text!(TimeLimit);

impl TextPattern for TimeLimit {
    const PATTERN: &'static str = concat!(r"^\s*([0-9]+(:[0-9]{2}){3}|", number_pattern!(), r"\s*(", time_unit_pattern!(), r"))\s*$");
    const EXAMPLES: &'static [&'static str] = &["10 minutes"];
    const TAKES_NUMBERS: bool = true;
}

impl<'de> Deserialize<'de> for TimeLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = TimeLimit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{WHAT}: seconds, or {FORMS}")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TimeLimit, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<TimeLimit, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<TimeLimit, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<TimeLimit, E> {
        let refused = |_| {
            let reason = match seconds {
                _ if seconds.is_nan() => "it is not a number",
                _ if seconds < 0.0 => "it is negative",
                _ => "it is too long",
            };
            E::custom(format!("cannot read `{seconds:?}` as {WHAT}: {reason}; write {FORMS}"))
        };
        Duration::try_from_secs_f64(seconds).map(TimeLimit).map_err(refused)
    }
}

fn words(text: &str) -> Result<Duration, String> {
    match Every::read_unchecked(text, "seconds, minutes, hours, days") {
        Ok(Every::Time(time)) => Ok(time),
        Ok(other) => Err(format!("{other} is not a time")),
        Err(error) => Err(error.reason),
    }
}

fn clock(text: &str) -> Result<Duration, String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.trim().split(':').collect();
    let &[days, hours, minutes, seconds] = parts.as_slice() else { return Err(format!("it has {} parts instead of 4", parts.len())) };
    if !digits(days) || ![hours, minutes, seconds].iter().all(|part| part.len() == 2 && digits(part)) {
        return Err("hours, minutes and seconds have two digits each".into());
    }
    let terms = [(days, 86_400_u64), (hours, 3_600), (minutes, 60), (seconds, 1)];
    let sum = terms.iter().try_fold(0_u64, |sum, (part, unit)| sum.checked_add(part.parse::<u64>().ok()?.checked_mul(*unit)?));
    sum.map(Duration::from_secs).ok_or_else(|| "it is too long".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_clocks_and_words() {
        let seconds = |text: &str| text.parse::<TimeLimit>().map(|limit| limit.0.as_secs());
        assert_eq!(seconds("00:12:00:00"), Ok(43_200));
        assert_eq!(seconds("1:00:01:30"), Ok(86_490));
        assert_eq!(seconds("90 minutes"), Ok(5_400));
        assert_eq!((seconds("0 s"), seconds("00:00:00:00")), (Ok(0), Ok(0)));
        let wrong =
            ["12:00:00", "00:1:00:00", "a:00:00:00", "-1:00:00:00", "00:00:00:00:00", "99999999999999999999:00:00:00", "5 epochs", ""];
        insta::assert_snapshot!(wrong.map(|text| seconds(text).unwrap_err().to_string()).join("\n"), @r"
        cannot read `12:00:00` as a time: it has 3 parts instead of 4; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        cannot read `00:1:00:00` as a time: hours, minutes and seconds have two digits each; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        cannot read `a:00:00:00` as a time: hours, minutes and seconds have two digits each; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        cannot read `-1:00:00:00` as a time: hours, minutes and seconds have two digits each; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        cannot read `00:00:00:00:00` as a time: it has 5 parts instead of 4; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        cannot read `99999999999999999999:00:00:00` as a time: it is too long; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        cannot read `5 epochs` as a time: 5 epochs is not a time; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        cannot read `` as a time: the unit is missing; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
        ");
    }

    #[test]
    fn a_number_in_a_file_is_seconds() {
        let read = |json: &str| serde_json::from_str::<TimeLimit>(json).map(|limit| limit.0);
        for (json, millis) in [("90", 90_000), ("1.5", 1_500), ("0", 0), ("\"1.5 s\"", 1_500)] {
            assert_eq!(read(json).unwrap(), Duration::from_millis(millis), "{json}");
        }
        let wrong = ["-1", "1e300", "\"90\"", "true"].map(|json| read(json).unwrap_err().to_string());
        insta::assert_snapshot!(wrong.join("\n"), @r"
        cannot read `-1.0` as a time: it is negative; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds) at line 1 column 2
        cannot read `1e300` as a time: it is too long; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds) at line 1 column 5
        cannot read `90` as a time: the unit is missing; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds) at line 1 column 4
        invalid type: boolean `true`, expected a time: seconds, or a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds) at line 1 column 4
        ");
    }
}
