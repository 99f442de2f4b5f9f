//! The section `sweep`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_module::Error;
use stormfire_tuner::{Pruner, Sweep};

use super::space::{self, Dimension};
use crate::{
    error::{Problem, Result},
    node::Node,
    registry::Better,
    values::MOST,
};

/// the options of the command `sweep`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct SweepConfig {
    /// How to choose the values: `grid` takes every combination, `random` and `tpe` draw. The default is `grid` for
    /// lists and `tpe` for ranges.
    search: Option<Search>,
    /// The number of trials of `random` and `tpe`. Default: 20.
    #[schemars(range(min = 1, max = MOST))]
    trials: Option<usize>,
    /// The metric to be optimized.
    monitor: String,
    /// Whether a lower or a higher value is better.
    mode: Better,
    /// The seed of the search. `trainer.seed` is that of the fits.
    seed: u64,
    /// The folder. Default: `sweep` in `trainer.default_root_dir`. A sweep continues in its folder.
    pub(super) folder: Option<PathBuf>,
    /// Ends bad trials early.
    pruner: PrunerConfig,
    /// The number of failed trials in a row that ends the sweep.
    max_failures: usize,
    /// The options and their values: `model.lr: log_uniform(1e-5, 1e-1)`, `uniform(0, 1)`, `int(16, 256)`, or a list.
    space: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Search {
    Grid,
    Random,
    Tpe,
}

/// A rule that ends trials.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
enum PrunerConfig {
    /// Ends no trial.
    None,
    /// Ends a trial that is worse than the median of the completed ones at the same validation.
    Median {
        /// The number of completed trials before the first end.
        #[serde(default = "five")]
        trials: usize,
        /// The number of validations of a trial before its end.
        #[serde(default)]
        validations: usize,
    },
    /// Asynchronous successive halving: of the trials at a rung, the best share continues.
    Asha {
        /// The validation of the first rung.
        #[serde(default = "one")]
        #[schemars(range(min = 1))]
        first: usize,
        /// The factor between rungs. It is also the number of trials of which one continues.
        #[serde(default = "three")]
        #[schemars(range(min = 2))]
        factor: usize,
    },
}

fn one() -> usize {
    1
}

fn three() -> usize {
    3
}

fn five() -> usize {
    5
}

impl Default for SweepConfig {
    fn default() -> Self {
        Self {
            search: None,
            trials: None,
            monitor: "val_loss".into(),
            mode: Better::Min,
            seed: 0,
            folder: None,
            pruner: PrunerConfig::None,
            max_failures: 3,
            space: Map::new(),
        }
    }
}

/// The number of trials without a given one.
const TRIALS: usize = 20;

impl SweepConfig {
    /// The sweep over a space. `section`: the options with their sources.
    pub(super) fn sweep(&self, dimensions: &[Dimension], folder: &Path, section: &Node) -> Result<Sweep> {
        let refuse = |option: &str, message: &str| {
            let given = section.get([option]).unwrap_or(section);
            Err(Problem::new(&given.source, message).into())
        };
        let trials = self.trials.unwrap_or(TRIALS);
        let space = space::of(dimensions);
        let lists_alone = dimensions.iter().all(Dimension::is_list) && self.trials.is_none();
        let sweep = match self.search.unwrap_or(if lists_alone { Search::Grid } else { Search::Tpe }) {
            Search::Grid if self.trials.is_some() => {
                return refuse("trials", "a grid has all combinations, and no number of trials");
            }
            Search::Grid if !dimensions.iter().all(Dimension::is_finite) => {
                return refuse("search", "a grid needs lists of values, and a range has any number of them");
            }
            Search::Grid => {
                space::check_grid(dimensions)?;
                Sweep::grid(space)
            }
            Search::Random => Sweep::random(space, trials),
            Search::Tpe => Sweep::tpe(space, trials),
        };
        let pruner = match self.pruner {
            PrunerConfig::None => Pruner::none(),
            PrunerConfig::Median { trials, validations } => Pruner::median_after(trials, validations),
            PrunerConfig::Asha { first, factor } => Pruner::asha_with(first, factor),
        };
        let sweep = sweep.seed(self.seed).monitor(self.monitor.as_str()).mode(self.mode).pruner(pruner);
        Ok(sweep.max_failures(self.max_failures).folder(folder))
    }

    pub(super) fn monitor(&self) -> &str {
        &self.monitor
    }
}

/// An error of the crate `tuner` with the names of options in place of those of setters.
pub(super) fn named(error: Error) -> Error {
    match error {
        Error::Config(refused) => {
            let option = refused.option.replace("Pruner::asha_with", "sweep.pruner").replace("Sweep", "sweep").replace("::", ".");
            Error::config(option, refused.reason, refused.hint)
        }
        other => other,
    }
}
