//! Searches for hyperparameters over many trials.

mod course;
mod journal;
mod judge;
#[cfg(test)]
mod optuna;
mod parzen;
mod processes;
mod pruner;
mod record;
mod result;
mod search;
mod space;
mod trial;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
};

use stormfire_module::{Error, Result};
use stormfire_store::{is_url, on_disk};
use stormfire_trainer::for_tuner::panic_message;
use stormfire_values::{
    Mode,
    text::{Misread, TextError},
};

use crate::ranks::{Ended, agree, of_zero};
use course::Course;
use search::Search;
use trial::Task;

pub use processes::{ProcessEnd, TrialTask, check_sweep, run_in_processes};
pub use pruner::Pruner;
pub use record::{TrialRecord, TrialState};
pub use result::SweepResult;
pub use space::Space;
pub use trial::Trial;

/// Runs trials with different hyperparameters, one after the other, and finds the best.
///
/// ```no_run
/// # use burn::{nn::{Linear, LinearConfig}, prelude::*};
/// # use stormfire_module::{LightningModule, Result};
/// # use stormfire_data::Loader;
/// # #[derive(Module, Debug)]
/// # struct Net { layer: Linear, #[module(skip)] lr: f64 }
/// # impl Net {
/// #     fn new(hidden: usize, lr: f64) -> Self { Self { layer: LinearConfig::new(1, hidden).init(&Device::flex()), lr } }
/// # }
/// # impl LightningModule for Net { type Batch = Tensor<2>; }
/// # fn data() -> (Loader<Tensor<2>>, Loader<Tensor<2>>) {
/// #     let part = || Loader::from_batches(vec![Tensor::ones([8, 1], &Device::flex())]);
/// #     (part(), part())
/// # }
/// use stormfire_trainer::Trainer;
/// use stormfire_tuner::{Pruner, Space, Sweep};
///
/// let space = Space::new().log_uniform("lr", 1e-5, 1e-1).int("hidden", 16, 256);
/// let sweep = Sweep::tpe(space, 40).monitor("val_loss").pruner(Pruner::median()).folder("sweeps/first");
/// let result = sweep.run(|trial| {
///     let module = Net::new(trial.get("hidden")?, trial.get("lr")?);
///     trial.fit(Trainer::new().max_epochs(5), module, data())
/// })?;
/// println!("{result}");
/// # Ok::<(), stormfire_module::Error>(())
/// ```
///
/// **Files.** Each trial has a file `trial_N.json` in the folder of the sweep, and logs and checkpoints in `trial_N`,
/// if it uses [`Trial::fit`]. `tensorboard --logdir FOLDER` shows the runs side by side, and on its page `HParams`. The
/// table of all trials is `trials.csv`.
///
/// **Restarts.** A sweep continues in its folder: completed, pruned and failed trials stay what they are. A trial that
/// was running continues from its newest checkpoint, or starts from scratch if it has none. A finished sweep returns
/// its result at once: choose another folder for another sweep. Space, search, seed, monitor and mode must be the same,
/// or it is refused. The number of trials may grow.
///
/// **Failures.** A trial that fails or panics is noted, and the sweep continues. Three failures in a row end it
/// ([`max_failures`](Self::max_failures)). Ctrl-C and SIGTERM in a trial end the sweep with [`Error::Interrupted`].
///
/// A score of NaN is worse than all others. The search depends only on the seed and the scores. Seed the trials
/// themselves with [`Trainer::seed`](stormfire_trainer::Trainer::seed).
#[derive(Clone, Debug)]
pub struct Sweep {
    space: Space,
    search: Search,
    seed: u64,
    folder: PathBuf,
    monitor: String,
    mode: Mode,
    misread: Misread,
    pruner: Pruner,
    max_failures: usize,
}

impl Sweep {
    fn new(space: Space, search: Search) -> Self {
        Self {
            space,
            search,
            seed: 0,
            folder: "sweep".into(),
            monitor: "val_loss".into(),
            mode: Mode::Min,
            misread: Misread::default(),
            pruner: Pruner::none(),
            max_failures: 3,
        }
    }

    /// Every combination of the values of [`Space::choice`] and [`Space::int`]. The last name changes fastest.
    pub fn grid(space: Space) -> Self {
        Self::new(space, Search::Grid)
    }

    /// This number of independent draws from the space.
    pub fn random(space: Space, trials: usize) -> Self {
        Self::new(space, Search::Random { trials })
    }

