//! Detects a loss that jumps up.

mod spike_rule;
mod steps;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use burn::{
    optim::GradientsParams,
    tensor::{Float, Tensor},
};
use stormfire_module::{
    Callback, Context, Error, LightningModule, Result, Stage, StepOutput,
    state::{self, Saved},
};
use stormfire_store::{is_url, replacement::Replacement};
use stormfire_values::{
    Mode,
    text::{Misread, TextError},
};

use self::{
    spike_rule::{History, Rule},
    steps::{Open, Span, Steps},
};

/// The reaction of a [`SpikeDetection`] to a spike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpikeAction {
    /// Reports it.
    Warn,
    /// Skips the step, so that the weights never see it. The loss is read before each step: on a GPU, every step then
    /// waits for the device once.
    Skip,
    /// Stops the fit. The weights have made the step, so no checkpoint is written from then on, and the batches are
    /// noted in `spikes.json` in the folder of the run. A fit that resumes from an earlier checkpoint of the run leaves
    /// them out.
    Stop,
}

/// Detects spikes of the training loss, for which `on_non_finite` is too late or too lenient.
///
/// A step is a spike if its loss is worse than that of the step before, and differs from the mean of the last
/// [`window`](Self::window) losses by at least [`rtol`](Self::rtol) times that mean and by at least
/// [`atol`](Self::atol). Unless [`finite_only`](Self::finite_only) is off, a loss that is NaN or infinite is one, too.
/// These are the rules and defaults of Lightning's `SpikeDetection`. The loss of a spike does not count in the mean.
/// Here, `finite_only(false)` ignores every loss that is not finite. In Lightning it ignores NaN, and an infinite loss
/// that is worse is still a spike.
///
/// `on_non_finite` judges a loss that is not finite as well. To skip such a step, set it to `"skip:5"`, too.
///
/// The loss of a step is the mean of the losses of its window (`accumulate_grad_batches`) and of all ranks, as
/// `training_step` has returned them: a [weighted](StepOutput::weight) loss is a sum, so its batches should have equal
/// weights. With several optimizers, the losses since the last step of any optimizer count.
///
/// Except with [`SpikeAction::Skip`], losses are read at logging steps (`log_every_n_steps`) and at the end of an epoch
/// only, so on a GPU a stop comes up to that many steps late. On the CPU numbers are at hand, and each step is judged
/// at once. The history is in every checkpoint.
///
/// ```
/// use stormfire_callbacks::{SpikeAction, SpikeDetection};
///
/// let stop = SpikeDetection::new(SpikeAction::Stop).warmup(100).rtol(1.0);
/// # let _ = stop;
/// ```
///
/// You can also write the list yourself: `spikes.json` contains pairs of an epoch and the number of a batch in it, for
/// example `[[0, 17], [2, 5]]`. A batch that is left out is loaded and counted, so the positions of the others stay.
#[derive(Debug)]
pub struct SpikeDetection {
    id: Option<String>,
    action: SpikeAction,
    rule: Rule,
    misread: Misread,
    history: History,
    steps: Steps,
    restored: bool,
}

/// The list of batches to leave out, in the folder of a run.
const LIST: &str = "spikes.json";

impl SpikeDetection {
    /// Detects spikes by the default rule.
    pub fn new(action: impl Into<SpikeAction>) -> Self {
        let (history, steps) = (History::default(), Steps::default());
        Self { id: None, action: action.into(), rule: Rule::default(), misread: Misread::default(), history, steps, restored: false }
    }

    /// A name for its state in checkpoints and for `Trainer::get_named`. Only needed for a second one in a Trainer.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// The number of latest losses in the mean. At least 1. Default 10.
    pub fn window(mut self, steps: usize) -> Self {
        self.rule.window = steps;
        self
    }

    /// The number of first steps of a fit that are never spikes. Default 1.
    pub fn warmup(mut self, steps: u64) -> Self {
        self.rule.warmup = steps;
        self
    }

    /// The least difference from the mean, as a multiple of the mean. Default 2.
    pub fn rtol(mut self, multiple: f64) -> Self {
        self.rule.rtol = Some(multiple);
        self
    }

    /// The least difference from the mean. Default: none.
    pub fn atol(mut self, difference: f64) -> Self {
        self.rule.atol = Some(difference);
        self
    }

    /// Whether a loss that is not finite is a spike. Default `true`.
    pub fn finite_only(mut self, on: bool) -> Self {
        self.rule.finite_only = on;
        self
    }

    /// Whether the loss is to fall or to rise: a [`Mode`], or `"max"`. Default: [`Mode::Min`].
    pub fn mode(mut self, mode: impl TryInto<Mode, Error: Into<TextError>>) -> Self {
        self.misread.set("SpikeDetection::mode", &mut self.rule.mode, mode);
        self
    }

    /// Number of spikes in this fit so far.
    pub fn spikes(&self) -> u64 {
        self.history.spikes
    }

    /// Judges the steps whose losses are known or may be read now.
    fn judge(&mut self, ctx: &mut Context<'_>, may_read: bool) -> Result<()> {
        for (span, loss) in self.steps.take(may_read)? {
            let Some(reason) = self.spike(span, loss) else { continue };
            if self.action == SpikeAction::Stop {
                note(ctx, span)?;
                tracing::warn!("{reason}: training stops");
                ctx.stop_without_saving(reason);
                self.steps = Steps::default();
                return Ok(());
            }
            tracing::warn!("{reason}");
        }
        Ok(())
    }

