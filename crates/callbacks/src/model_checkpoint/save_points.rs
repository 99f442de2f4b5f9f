//! Requests the files of one save point.

use std::path::{Path, PathBuf};

use stormfire_module::{
    Context, Error, Result,
    moment::Progress,
    requests::{Also, AlsoKind, SaveRequest},
};
use stormfire_store::names;
use stormfire_values::number_text::rounded;

use super::{Destination, ModelCheckpoint, SaveLast, SaveTopK, Template};
use crate::files::{file, free_file, is_inside};

/// The action if the monitored metric is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Save as soon as it is available.
    Defer,
    /// Warn: the first validation may still log it.
    Warn,
    /// Fail: it can no longer be logged.
    Fail,
}

/// One save point: the names of one state, and the files that they replace.
#[derive(Debug, Default)]
struct Point {
    paths: Vec<PathBuf>,
    replaced: Vec<PathBuf>,
    score: Option<f64>,
    is_best: bool,
}

/// The progress of the state that a checkpoint requested now will contain.
fn saved_progress<'a>(ctx: &'a Context<'_>) -> &'a Progress {
    ctx.run().boundary.as_ref().map_or(ctx.progress(), |boundary| &boundary.progress)
}

impl ModelCheckpoint {
    /// Whether a save point needs metrics: as a score, or in a name.
    pub(super) fn looks_at_metrics(&self) -> bool {
        let in_name = |destination: &Destination| destination.name.metrics().chain(destination.last.metrics()).next().is_some();
        self.monitor.is_some() || self.now.destination.as_ref().is_some_and(in_name)
    }

