//! A search for the largest batch size, as in Lightning's `BatchSizeFinder`.

mod attempt;
mod child;
mod growth;

use serde::{Deserialize, Serialize};
use stormfire_data::DataModule;
use stormfire_module::{Error, LightningModule, Result};
use stormfire_trainer::{Trainer, for_tuner::ProbeTrainer as _};
use stormfire_values::text::{Misread, TextError};

pub use child::is_batch_size_trial;
pub use growth::BatchSizeSearch;

use attempt::Outcome;
use growth::Search;

/// The options of [`Tuner::scale_batch_size`](crate::Tuner::scale_batch_size).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ScaleBatchSize {
    search: BatchSizeSearch,
    #[serde(skip)]
    misread: Misread,
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

impl Default for ScaleBatchSize {
    fn default() -> Self {
        Self {
            search: BatchSizeSearch::default(),
            misread: Misread::default(),
            steps_per_trial: 3,
            init: 2,
            max: 8192,
            max_trials: 25,
            margin: 0.05,
            in_child_process: false,
        }
    }
}

impl ScaleBatchSize {
    /// Doubles the batch size from 2 to at most 8192 while three steps succeed.
    pub fn new() -> Self {
        Self::default()
    }

    /// The [`BatchSizeSearch`], or its name. Default: power.
    pub fn search(mut self, search: impl TryInto<BatchSizeSearch, Error: Into<TextError>>) -> Self {
        self.misread.set("ScaleBatchSize::search", &mut self.search, search);
        self
    }

    /// Number of optimizer steps, and of validation batches, in each trial. Default: 3.
    pub fn steps_per_trial(mut self, steps: u64) -> Self {
        self.steps_per_trial = steps;
        self
    }

    /// The first batch size. If the dataset has fewer items, the search finds their number. Default: 2.
    pub fn init(mut self, items: usize) -> Self {
        self.init = items;
        self
    }

    /// The largest batch size to try. The number of items in the dataset is a limit, too. Default: 8192.
    pub fn max(mut self, items: usize) -> Self {
        self.max = items;
        self
    }

    /// Maximum number of trials. Default: 25.
    pub fn max_trials(mut self, trials: usize) -> Self {
        self.max_trials = trials;
        self
    }

    /// The share by which the result of a binary search is reduced if a larger size has failed. Memory differs a little
    /// from step to step. Default: 0.05.
    pub fn margin(mut self, share: f64) -> Self {
        self.margin = share;
        self
    }

    /// Whether each trial runs in a child process. A trial that ends the process, by an abort or the system's
    /// out-of-memory killer, then counts as failed. Each trial also starts with an unused device. Default: no.
    ///
    /// The child is this program, started again with the same arguments. **Everything that the program does before this
    /// call happens again in each child**: keep that free of fits and of files. The child ends inside the call.
    pub fn in_child_process(mut self, on: bool) -> Self {
        self.in_child_process = on;
        self
    }

    /// Whether each trial runs in a [child process](Self::in_child_process).
    pub fn starts_processes(&self) -> bool {
        self.in_child_process
    }

    /// Checks the options, as [`Tuner::scale_batch_size`](crate::Tuner::scale_batch_size) does.
    ///
    /// # Errors
    /// For an option that cannot be used.
    pub fn check(&self) -> Result<()> {
        self.misread.check()?;
        let refuse = |option: &str, reason: String, hint: &str| Err(Error::config(format!("ScaleBatchSize::{option}"), reason, hint));
        if self.init == 0 {
            return refuse("init", "a batch needs an item".into(), "use 2");
        }
        if self.max < self.init {
            let reason = format!("the largest size {} is less than the first one, {}", self.max, self.init);
            // A default is not the mistake.
            let option = if self.max == Self::default().max { "init" } else { "max" };
            return refuse(option, reason, "lower `init`, or raise `max`");
        }
        if self.steps_per_trial == 0 {
            return refuse("steps_per_trial", "a trial needs a step".into(), "use 3");
        }
        if self.max_trials == 0 {
            return refuse("max_trials", "the search needs a trial".into(), "use 25");
        }
        if !(0.0..1.0).contains(&self.margin) {
            return refuse("margin", format!("{} is not a share of 0 to 1", self.margin), "use 0.05");
        }
        Ok(())
    }
}