    /// Describes a spike. Another loss is added to the history.
    fn spike(&mut self, span: Span, loss: f64) -> Option<String> {
        let mean = self.history.mean();
        let is_spike = self.history.is_spike(loss, &self.rule);
        let Span { epoch, first, end, step } = span;
        let last = end.saturating_sub(1);
        let batches = if first == last { format!("batch {first}") } else { format!("batches {first} to {last}") };
        let mean = mean.map_or_else(String::new, |mean| format!(", and the mean before it is {mean}"));
        is_spike.then(|| format!("a spike at step {step} (epoch {epoch}, {batches}): the loss is {loss}{mean}"))
    }
}

/// Adds the batches of a spike to the list in the folder of the run.
fn note(ctx: &Context<'_>, span: Span) -> Result<()> {
    if !stormfire_ranks::here()?.is_global_zero() {
        return Ok(());
    }
    let folder = ctx.log_dir();
    let batches: Vec<(usize, usize)> = (span.first..span.end).map(|batch| (span.epoch, batch)).collect();
    if is_url(&folder) {
        tracing::warn!(
            "`{}` is not a local folder: leave out the batches {batches:?} with a `{LIST}` in the folder of a run",
            folder.display()
        );
        return Ok(());
    }
    fs_err::create_dir_all(&folder)?;
    let mut list = read_list(&folder.join(LIST))?.unwrap_or_default();
    list.extend(batches);
    Ok(Replacement::new(&folder.join(LIST))?.commit_json(&list)?)
}

fn read_list(path: &Path) -> Result<Option<BTreeSet<(usize, usize)>>> {
    let bytes = match fs_err::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let list = serde_json::from_slice(&bytes).map_err(|error| {
        let hint = "write pairs of epoch and batch, such as `[[0, 17], [2, 5]]`, or remove the file";
        Error::config("SpikeDetection", format!("`{}` is not a list of batches: {error}", path.display()), hint)
    })?;
    Ok(Some(list))
}

/// The batches that a resumed fit leaves out: those in the folder of the run, and in that of the checkpoint's run.
fn to_leave_out(ctx: &Context<'_>) -> Result<BTreeSet<(usize, usize)>> {
    let ranks = stormfire_ranks::here()?;
    let mut list = BTreeSet::new();
    if ranks.is_global_zero() {
        let of_checkpoint = ctx.resumed_from().and_then(|path| path.parent()?.parent());
        for folder in std::iter::once(ctx.log_dir()).chain(of_checkpoint.map(PathBuf::from)) {
            if !is_url(&folder) {
                list.extend(read_list(&folder.join(LIST))?.into_iter().flatten());
            }
        }
    }
    if ranks.world() == 1 {
        return Ok(list);
    }
    let mut bytes = serde_json::to_vec(&list).map_err(Error::other)?;
    ranks.broadcast(&mut bytes)?;
    serde_json::from_slice(&bytes).map_err(Error::other)
}

impl<M: LightningModule> Callback<M> for SpikeDetection {
    fn state_key(&self) -> String {
        self.id.as_ref().map_or_else(|| "SpikeDetection".into(), |id| format!("SpikeDetection{{{id}}}"))
    }

    fn may_skip_steps(&self) -> bool {
        self.action == SpikeAction::Skip
    }

    fn state(&self) -> Result<Saved> {
        let (open, sums) = self.steps.saved();
        let saved: Saved = state::save(&(&self.history, open))?;
        Ok(match sums {
            Some(sums) => saved.with_tensor("sums", &sums),
            None => saved,
        })
    }

    fn load_state(&mut self, mut saved: Saved) -> Result<()> {
        let mut loaded = (History::default(), Vec::new());
        let json = saved.take_json();
        state::load(&mut loaded, json)?;
        self.history = loaded.0;
        self.steps = Steps::of(loaded.1, saved.take_tensor::<1, Float>("sums")?.as_ref());
        self.restored = true;
        Ok(())
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage == Stage::Fit {
            self.misread.check()?;
            self.rule.check()?;
        }
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if !std::mem::take(&mut self.restored) {
            (self.history, self.steps) = (History::default(), Steps::default());
        }
        if ctx.resumed_from().is_some() {
            let list = to_leave_out(ctx)?;
            if !list.is_empty() {
                tracing::info!("{} batches are left out: {list:?}", list.len());
            }
            for (epoch, batch) in list {
                ctx.leave_out(epoch, batch);
            }
        }
        Ok(())
    }

    fn on_exception(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        // The next fit is another one.
        self.restored = false;
        Ok(())
    }

    fn on_before_zero_grad(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _optimizer: &str) -> Result<()> {
        self.steps.open = Open::default();
        Ok(())
    }

    fn on_before_backward(&mut self, ctx: &mut Context<'_>, _module: &mut M, loss: &Tensor<1>) -> Result<()> {
        self.steps.open.add(loss, ctx.progress().batch_in_epoch);
        Ok(())
    }

    fn on_before_optimizer_step(&mut self, ctx: &mut Context<'_>, _module: &mut M, _: &str, _: &mut GradientsParams) -> Result<()> {
        let end = ctx.progress().batch_in_epoch + ctx.run().round;
        self.steps.close(ctx.current_epoch(), end, ctx.global_step());
        if self.action == SpikeAction::Skip {
            for (span, loss) in self.steps.take(true)? {
                if let Some(reason) = self.spike(span, loss) {
                    ctx.skip_step(reason);
                }
            }
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.run().step_skipped {
            self.steps.forget_newest();
        }
        let may_read = ctx.run().place.logs_this_step;
        self.judge(ctx, may_read)
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.judge(ctx, true)
    }
}

#[cfg(test)]
mod tests;
