//! How long a rank may be silent.

use std::{env, time::Duration};

use crate::error::{Error, Result};

/// The variable with the number of seconds. It must be the same for all ranks.
const VARIABLE: &str = "STORMFIRE_RANK_TIMEOUT";
const DEFAULT: Duration = Duration::from_secs(30);

/// A rank without a sign of life for this long counts as failed.
pub(crate) fn silence() -> Result<Duration> {
    parsed(env::var(VARIABLE).ok().as_deref())
}

fn parsed(text: Option<&str>) -> Result<Duration> {
    let Some(text) = text else { return Ok(DEFAULT) };
    let seconds = text.trim().parse().ok().filter(|seconds| *seconds >= 1.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| Error::Engine(format!("`{VARIABLE}` is `{text}`, which is not a number of seconds, at least 1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_a_number_of_seconds() {
        assert_eq!((parsed(None), parsed(Some(" 2.5 "))), (Ok(DEFAULT), Ok(Duration::from_millis(2500))));
        let errors = ["", "soon", "0.2", "-3", "inf", "NaN"].map(|text| parsed(Some(text)).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
        MPI cannot be used: `STORMFIRE_RANK_TIMEOUT` is ``, which is not a number of seconds, at least 1
        MPI cannot be used: `STORMFIRE_RANK_TIMEOUT` is `soon`, which is not a number of seconds, at least 1
        MPI cannot be used: `STORMFIRE_RANK_TIMEOUT` is `0.2`, which is not a number of seconds, at least 1
        MPI cannot be used: `STORMFIRE_RANK_TIMEOUT` is `-3`, which is not a number of seconds, at least 1
        MPI cannot be used: `STORMFIRE_RANK_TIMEOUT` is `inf`, which is not a number of seconds, at least 1
        MPI cannot be used: `STORMFIRE_RANK_TIMEOUT` is `NaN`, which is not a number of seconds, at least 1
        ");
    }
}
