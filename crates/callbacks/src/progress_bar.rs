//! Shows the progress of a run, on a terminal or in a log file.

use std::{
    fmt,
    io::Write,
    time::{Duration, Instant},
};

use stormfire_loggers::Background;
use stormfire_module::{Context, RunningStage, Stage, for_trainer::live_run};
use stormfire_values::{clock, number_text};

pub use printer::Printer;

use plain::{Due, Plain};
use speed::Speed;
use terminal::{Slot, Terminal};

use crate::{process_memory, time_to_end::TimeToEnd};

mod format;
mod hooks;
mod picture;
mod plain;
mod printer;
mod speed;
mod terminal;

/// Changes the metrics after the speed: see [`ProgressBar::metrics`].
type Customize = Box<dyn FnMut(&mut Context<'_>, &mut Vec<(String, String)>) + Send>;

/// Shows the progress of a run: the epoch, batches, time, speed, and the metrics logged with `prog_bar(true)`.
///
/// On a terminal, these are live bars on stdout: one for training, and below it one for validation. Metrics that do not
/// fit in a line are shown below it:
///
/// ```text
/// Epoch 0/9 ━━━━━━━━━━━━━━━╸━━━━━━━━━ 50/79 0:04 • 0:02 12.3 it/s • 1:05 to end v_num: 3, mem: 212 MiB, train_loss: 0.412
/// ```
///
/// The numbers are the elapsed and the remaining time of the epoch, the speed, and the remaining time of the fit with
/// its validations.
///
/// All runs of a process share one display, including runs in other threads and runs inside a hook of another run. With
/// more than one run, each line starts with the name of its run: that of its first logger, such as `version_3`, or else
/// `run 2`.
///
/// If stdout is not a terminal, a plain line is written at the end of an epoch and at most every 30 s:
///
/// ```text
/// epoch 0/9  50/79 batches  12.3 it/s  train_loss 0.412
/// ```
///
/// A batch costs one clock read. Metrics are collected only when a refresh is due, and only those that have been read
/// from the device. `NO_COLOR` turns colors off.
///
/// ```
/// use stormfire_callbacks::ProgressBar;
///
/// let bar = ProgressBar::new().refresh_rate(4).metrics(|ctx, metrics| {
///     metrics.retain(|(name, _)| name != "v_num");
///     metrics.push(("step".into(), ctx.global_step().to_string()));
/// });
/// ```
pub struct ProgressBar {
    output: Output,
    /// The time between two refreshes. `None` refreshes at starts and ends only.
    interval: Option<Duration>,
    customize: Option<Customize>,
    next_refresh: Option<Instant>,
    train: Option<Track>,
    eval: Option<Track>,
    /// The speed measured in earlier epochs of this fit.
    train_speed: Speed,
    /// Whether a terminal shows the time to the end, the memory and the number of ranks.
    details: bool,
    to_end: TimeToEnd,
}

enum Output {
    Terminal(Terminal),
    Plain(Plain),
}

/// One pass over a loader.
#[derive(Debug)]
struct Track {
    label: String,
    loader: usize,
    /// The batches that were done when it started, by the run that this one resumes.
    before: u64,
    done: u64,
    total: Option<u64>,
    started: Instant,
    ended: Option<Instant>,
    speed: Speed,
}

/// The displayed values of a [`Track`].
struct View {
    /// The name of the run, if there are other runs.
    run: Option<String>,
    label: String,
    done: u64,
    total: Option<u64>,
    elapsed: Duration,
    per_second: Option<f64>,
    /// The time to the end of the fit.
    to_end: Option<Duration>,
    metrics: Vec<(String, String)>,
}

impl ProgressBar {
    /// A bar on stdout, or plain lines if stdout is not a terminal.
    pub fn new() -> Self {
        let output = Terminal::stdout().map_or_else(|| Output::Plain(Plain::stdout()), Output::Terminal);
        Self::with_output(output).details(true)
    }

    fn with_output(output: Output) -> Self {
        Self {
            output,
            interval: Some(Duration::from_millis(100)),
            customize: None,
            next_refresh: None,
            train: None,
            eval: None,
            train_speed: Speed::default(),
            details: false,
            to_end: TimeToEnd::default(),
        }
    }

    /// The maximum number of refreshes per second. 0 draws the bar only when something starts or ends. Default: 10.
    ///
    /// This does not affect plain lines.
    pub fn refresh_rate(mut self, hz: u32) -> Self {
        self.interval = (hz > 0).then(|| Duration::from_secs(1) / hz.max(1));
        self
    }

    /// Changes the displayed metrics, which are names with formatted values: add, remove, reorder or rewrite them.
    ///
    /// It runs at each refresh, so it must be cheap. [`Context::metric`] waits for the device. The bar itself never
    /// does.
    pub fn metrics(mut self, customize: impl FnMut(&mut Context<'_>, &mut Vec<(String, String)>) + Send + 'static) -> Self {
        self.customize = Some(Box::new(customize));
        self
    }

    /// Whether a terminal also shows the time to the end of the fit with its validations, the number of ranks, and the
    /// resident memory of this process (on Linux). The latter two are the metrics `ranks` and `mem`, which
    /// [`metrics`](Self::metrics) can remove. Default: true.
    pub fn details(mut self, on: bool) -> Self {
        self.details = on;
        self
    }

    /// Writes plain lines to `out`, even on a terminal.
    pub fn plain(mut self, out: impl Write + Send + 'static) -> Self {
        self.output = Output::Plain(Plain::new(Box::new(out)));
        self
    }

    /// A handle for other code that prints on the same terminal, such as a writer of log lines.
    ///
    /// ```
    /// let printer = stormfire_callbacks::ProgressBar::new().printer();
    /// printer.suspend(|| eprintln!("this line does not tear the bar"));
    /// ```
    pub fn printer(&self) -> Printer {
        match &self.output {
            Output::Terminal(terminal) => terminal.printer(),
            Output::Plain(_) => Printer::default(),
        }
    }

    fn start_epoch(&mut self, ctx: &mut Context<'_>) {
        self.close_epoch(ctx);
        let (limits, done) = (ctx.limits(), ctx.progress().batch_in_epoch as u64);
        // Without a number of epochs, the length of the last epoch is the number of remaining steps.
        let left = match (limits.max_epochs, limits.max_steps) {
            (None, Some(max)) => {
                let (steps, window) = (max.saturating_sub(ctx.global_step()), &ctx.run().place.window);
                let whole = |steps: u64| steps.saturating_mul(ctx.run().place.accumulate_grad_batches as u64);
                // A fit that resumes inside a window has already done some of its batches.
                let batches = match steps.checked_sub(1) {
                    Some(others) if window.batches > 0 => whole(others).saturating_add((window.size - window.batches) as u64),
                    _ => whole(steps),
                };
                Some(batches.saturating_add(done))
            }
            _ => None,
        };
        let total = match (limits.train_batches.map(|n| n as u64), left) {
            (Some(epoch), Some(left)) => Some(epoch.min(left)),
            (epoch, left) => epoch.or(left),
        };
        let label = format::epoch_label(ctx.current_epoch(), limits.max_epochs);
        let now = clock::now();
        let mut speed = std::mem::take(&mut self.train_speed);
        speed.skip(done, now);
        self.train = Some(Track { label, loader: 0, before: done, done, total, started: now, ended: None, speed });
        self.next_refresh = Some(now);
        self.draw(ctx, Slot::Train, now);
    }

    /// The last batch of the epoch is complete.
    fn end_epoch(&mut self, ctx: &mut Context<'_>) {
        let now = clock::now();
        if let Some(track) = &mut self.train {
            track.speed.record(track.done, now);
            track.ended = Some(now);
        }
        if let Output::Terminal(_) = self.output {
            self.draw(ctx, Slot::Train, now);
        }
    }

    /// Shows the last line of the epoch. Its metrics are complete only after `on_train_epoch_end`.
    fn close_epoch(&mut self, ctx: &mut Context<'_>) {
        self.show_final(ctx, Slot::Train);
        if let Some(track) = self.train.take() {
            self.train_speed = track.speed;
        }
    }

    /// Validation starts. The time until its end does not count as training.
    fn pause_train(&mut self, ctx: &mut Context<'_>) {
        let now = clock::now();
        if let Some(track) = &mut self.train {
            track.speed.record(track.done, now);
            // Otherwise the batches since the last refresh would not be shown during the validation.
            self.draw(ctx, Slot::Train, now);
        }
    }

    fn start_loader(&mut self, ctx: &mut Context<'_>, loader: usize) {
        let limits = ctx.limits();
        let (what, totals) = match ctx.running() {
            RunningStage::SanityCheck => ("Sanity Checking", &limits.sanity_batches),
            RunningStage::Test => ("Testing", &limits.test_batches),
            RunningStage::Predict => ("Predicting", &limits.predict_batches),
            RunningStage::Train | RunningStage::Validate => ("Validation", &limits.val_batches),
        };
        let total = totals.get(loader).copied().flatten().map(|n| n as u64);
        let now = clock::now();
        let label = format!("{what} DataLoader {loader}");
        self.eval = Some(Track { label, loader, before: 0, done: 0, total, started: now, ended: None, speed: Speed::default() });
        self.next_refresh = Some(now);
        self.draw(ctx, Slot::Eval, now);
    }

    fn start_eval_batch(&mut self, ctx: &mut Context<'_>, loader: usize) {
        if self.eval.as_ref().is_some_and(|track| track.loader != loader) {
            if ctx.stage() != Stage::Fit {
                self.show_final(ctx, Slot::Eval);
            }
            self.start_loader(ctx, loader);
        }
    }

    fn end_eval(&mut self, ctx: &mut Context<'_>) {
        let within_fit = ctx.stage() == Stage::Fit;
        if !within_fit {
            self.show_final(ctx, Slot::Eval);
        }
        self.eval = None;
        if let Output::Terminal(terminal) = &mut self.output {
            terminal.finish(Slot::Eval, !within_fit);
        }
        let now = clock::now();
        if let Some(track) = &mut self.train {
            track.speed.skip(track.done, now);
            self.next_refresh = Some(now);
            self.draw(ctx, Slot::Train, now);
        }
    }

    /// A batch is complete. This is all that most batches cost.
    fn advance(&mut self, ctx: &mut Context<'_>, slot: Slot, batch_idx: usize) {
        let track = if slot == Slot::Train { &mut self.train } else { &mut self.eval };
        let Some(track) = track else { return };
        // A round has a batch for each rank. The last one may be short.
        let (own, ranks) = (batch_idx as u64 + 1, ctx.run().moment.world.max(1) as u64);
        track.done = own.saturating_mul(ranks).min(track.total.unwrap_or(u64::MAX).max(own));
        if slot == Slot::Train {
            self.to_end.batch_end(ctx);
        }
        let Some(due) = self.next_refresh else { return };
        let now = clock::now();
        if now < due {
            return;
        }
        self.next_refresh = self.interval.map(|interval| now + interval);
        track.speed.record(track.done, now);
        self.draw(ctx, slot, now);
    }

    /// Shows the current state on a terminal. Otherwise writes a line if one is due.
    fn draw(&mut self, ctx: &mut Context<'_>, slot: Slot, now: Instant) {
        if let Output::Plain(plain) = &mut self.output {
            match plain.due(now) {
                Due::No => return,
                // Values arrive one check late, so a plain line waits for the next check.
                Due::Ask => return drop(ctx.progress_bar_metrics()),
                Due::Print => {}
            }
        }
        let Some(view) = self.view(ctx, slot, now) else { return };
        match &mut self.output {
            Output::Terminal(terminal) => terminal.draw(slot, &view),
            Output::Plain(plain) => plain.line(&view, now),
        }
    }

    /// Shows the current state, even if no refresh is due.
    fn show_final(&mut self, ctx: &mut Context<'_>, slot: Slot) {
        let now = clock::now();
        if let Some(track) = if slot == Slot::Train { &mut self.train } else { &mut self.eval }
            && track.ended.is_none()
        {
            track.ended = Some(now);
            track.speed.record(track.done, now);
        }
        let Some(view) = self.view(ctx, slot, now) else { return };
        match &mut self.output {
            Output::Terminal(terminal) => terminal.draw(slot, &view),
            Output::Plain(plain) => plain.line(&view, now),
        }
    }

    fn view(&mut self, ctx: &mut Context<'_>, slot: Slot, now: Instant) -> Option<View> {
        let metrics = if slot == Slot::Train && self.train.is_some() { self.collect_metrics(ctx) } else { Vec::new() };
        let track = if slot == Slot::Train { self.train.as_ref() } else { self.eval.as_ref() }?;
        let to_end = if self.details && slot == Slot::Train { self.to_end.estimate(ctx) } else { None };
        Some(View {
            run: live_run::shown_name(),
            label: track.label.clone(),
            done: track.done,
            total: track.total,
            elapsed: track.ended.unwrap_or(now).saturating_duration_since(track.started),
            per_second: track.speed.per_second(),
            to_end,
            metrics,
        })
    }

    fn collect_metrics(&mut self, ctx: &mut Context<'_>) -> Vec<(String, String)> {
        let logged = ctx.progress_bar_metrics();
        let logged = logged.into_iter().filter_map(|(name, value)| Some((name, number_text::short(value?))));
        // On every line of a log file, it would be noise.
        let v_num = match self.output {
            Output::Terminal(_) => format::v_num(ctx.loggers().iter().map(Background::short_version)),
            Output::Plain(_) => None,
        };
        let mut metrics: Vec<_> = v_num.map(|v_num| ("v_num".to_string(), v_num)).into_iter().collect();
        if self.details && matches!(self.output, Output::Terminal(_)) {
            let ranks = ctx.run().place.ranks;
            metrics.extend((ranks > 1).then(|| ("ranks".to_owned(), ranks.to_string())));
            metrics.extend(process_memory::resident().map(|bytes| ("mem".to_owned(), format::size(bytes))));
        }
        metrics.extend(logged);
        if let Some(customize) = &mut self.customize {
            customize(ctx, &mut metrics);
        }
        metrics
    }

    /// The run fails. A plain line without a batch would only separate the error from its cause.
    fn fail(&mut self, ctx: &mut Context<'_>) {
        if let Output::Plain(_) = self.output {
            for track in [&mut self.train, &mut self.eval] {
                drop(track.take_if(|track| track.done == track.before));
            }
        }
        if ctx.stage() != Stage::Fit {
            self.end_eval(ctx);
        }
        self.end_train(ctx);
    }

    /// Training ends here, with or without an error.
    fn end_train(&mut self, ctx: &mut Context<'_>) {
        self.close_epoch(ctx);
        self.finish_all();
    }

    fn finish_all(&mut self) {
        (self.train, self.eval, self.next_refresh) = (None, None, None);
        (self.train_speed, self.to_end) = (Speed::default(), TimeToEnd::default());
        if let Output::Terminal(terminal) = &mut self.output {
            terminal.finish(Slot::Eval, false);
            terminal.finish(Slot::Train, true);
        }
    }
}

impl Default for ProgressBar {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ProgressBar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgressBar").field("train", &self.train).field("eval", &self.eval).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
