//! The section `tune`, and the options that the command `tune` finds values for.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire_tuner::{LrFind, ScaleBatchSize};

use crate::{
    error::{Problem, Result},
    nearest::{any_of, did_you_mean},
    node::{Node, Tree},
    schema::Schema,
    source::Source,
};

/// The name of the section.
pub(crate) const SECTION: &str = "tune";

/// the options of the command `tune`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TuneConfig {
    /// The option that gets the learning rate. `auto` is the only one of the model with the name `lr` or
    /// `learning_rate`. With null, no rate is searched.
    lr: Option<String>,
    /// The option that gets the batch size. `auto` is the only one of the data with the name `batch_size`. With null,
    /// no size is searched.
    batch_size: Option<String>,
    lr_find: LrFindConfig,
    scale_batch_size: ScaleBatchSizeConfig,
}

/// The test of learning rates.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct LrFindConfig {
    /// The rate of the first step.
    min_lr: f64,
    /// The rate of the last step.
    max_lr: f64,
    /// Number of optimizer steps, each with its own rate.
    num_training: usize,
    spacing: Spacing,
    /// Stops when the smoothed loss exceeds this multiple of the smallest one.
    early_stop_threshold: Option<f64>,
    /// The optimizer, if there are several.
    optimizer: Option<String>,
    suggestion: Suggestion,
}

/// The distances between the rates.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Spacing {
    Exponential,
    Linear,
}

/// How the rate is chosen from the losses.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Suggestion {
    Valley,
    Steepest,
}

/// The search for a batch size.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ScaleBatchSizeConfig {
    search: BatchSizeSearch,
    /// Number of optimizer steps, and of validation batches, in each trial.
    steps_per_trial: u64,
    /// The first batch size.
    init: usize,
    /// The largest batch size to try.
    max: usize,
    /// Maximum number of trials.
    max_trials: usize,
    /// The share by which the result of a binary search is reduced if a larger size has failed.
    margin: f64,
    /// Whether each trial runs in a child process, which may end for lack of memory.
    in_child_process: bool,
}

/// The sizes to try.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BatchSizeSearch {
    Power,
    Binary,
}

/// The option's value for the only option with a usual name.
const AUTO: &str = "auto";

impl Default for TuneConfig {
    fn default() -> Self {
        Self {
            lr: Some(AUTO.into()),
            batch_size: Some(AUTO.into()),
            lr_find: LrFindConfig::default(),
            scale_batch_size: ScaleBatchSizeConfig::default(),
        }
    }
}

impl Default for LrFindConfig {
    fn default() -> Self {
        Self {
            min_lr: 1e-8,
            max_lr: 1.0,
            num_training: 100,
            spacing: Spacing::Exponential,
            early_stop_threshold: Some(4.0),
            optimizer: None,
            suggestion: Suggestion::Valley,
        }
    }
}

impl Default for ScaleBatchSizeConfig {
    fn default() -> Self {
        Self {
            search: BatchSizeSearch::Power,
            steps_per_trial: 3,
            init: 2,
            max: 8192,
            max_trials: 25,
            margin: 0.05,
            in_child_process: false,
        }
    }
}

impl TuneConfig {
    /// The options to find: those of the learning rate and of the batch size.
    pub(crate) fn options(&self, config: &Node, schema: &Schema) -> Result<(Option<String>, Option<String>)> {
        let lr = wanted(self.lr.as_deref(), "lr", ("model", &["lr", "learning_rate"]), config, schema)?;
        let batch_size = wanted(self.batch_size.as_deref(), "batch_size", ("data", &["batch_size"]), config, schema)?;
        if lr.is_none() && batch_size.is_none() {
            let message = "`tune` has nothing to find: the program has no option for a learning rate or a batch size";
            return Err(Problem::general(message).help("name one: `--tune.lr=model.OPTION`".to_owned()).into());
        }
        Ok((lr, batch_size))
    }

