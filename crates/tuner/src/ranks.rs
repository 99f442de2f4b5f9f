//! The cooperation of the ranks in a search: rank 0 decides, all of them train.

use serde::{Serialize, de::DeserializeOwned};
use stormfire_loggers::json;
use stormfire_module::{Error, Result};
use stormfire_ranks::Shared;
use stormfire_trainer::for_tuner::check_not_interrupted;

/// The value that rank 0 finds, on every rank. Its error ends the other ranks, too.
pub(crate) fn of_zero<T: Serialize + DeserializeOwned>(ranks: &Shared, find: impl FnOnce() -> Result<T>) -> Result<T> {
    if ranks.world() == 1 {
        return find();
    }
    let mut bytes = Vec::new();
    if ranks.is_global_zero() {
        let found = find().and_then(|value| serde_json::to_vec(&json::to_value(&value).map_err(Error::other)?).map_err(Error::other));
        bytes = found.inspect_err(|error| ranks.abort(&error.to_string()))?;
    }
    ranks.broadcast(&mut bytes)?;
    json::from_value(serde_json::from_slice(&bytes).map_err(Error::other)?).map_err(Error::other)
}

/// How the ranks have ended a part of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Well,
    /// On some of the ranks, with an error.
    Failed,
}

const FAILED: u64 = 1;
const INTERRUPTED: u64 = 2;

/// The end of a part on all ranks: they continue together, or none does.
///
/// # Errors
/// [`Error::Interrupted`] on every rank, after a signal on any of them. If a rank is lost, its error.
pub(crate) fn agree<T>(ranks: &Shared, own: &Result<T>) -> Result<Ended> {
    let signal = check_not_interrupted();
    let is_interrupted = signal.is_err() || matches!(own, Err(Error::Interrupted { .. }));
    let flags = if is_interrupted { INTERRUPTED } else { 0 } | if own.is_err() { FAILED } else { 0 };
    let all = if ranks.world() == 1 { flags } else { ranks.agree(flags)? };
    if all & INTERRUPTED != 0 {
        return Err(match own {
            Err(Error::Interrupted { by }) => Error::Interrupted { by: by.clone() },
            _ => signal.err().unwrap_or_else(|| Error::Interrupted { by: "a signal to another rank".into() }),
        });
    }
    Ok(if all & FAILED == 0 { Ended::Well } else { Ended::Failed })
}