pub(crate) fn run<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    trainer: &mut Trainer<M>,
    module: &M,
    data: impl Fn(usize) -> Result<D>,
    options: &ScaleBatchSize,
) -> Result<usize> {
    options.check()?;
    trainer.check_trains()?;
    let world = stormfire_ranks::here()?.world();
    if world > 1 {
        let reason = format!("a trial that fails on one of the {world} ranks would end all of them");
        return Err(Error::config("scale_batch_size", reason, "search with one process, on the smallest of the devices"));
    }
    let mut here = |size: usize| attempt::run(trainer, module, data(size)?, options.steps_per_trial);
    let Some(call) = child::call(options.in_child_process, &mut here)? else { return find(options, here) };
    if let Some(known) = call.known() {
        return Ok(known);
    }
    let found = find(options, |size| call.trial(size))?;
    child::Call::note(found);
    Ok(found)
}

/// The first two sizes of [`Tuner::scale_batch_size`](crate::Tuner::scale_batch_size), with one step each, in this
/// process. Returns a size that works.
///
/// # Errors
/// As the search, for what these trials show.
pub fn try_batch_size<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    trainer: &mut Trainer<M>,
    module: &M,
    data: impl Fn(usize) -> Result<D>,
    options: &ScaleBatchSize,
) -> Result<usize> {
    options.check()?;
    let most = options.max.min(options.init.saturating_mul(2));
    run(trainer, module, data, &options.clone().max(most).steps_per_trial(1).in_child_process(false))
}

/// The start of the reason of a refused loader whose batches have the same size in each trial.
const FIXED: &str = "the loader has ";

/// Whether a search has ended because the size has no effect on the batches. The option that gets it may be a wrong
/// one.
pub fn is_without_effect(error: &Error) -> bool {
    matches!(error, Error::Config(refused) if refused.option == "scale_batch_size" && refused.reason.starts_with(FIXED))
}

