//! Answers of a service, and checks that they come from the service.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::{Map, Value};
use ureq::http::HeaderMap;

use crate::network::outbox::Failure;

/// Maximum number of characters of an error's body in a message.
const SHOWN: usize = 300;

/// The form in which the service confirms a request. A login page or the empty answer of a proxy is not a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A JSON object, as the trackers answer.
    Object,
    /// Any body with a status of success: a file store to which the tracker has redirected.
    Stored,
    /// As [`Expect::Object`] if the tracker accepts a file itself, otherwise as [`Expect::Stored`]. MLflow 3 answers a
    /// file with an empty body without a content type. The result is then `Null`, and the caller must confirm the file.
    Kept,
    /// Anything but a web page, from the server itself. The result is `Null` if it is not a JSON object. The caller
    /// decides.
    Taken,
}

/// An answer with a status of success.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Vec<u8>,
    pub(super) is_html: bool,
    /// Whether the answer has a content type.
    pub(super) has_type: bool,
}

impl Answer {
    /// The answer as JSON, if it comes from the service, or an empty object if the status suffices. `is_elsewhere`: the
    /// answer comes from another server than the requested one.
    pub(super) fn check(&self, expect: Expect, is_elsewhere: bool) -> Result<Value, Failure> {
        let is_bare = self.body.is_empty() && !self.has_type;
        if expect == Expect::Stored || expect == Expect::Kept && (is_elsewhere || is_bare) {
            let is_silence = expect == Expect::Kept && !is_elsewhere;
            return match self.is_page() {
                true => Err(self.strange("")),
                false if is_silence => Ok(Value::Null),
                false => Ok(Value::Object(Map::new())),
            };
        }
        match serde_json::from_slice(&self.body) {
            Ok(answer @ Value::Object(_)) => Ok(answer),
            _ if expect == Expect::Taken && !is_elsewhere && !self.is_page() => Ok(Value::Null),
            _ => Err(self.strange("it is not a JSON object")),
        }
    }

    fn is_page(&self) -> bool {
        let begin = String::from_utf8_lossy(&self.body[..self.body.len().min(64)]).trim_start().to_ascii_lowercase();
        // Google's store labels all its answers `text/html`, including empty and XML ones.
        let is_text = !begin.is_empty() && !begin.starts_with("<?xml");
        self.is_html && is_text || ["<!doctype html", "<html"].iter().any(|page| begin.starts_with(page))
    }

    /// The failure for an answer that does not come from the service.
    fn strange(&self, why: &str) -> Failure {
        let what = if self.body.is_empty() {
            "it is empty".to_owned()
        } else if self.is_page() {
            "it is a web page".to_owned()
        } else {
            format!("{why}{}", excerpt(&self.body))
        };
        Failure::retry(format!(
            "the answer is not one of the service ({what}): it may come from a login page or a proxy; is the address right?"
        ))
    }
}

/// The start of a body, after a colon.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.is_empty() { String::new() } else { format!(": {cut}") }
}

/// The delay of `Retry-After`, which is in seconds or a date. A date is compared with the server's own clock, if it
/// sends the time.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let asked = text("retry-after")?;
    if let Ok(seconds) = asked.parse::<f64>() {
        // A number that exceeds a `Duration` is valid.
        return (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    }
    let date = |text: &str| DateTimeParser::new().parse_timestamp(text).ok();
    let now = text("date").and_then(date).unwrap_or_else(Timestamp::now);
    Some(date(asked)?.duration_since(now).try_into().unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(after: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", after.parse().unwrap());
        if let Some(date) = date {
            headers.insert("date", date.parse().unwrap());
        }
        retry_after(&headers)
    }

    #[test]
    fn a_server_requests_seconds_or_a_date_of_its_clock() {
        assert_eq!(asked("7", None), Some(Duration::from_secs(7)));
        assert_eq!(asked("1e300", None), Some(Duration::MAX));
        assert_eq!((asked("-1", None), asked("soon", None)), (None, None));
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:50 GMT", date), Some(Duration::from_secs(13)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:30 GMT", date), Some(Duration::ZERO));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:50 GMT", None), Some(Duration::ZERO));
    }
}