    /// Handles a save point. The callback's state is updated first, because the files contain it.
    pub(super) fn save(&mut self, ctx: &mut Context<'_>, missing: Missing) -> Result<()> {
        self.state.deferred = false;
        let Some(destination) = self.now.destination.clone() else { return Ok(()) };
        let mut point = Point::default();
        if self.top != SaveTopK::Best(0) {
            match self.monitor.as_deref().map(|monitor| self.metric(ctx, monitor)).transpose() {
                Ok(score) => {
                    point.score = score;
                    self.add_top(ctx, &destination, &mut point)?;
                }
                Err(Error::MetricMissing { name, available, .. }) if missing != Missing::Fail => {
                    self.state.deferred = missing == Missing::Defer;
                    if missing == Missing::Warn {
                        tracing::warn!(
                            ?available,
                            "no checkpoint for this epoch: metric `{name}` has no value, because the epoch ended early or was not validated"
                        );
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.add_last(ctx, &destination, &mut point)?;
        self.request(ctx, &destination, point);
        Ok(())
    }

    /// Handles the end of training. Only `last` always contains the newest state.
    pub(super) fn save_at_the_end(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        let Some(destination) = self.now.destination.clone() else { return Ok(()) };
        let mut point = Point::default();
        self.add_last(ctx, &destination, &mut point)?;
        self.request(ctx, &destination, point);
        Ok(())
    }

    /// Requests the state of the last boundary before a failure, unless it was just saved. The best checkpoints are
    /// unchanged.
    pub(super) fn save_at_failure(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        // The run failed between the request and the boundary, so request the file again.
        let given_up = ctx.run().place.requests.saves.iter().find(|request| Some(&request.path) == self.now.asked.as_ref());
        if let Some(request) = given_up.cloned() {
            ctx.save_checkpoint(request);
            return Ok(());
        }
        let step = saved_progress(ctx).global_step;
        let Some(destination) = self.now.destination.clone() else { return Ok(()) };
        let mut point = Point::default();
        let is_saved = [self.state.saved_step, self.state.failure_step].contains(&step);
        if is_saved || step == self.state.last_step {
            if ctx.run().boundary.as_ref().is_none_or(|boundary| !boundary.is_in_validation()) {
                return Ok(());
            }
            // A validation that takes longer than the job limit must still make progress.
            self.state.last_step = 0;
        }
        if !is_saved || self.save_last == SaveLast::Off {
            let name = self.render(ctx, &destination.name)?;
            let older = self.state.failure_path.take().filter(|path| ctx.has_written(path));
            let is_older = |path: &Path| older.as_deref() == Some(path) && !ctx.run().spares(path);
            // Lightning overwrites the file here, and may lose one of the best.
            let path = free_file(&destination.dir, &name, |path| Ok(is_older(path) || ctx.is_free(path)?))?;
            self.state.failure_path = Some(path.clone());
            point.paths.push(path);
            point.replaced.extend(older);
        }
        // This does not count as a save point. A fit that resumes from here still reaches that, perhaps at the end of
        // this validation.
        self.state.failure_step = step;
        self.add_last(ctx, &destination, &mut point)?;
        self.request(ctx, &destination, point);
        Ok(())
    }

    /// The file among the best, if the score qualifies.
    fn add_top(&mut self, ctx: &mut Context<'_>, destination: &Destination, point: &mut Point) -> Result<()> {
        let step = ctx.global_step();
        if self.state.saved_step == step {
            return Ok(());
        }
        if let Some(score) = point.score.filter(|score| !self.state.best_k_models.wants(self.top, self.mode, *score)) {
            self.report(ctx, score, None);
            return Ok(());
        }
        let name = self.render(ctx, &destination.name)?;
        let (path, replaced) = if let Some(score) = point.score {
            let replaced = self.state.best_k_models.make_room(self.top, self.mode);
            let path = self.path(ctx, destination, &name, replaced.as_deref(), point)?;
            self.state.best_k_models.insert(self.mode, path.clone(), score);
            self.state.rank(self.mode);
            self.state.current_score = Some(score);
            self.report(ctx, score, Some(&path));
            (path, replaced)
        } else {
            let path = self.path(ctx, destination, &name, self.state.best_model_path.as_deref(), point)?;
            let newest = self.state.best_model_path.replace(path.clone());
            (path, newest.filter(|_| self.top == SaveTopK::Best(1)))
        };
        self.state.saved_step = step;
        point.is_best = point.score.is_some() && self.state.best_model_path.as_ref() == Some(&path);
        point.replaced.extend(replaced);
        point.paths.push(path);
        Ok(())
    }

    /// The newest state as `last`, if that is enabled.
    fn add_last(&mut self, ctx: &mut Context<'_>, destination: &Destination, point: &mut Point) -> Result<()> {
        let step = saved_progress(ctx).global_step;
        if self.save_last == SaveLast::Off || self.state.last_step == step {
            return Ok(());
        }
        let name = self.render(ctx, &destination.last)?;
        let path = self.path(ctx, destination, &name, self.state.last_model_path.as_deref(), point)?;
        point.replaced.extend(self.state.last_model_path.replace(path.clone()));
        point.paths.push(path);
        self.state.last_step = step;
        Ok(())
    }

    fn request(&mut self, ctx: &mut Context<'_>, destination: &Destination, point: Point) {
        let Point { paths, mut replaced, score, is_best } = point;
        replaced.retain(|old| !paths.contains(old) && is_inside(&destination.dir, old));
        let then_remove = self.remove_also(ctx, &paths, &replaced);
        self.state.removing = replaced;
        let kind = if self.save_last == SaveLast::Link { AlsoKind::Link } else { AlsoKind::Copy };
        let mut paths = paths.into_iter();
        let Some(path) = paths.next() else { return };
        self.now.asked = Some(path.clone());
        ctx.save_checkpoint(SaveRequest {
            path,
            also: paths.map(|path| Also { path, kind }).collect(),
            weights_only: self.weights_only,
            then_remove,
            monitor: score.and(self.monitor.clone()),
            score,
            is_best,
        });
    }

    fn render(&mut self, ctx: &mut Context<'_>, template: &Template) -> Result<String> {
        let mut values = Vec::new();
        for name in template.metrics() {
            values.push(match self.metric(ctx, name) {
                Ok(value) => value,
                Err(Error::MetricMissing { name, available, .. }) => {
                    tracing::warn!(?available, "metric `{name}` in a checkpoint's file name is not available; 0 is written instead");
                    0.0
                }
                Err(error) => return Err(error),
            });
        }
        let mut values = values.into_iter();
        let next = |_: &str| values.next().unwrap_or_default();
        // A value logged as `epoch` or `step` takes precedence over the counters, as for a monitor.
        let mut own = ["epoch", "step"].map(|name| (name, None));
        let known = ctx.metric_names();
        for (name, value) in own.iter_mut().filter(|(name, _)| known.iter().any(|known| known == name)) {
            *value = Some(ctx.metric(name)? as u64);
        }
        let [(_, epoch), (_, step)] = own;
        let Progress { epoch: its_epoch, global_step: its_step, .. } = *saved_progress(ctx);
        let name = template.render(self.auto_insert_metric_name, epoch.unwrap_or(its_epoch as u64), step.unwrap_or(its_step), next);
        let fitted = names::fit_path(&name);
        if *fitted != *name && !std::mem::replace(&mut self.now.said_shortened, true) {
            tracing::warn!("the file name `{name}` of a checkpoint is longer than a disk allows; it is shortened to `{fitted}`");
        }
        Ok(fitted.into_owned())
    }

    /// The value of a metric. At the end of an epoch it is a value of that epoch.
    fn metric(&self, ctx: &mut Context<'_>, name: &str) -> Result<f64> {
        if self.now.at_epoch_end { ctx.metric_of_epoch(name) } else { ctx.metric(name) }
    }

    /// The path of a name. It gets a version if it is taken, unless by `ours`.
    fn path(&self, ctx: &Context<'_>, destination: &Destination, name: &str, ours: Option<&Path>, point: &Point) -> Result<PathBuf> {
        if !self.version_counter {
            return Ok(file(&destination.dir, name));
        }
        let is_taken_here = |path: &Path| point.paths.iter().any(|taken| taken == path);
        free_file(&destination.dir, name, |path| Ok(!is_taken_here(path) && (ours == Some(path) || ctx.is_free(path)?)))
    }

    fn report(&self, ctx: &Context<'_>, score: f64, path: Option<&Path>) {
        if !self.verbose {
            return;
        }
        let (epoch, step, monitor) = (ctx.current_epoch(), ctx.global_step(), self.monitor.as_deref().unwrap_or_default());
        let top = match self.top {
            SaveTopK::All => String::new(),
            SaveTopK::Best(count) => format!(" top {count}"),
        };
        if let (Some(path), Some(best)) = (path, self.best_model_score()) {
            let top = if top.is_empty() { top } else { format!(" as{top}") };
            let (path, score, best) = (path.display(), rounded(score, 5), rounded(best, 5));
            tracing::info!("epoch {epoch}, global step {step}: `{monitor}` reached {score} (best {best}), saving model to `{path}`{top}");
        } else {
            tracing::info!("epoch {epoch}, global step {step}: `{monitor}` was not in{top}");
        }
    }
}