/// Runs the trials of a search.
fn find(options: &ScaleBatchSize, mut trial: impl FnMut(usize) -> Result<Outcome>) -> Result<usize> {
    let mut search = Search::new(options.search, options.init, options.max);
    let mut batches_before: Option<(usize, usize)> = None;
    let mut newest_failure = String::new();
    for _ in 0..options.max_trials {
        let Some(size) = search.next() else { break };
        match trial(size)? {
            Outcome::Fits { items, batches } => {
                let fits = search.fits(items);
                tracing::info!("`scale_batch_size`: {fits} items fit");
                if let (Some((before, count)), Some(batches)) = (batches_before, batches)
                    && size >= 2 * before
                    && count == batches
                    && batches > 1
                {
                    let reason = format!("{FIXED}{batches} batches with {before} and with {size} items each");
                    return Err(Error::config("scale_batch_size", reason, "give the argument of `data` to `Loader::batch_size`"));
                }
                batches_before = batches.map(|batches| (size, batches));
            }
            Outcome::Fails { reason } => {
                tracing::info!("`scale_batch_size`: {size} items do not fit: {reason}");
                search.fails();
                newest_failure = reason;
            }
        }
    }
    let margin = if options.search == BatchSizeSearch::Binary { options.margin } else { 0.0 };
    search.result(margin).ok_or_else(|| {
        let reason = format!("no batch size works: {newest_failure}");
        Error::config("scale_batch_size", reason, "a fit with a small batch shows the whole error")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes that a search tries if `most` items fit into memory, and its result.
    fn sizes(options: &ScaleBatchSize, most: usize, items: Option<usize>) -> (Vec<usize>, Option<usize>) {
        let mut tried = Vec::new();
        let found = find(options, |size| {
            tried.push(size);
            let reason = "no memory".into();
            let batches = items.map(|items| items.div_ceil(size));
            Ok(if size <= most { Outcome::Fits { items, batches } } else { Outcome::Fails { reason } })
        });
        (tried, found.ok())
    }

    #[test]
    fn a_search_by_powers_ends_at_the_first_failure() {
        let power = ScaleBatchSize::new();
        assert_eq!(sizes(&power, 20, None), (vec![2, 4, 8, 16, 32], Some(16)));
        assert_eq!(sizes(&power.clone().init(64), 20, None), (vec![64, 32, 16], Some(16)));
        assert_eq!(sizes(&power.clone().max(20), 100, None), (vec![2, 4, 8, 16, 20], Some(20)));
        assert_eq!(sizes(&power, 100, Some(50)), (vec![2, 4, 8, 16, 32, 50], Some(50)));
        assert_eq!(sizes(&power.clone().init(100).max(200), 1000, Some(50)), (vec![100], Some(50)));
        assert_eq!(sizes(&power.clone().max_trials(2), 100, None), (vec![2, 4], Some(4)));
        assert_eq!(sizes(&power, 0, None), (vec![2, 1], None));
    }

    #[test]
    fn a_binary_search_ends_between_a_success_and_a_failure() {
        let binary = ScaleBatchSize::new().search("binary");
        assert_eq!(sizes(&binary.clone().margin(0.0), 20, None), (vec![2, 4, 8, 16, 32, 24, 20, 22, 21], Some(20)));
        assert_eq!(sizes(&binary, 20, None).1, Some(19));
        assert_eq!(sizes(&binary, 1, None).1, Some(1));
        // Without a failure, no limit is known, and the margin has no effect.
        assert_eq!(sizes(&binary.clone().max(64), 1000, None), (vec![2, 4, 8, 16, 32, 64], Some(64)));
        // No size above the number of items is tried once that is known.
        assert_eq!(sizes(&binary.clone().init(100).margin(0.0), 60, Some(40)), (vec![100, 50], Some(40)));
        assert_eq!(sizes(&binary.init(64).margin(0.0), 20, None), (vec![64, 32, 16, 24, 20, 22, 21], Some(20)));
    }

    /// A case of `lightning.json`, which `xtask/python/lightning_rules.py` writes: a search with memory for `limit`
    /// items.
    #[derive(Deserialize)]
    struct Case {
        search: String,
        first: usize,
        limit: usize,
        tried: Vec<usize>,
        result: usize,
    }

    #[test]
    fn sizes_are_those_that_lightning_tries() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("batch_size/lightning.json")).unwrap();
        assert_eq!(cases.len(), 10);
        for Case { search, first, limit, tried, result } in cases {
            let options = ScaleBatchSize::new().search(search.as_str()).init(first).margin(0.0);
            // Lightning tries a size that has failed once more after a first success.
            let mut once: Vec<usize> = Vec::new();
            for size in tried {
                if !once.contains(&size) {
                    once.push(size);
                }
            }
            assert_eq!(sizes(&options, limit, None), (once, Some(result)), "{search} from {first}, with memory for {limit}");
        }
    }

    #[test]
    fn a_default_is_not_the_wrong_option() {
        for (options, option) in [(ScaleBatchSize::new().init(10_000), "init"), (ScaleBatchSize::new().init(9).max(8), "max")] {
            let (error, max) = (options.check().unwrap_err().to_string(), options.max);
            let expected = format!("`ScaleBatchSize::{option}`: the largest size {max} is less than the first one, {}", options.init);
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn data_of_a_fixed_batch_size_is_an_error() {
        let found = find(&ScaleBatchSize::new(), |_| Ok(Outcome::Fits { items: Some(100), batches: Some(50) }));
        let error = found.unwrap_err();
        assert!(is_without_effect(&error));
        assert_eq!(error.to_string(), "`scale_batch_size`: the loader has 50 batches with 2 and with 4 items each");
    }
}