    pub(crate) fn lr_find(&self) -> LrFind {
        let LrFindConfig { min_lr, max_lr, num_training, spacing, early_stop_threshold, optimizer, suggestion } = &self.lr_find;
        let find = LrFind::new().min_lr(*min_lr).max_lr(*max_lr).num_training(*num_training).early_stop_threshold(*early_stop_threshold);
        let find = find.spacing(match spacing {
            Spacing::Exponential => stormfire_tuner::Spacing::Exponential,
            Spacing::Linear => stormfire_tuner::Spacing::Linear,
        });
        let find = find.suggestion(match suggestion {
            Suggestion::Valley => stormfire_tuner::Suggestion::Valley,
            Suggestion::Steepest => stormfire_tuner::Suggestion::Steepest,
        });
        match optimizer {
            Some(name) => find.optimizer(name),
            None => find,
        }
    }

    pub(crate) fn scale_batch_size(&self) -> ScaleBatchSize {
        let ScaleBatchSizeConfig { search, steps_per_trial, init, max, max_trials, margin, in_child_process } = &self.scale_batch_size;
        let scale = ScaleBatchSize::new().steps_per_trial(*steps_per_trial).init(*init).max(*max).max_trials(*max_trials);
        let scale = scale.margin(*margin).in_child_process(*in_child_process);
        scale.search(match search {
            BatchSizeSearch::Power => stormfire_tuner::BatchSizeSearch::Power,
            BatchSizeSearch::Binary => stormfire_tuner::BatchSizeSearch::Binary,
        })
    }
}

/// The path of an option, if it is to be found.
fn wanted(given: Option<&str>, name: &str, (section, usual): (&str, &[&str]), config: &Node, schema: &Schema) -> Result<Option<String>> {
    let setting = format!("{SECTION}.{name}");
    let source = || config.get(setting.split('.')).map_or_else(Source::default_value, |node| node.source.clone());
    let is_number = |path: &str| {
        let leaf = schema.leaf(path).filter(|leaf| leaf.kinds.has(&Tree::UInt(1)));
        leaf.is_some() && config.get(path.split('.')).is_some()
    };
    match given {
        None => Ok(None),
        Some(AUTO) => {
            let is_usual = |path: &&str| {
                let is_in = path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'));
                is_in && path.rsplit('.').next().is_some_and(|last| usual.contains(&last)) && is_number(path)
            };
            let found: Vec<&str> = schema.leaves().map(|leaf| leaf.path.as_str()).filter(is_usual).collect();
            match found.as_slice() {
                [] => Ok(None),
                [only] => Ok(Some((*only).to_owned())),
                several => {
                    let message = format!("`{setting}`: it may be {}", any_of(several.iter().copied()));
                    let help = format!("choose one, such as `--{setting}={}`, or none: `--{setting}=null`", several[0]);
                    Err(Problem::general(message).help(help).into())
                }
            }
        }
        Some(path) if is_number(path) => Ok(Some(path.to_owned())),
        Some(path) => {
            let known: Vec<&str> = schema.leaves().map(|leaf| leaf.path.as_str()).filter(|path| is_number(path)).collect();
            let message = format!("`{setting}`: there is no option `{path}` with a number");
            Err(Problem::new(&source(), message).help(did_you_mean(path, known)).into())
        }
    }
}

/// A configuration with one value replaced.
pub(crate) fn with_value(mut config: Node, path: &str, value: Tree) -> Node {
    let mut node = &mut config;
    for name in path.split('.') {
        if node.fields().is_none() {
            *node = Node::empty(&node.source.clone());
        }
        let source = node.source.clone();
        let Tree::Map(fields) = &mut node.value else { return config };
        node = fields.entry(name.to_owned()).or_insert_with(|| Node::empty(&source));
    }
    node.value = value;
    config
}

/// A configuration with these values alone.
pub(crate) fn found(values: impl IntoIterator<Item = (String, Tree)>) -> Node {
    let empty = Node::new(Tree::Map(IndexMap::new()), &Source::default_value());
    values.into_iter().fold(empty, |config, (path, value)| with_value(config, &path, value))
}