    /// This number of trials by a tree-structured Parzen estimator: after ten random trials, values are drawn where
    /// good scores are denser than bad ones, for all names together.
    pub fn tpe(space: Space, trials: usize) -> Self {
        Self::new(space, Search::Tpe { trials })
    }

    /// The seed of the search. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The folder of the sweep, on a disk: a path or a `file://` URL. Default: `sweep`.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        self.folder = match on_disk(&folder) {
            Some(path) => path.to_owned(),
            None => folder,
        };
        self
    }

    /// The metric that [`Trial::fit`] returns and that the pruner watches. Default: `val_loss`.
    pub fn monitor(mut self, metric: impl Into<String>) -> Self {
        self.monitor = metric.into();
        self
    }

    /// Whether a lower or a higher score is better: a [`Mode`], or `"max"`. Default: [`Mode::Min`].
    pub fn mode(mut self, mode: impl TryInto<Mode, Error: Into<TextError>>) -> Self {
        self.misread.set("Sweep::mode", &mut self.mode, mode);
        self
    }

    /// Ends trials early that are worse than others. Default: none.
    pub fn pruner(mut self, pruner: Pruner) -> Self {
        self.pruner = pruner;
        self
    }

    /// The number of failed trials in a row that ends the sweep. Default: 3.
    pub fn max_failures(mut self, trials: usize) -> Self {
        self.max_failures = trials.max(1);
        self
    }

    /// Runs the trials that are left. `objective` makes and runs a trial, and returns its score: that of
    /// [`Trial::fit`], or any other number.
    ///
    /// On several ranks, call it on all of them: they train each trial together. Rank 0 chooses the hyperparameters,
    /// writes the files, and its score counts. A fit that fails on ranks ends the sweep, because ranks that have lost
    /// each other cannot train again. Start the program again to continue with the next trial.
    ///
    /// # Errors
    /// * invalid options, a folder of another sweep, or one that another process uses
    /// * too many failures in a row; on several ranks, one fit that fails
    /// * [`Error::Interrupted`] after a signal
    pub fn run(&self, mut objective: impl FnMut(&mut Trial<'_>) -> Result<f64>) -> Result<SweepResult> {
        self.check()?;
        let ranks = stormfire_ranks::here()?;
        // Rank 0 has the files.
        let mut course = None;
        of_zero(&ranks, || {
            course = Some(Course::open(self)?);
            Ok(())
        })?;
        loop {
            agree(&ranks, &Ok(()))?;
            let next = |course: &mut Course<'_>| course.start()?.map(|started| Task::new(course.journal(), &started)).transpose();
            let Some(task) = of_zero(&ranks, || course.as_mut().map_or(Ok(None), next))? else { break };
            let mut trial = Trial::new(task, self);
            let outcome = catch_unwind(AssertUnwindSafe(|| objective(&mut trial)));
            let panicked =
                |panic: Box<dyn Any + Send>| Err(Error::other(format!("the objective panicked: {}", panic_message(panic.as_ref()))));
            let outcome = outcome.unwrap_or_else(panicked);
            // A score that was computed in spite of a signal is that of a half-trained module.
            let ended = match agree(&ranks, &outcome) {
                Err(interrupted @ Error::Interrupted { .. }) => return Err(interrupted),
                ended => ended,
            };
            let outcome = match (&ended, outcome) {
                (Ok(Ended::Failed), Ok(_)) => Err(Error::other("it failed on another rank")),
                (Err(lost), Ok(_)) => Err(Error::other(lost.to_string())),
                (_, outcome) => outcome,
            };
            let noted = course.as_mut().map_or(Ok(()), |course| course.ended(trial.ended(outcome)));
            ended?;
            of_zero(&ranks, || noted)?;
        }
        let result = |course: Course<'_>| course.result().map(|result| result.trials().to_vec());
        let trials = of_zero(&ranks, || course.take().map_or(Ok(Vec::new()), result))?;
        Ok(SweepResult::new(trials, self.mode))
    }

    fn check(&self) -> Result<()> {
        self.misread.check()?;
        if is_url(&self.folder) {
            let reason = format!("`{}` is not on a disk", self.folder.display());
            return Err(Error::config("Sweep::folder", reason, "choose a local folder"));
        }
        self.space.check()?;
        self.pruner.check()?;
        Ok(())
    }
}
