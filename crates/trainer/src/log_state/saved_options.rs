//! The options of a logged value in a checkpoint.

use serde::{Deserialize, Serialize};
use stormfire_module::log::{Options, ReduceFx};

/// The options of a value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "they are Lightning's flags, each independent of the others")]
pub(crate) struct SavedOptions {
    on_step: bool,
    on_epoch: bool,
    prog_bar: bool,
    logger: bool,
    reduce_fx: SavedReduceFx,
    add_dataloader_idx: bool,
    pub(super) sync_dist: Option<bool>,
    pub(super) rank_zero_only: bool,
}

impl From<&Options> for SavedOptions {
    fn from(options: &Options) -> Self {
        let &Options { on_step, on_epoch, prog_bar, logger, reduce_fx, add_dataloader_idx, sync_dist, rank_zero_only } = options;
        Self { on_step, on_epoch, prog_bar, logger, reduce_fx: reduce_fx.into(), add_dataloader_idx, sync_dist, rank_zero_only }
    }
}

impl SavedOptions {
    /// Restores the options. A custom function gets a placeholder, until the next record of the slot supplies it.
    pub(crate) fn restore(&self) -> Options {
        let &Self { on_step, on_epoch, prog_bar, logger, ref reduce_fx, add_dataloader_idx, sync_dist, rank_zero_only } = self;
        Options { on_step, on_epoch, prog_bar, logger, reduce_fx: reduce_fx.restore(), add_dataloader_idx, sync_dist, rank_zero_only }
    }
}

/// A [`ReduceFx`]. A custom function is identified by its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
enum SavedReduceFx {
    Mean,
    Sum,
    Min,
    Max,
    Custom(String),
}

/// What precedes the name of a custom function in a file.
const CUSTOM: &str = "custom:";

impl From<ReduceFx> for SavedReduceFx {
    fn from(reduce: ReduceFx) -> Self {
        match reduce {
            ReduceFx::Mean => Self::Mean,
            ReduceFx::Sum => Self::Sum,
            ReduceFx::Min => Self::Min,
            ReduceFx::Max => Self::Max,
            ReduceFx::Custom { name, .. } => Self::Custom(name.to_owned()),
        }
    }
}

impl From<SavedReduceFx> for String {
    fn from(reduce: SavedReduceFx) -> Self {
        match reduce {
            SavedReduceFx::Mean => "mean".to_owned(),
            SavedReduceFx::Sum => "sum".to_owned(),
            SavedReduceFx::Min => "min".to_owned(),
            SavedReduceFx::Max => "max".to_owned(),
            SavedReduceFx::Custom(name) => format!("{CUSTOM}{name}"),
        }
    }
}

impl TryFrom<String> for SavedReduceFx {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "mean" => Ok(Self::Mean),
            "sum" => Ok(Self::Sum),
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            other => match other.strip_prefix(CUSTOM) {
                Some(name) => Ok(Self::Custom(name.to_owned())),
                None => Err(format!("the checkpoint reduces a metric by `{other}`, which this version does not know")),
            },
        }
    }
}

impl SavedReduceFx {
    fn restore(&self) -> ReduceFx {
        match self {
            Self::Mean => ReduceFx::Mean,
            Self::Sum => ReduceFx::Sum,
            Self::Min => ReduceFx::Min,
            Self::Max => ReduceFx::Max,
            // Leaks one name per restored slot, once per run.
            Self::Custom(name) => ReduceFx::Custom { name: name.clone().leak(), reduce: |all| all },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reduction_is_a_string_in_a_file() {
        let range = ReduceFx::Custom { name: "range", reduce: |all| all.clone().max() - all.min() };
        let forms =
            [(ReduceFx::Mean, "mean"), (ReduceFx::Sum, "sum"), (ReduceFx::Min, "min"), (ReduceFx::Max, "max"), (range, "custom:range")];
        for (reduce, text) in forms {
            let saved = serde_json::to_value(SavedReduceFx::from(reduce)).unwrap();
            assert_eq!(saved, text);
            assert_eq!(serde_json::from_value::<SavedReduceFx>(saved).unwrap().restore(), reduce);
        }
        let error = serde_json::from_value::<SavedReduceFx>("median".into()).unwrap_err();
        assert_eq!(error.to_string(), "the checkpoint reduces a metric by `median`, which this version does not know");
    }
}
