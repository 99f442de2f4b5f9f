//! Asking for the files of one save point.

use std::path::{Component, Path, PathBuf};

use stormfire_module::{Context, Error, Result, run::SaveRequest};

use super::{ModelCheckpoint, Place, SaveTopK, Score, Template};

const EXTENSION: &str = "ckpt";

/// What to do when the monitored metric is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Save as soon as it is.
    Defer,
    /// Say so: the first validation may still bring it.
    Warn,
    /// It will not come any more.
    Fail,
}

impl ModelCheckpoint {
    /// Checks the options; the folder and the names that follow from them.
    pub(super) fn place(&self, ctx: &Context<'_>) -> Result<Place> {
        self.every.check().map_err(|reason| {
            Error::config("ModelCheckpoint::every", format!("{reason} (`{}`)", self.every), "use `Every::Epochs(1)`, for example")
        })?;
        if let (None, SaveTopK::Best(count @ 2..)) = (&self.monitor, self.top) {
            return Err(Error::config(
                "ModelCheckpoint::save_top_k",
                format!("the best {count} cannot be told without a metric"),
                "name it with `monitor(..)`, or use `SaveTopK::All`, 1 (the newest) or 0 (none)",
            ));
        }
        let parse = |option: &str, text: &str| {
            Template::parse(text).map_err(|reason| {
                Error::config(
                    format!("ModelCheckpoint::{option}"),
                    reason,
                    "write it as `{epoch:02d}-{val_loss:.2f}`, with formats `[0][width][.precision][d|f|e]`, and choose the folder with `dirpath`",
                )
            })
        };
        let (name, last) = (parse("filename", &self.filename)?, parse("last_filename", &self.last_filename)?);
        let dir = std::path::absolute(self.dirpath.clone().unwrap_or_else(|| ctx.log_dir().join("checkpoints")))?;
        let is_used = || fs_err::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some());
        if self.top != SaveTopK::Best(0) && !ctx.run().fast_dev_run && is_used() {
            tracing::warn!("the folder of the checkpoints, `{}`, is not empty", dir.display());
        }
        Ok(Place { dir, name, last })
    }

    /// Whether a save point needs metrics: as a score, or in a name.
    pub(super) fn looks_at_metrics(&self) -> bool {
        let in_name = |place: &Place| place.name.metrics().chain(place.last.metrics()).next().is_some();
        self.monitor.is_some() || self.now.place.as_ref().is_some_and(in_name)
    }

    /// One save point. The own state is brought up to date first, since it is in the files.
    pub(super) fn save(&mut self, ctx: &mut Context<'_>, missing: Missing) -> Result<()> {
        self.state.deferred = false;
        let mut score = None;
        if self.top != SaveTopK::Best(0) {
            match self.score(ctx) {
                Ok(found) => {
                    score = found;
                    self.request_top(ctx, score)?;
                }
                Err(Error::MetricMissing { name, available }) if missing != Missing::Fail => {
                    self.state.deferred = missing == Missing::Defer;
                    if missing == Missing::Warn {
                        tracing::warn!(?available, "no checkpoint of this epoch: metric `{name}` is not there before the first validation");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if self.save_last { self.request_last(ctx, score) } else { Ok(()) }
    }

    fn score(&self, ctx: &mut Context<'_>) -> Result<Option<f64>> {
        self.monitor.as_deref().map(|monitor| ctx.metric(monitor)).transpose()
    }

    fn request_top(&mut self, ctx: &mut Context<'_>, score: Option<f64>) -> Result<()> {
        let step = ctx.global_step();
        let Some(place) = self.now.place.clone().filter(|_| self.state.saved_step != step) else { return Ok(()) };
        if let Some(score) = score.filter(|score| !self.state.best_k_models.wants(self.top, self.mode, *score)) {
            self.report(ctx, score, None);
            return Ok(());
        }
        let name = self.render(ctx, &place.name)?;
        let (path, replaced) = if let Some(score) = score {
            let replaced = self.state.best_k_models.make_room(self.top, self.mode);
            let path = self.free_path(ctx, &place.dir, &name, replaced.as_deref());
            self.state.best_k_models.insert(self.mode, path.clone(), score);
            let best = self.state.best_k_models.best(self.mode).map(|(path, score)| (path.to_path_buf(), Score(score)));
            (self.state.best_model_path, self.state.best_model_score) = best.unzip();
            self.state.current_score = Some(Score(score));
            (path, replaced)
        } else {
            let newest = self.state.best_model_path.take();
            let path = self.free_path(ctx, &place.dir, &name, newest.as_deref());
            self.state.best_model_path = Some(path.clone());
            (path, newest.filter(|_| self.top == SaveTopK::Best(1)))
        };
        self.state.saved_step = step;
        if let Some(score) = score {
            self.report(ctx, score, Some(&path));
        }
        let is_best = score.is_some() && self.state.best_model_path.as_deref() == Some(&path);
        self.request(ctx, &place.dir, path, replaced, score, is_best);
        Ok(())
    }

    /// The newest state, under its own name.
    pub(super) fn request_last(&mut self, ctx: &mut Context<'_>, score: Option<f64>) -> Result<()> {
        let step = ctx.global_step();
        let Some(place) = self.now.place.clone().filter(|_| self.state.last_step != step) else { return Ok(()) };
        let name = self.render(ctx, &place.last)?;
        let path = self.free_path(ctx, &place.dir, &name, self.state.last_model_path.as_deref());
        let replaced = self.state.last_model_path.replace(path.clone());
        self.state.last_step = step;
        self.request(ctx, &place.dir, path, replaced, score, false);
        Ok(())
    }

    /// The state at a failure, unless it was just saved. The best ones are left alone. A run that fails between the request
    /// and the writing has not saved.
    pub(super) fn request_for_exception(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        let step = ctx.global_step();
        let Some(place) = self.now.place.clone() else { return Ok(()) };
        let written = self.now.asked.as_ref().is_none_or(|path| path.exists());
        if written && (step == self.state.saved_step || step == self.state.last_step) {
            return Ok(());
        }
        let name = self.render(ctx, &place.name)?;
        (self.state.saved_step, self.state.last_step) = (step, 0);
        self.request(ctx, &place.dir, file(&place.dir, &name), None, None, false);
        if self.save_last { self.request_last(ctx, None) } else { Ok(()) }
    }

    fn request(&mut self, ctx: &mut Context<'_>, dir: &Path, path: PathBuf, replaced: Option<PathBuf>, score: Option<f64>, is_best: bool) {
        let then_remove = replaced.filter(|old| *old != path && is_inside(dir, old)).into_iter().collect();
        let monitor = score.and(self.monitor.clone());
        self.now.asked = Some(path.clone());
        ctx.save_checkpoint(SaveRequest { path, weights_only: self.weights_only, then_remove, monitor, score, is_best });
    }

    fn render(&self, ctx: &mut Context<'_>, template: &Template) -> Result<String> {
        let mut values = Vec::new();
        for name in template.metrics() {
            values.push(match ctx.metric(name) {
                Ok(value) => value,
                Err(Error::MetricMissing { name, available }) => {
                    tracing::warn!(?available, "metric `{name}` in a checkpoint's file name is not available; 0 is written instead");
                    0.0
                }
                Err(error) => return Err(error),
            });
        }
        let mut values = values.into_iter();
        let next = |_: &str| values.next().unwrap_or_default();
        Ok(template.render(self.auto_insert_metric_name, ctx.current_epoch(), ctx.global_step(), next))
    }

    /// The path of a name; with a version if it is taken, on disk or by a request of this moment, unless by `ours`.
    fn free_path(&self, ctx: &Context<'_>, dir: &Path, name: &str, ours: Option<&Path>) -> PathBuf {
        let path = file(dir, name);
        let requested = |path: &Path| ctx.run().requests.saves.iter().any(|request| request.path == path);
        let taken = |path: &Path| requested(path) || (ours != Some(path) && path.exists());
        if !self.version_counter || !taken(&path) {
            return path;
        }
        let versions = (1_u64..).map(|version| file(dir, &format!("{name}-v{version}")));
        versions.into_iter().find(|path| !taken(path)).unwrap_or(path)
    }

    fn report(&self, ctx: &Context<'_>, score: f64, path: Option<&Path>) {
        if !self.verbose {
            return;
        }
        let (epoch, step, monitor) = (ctx.current_epoch(), ctx.global_step(), self.monitor.as_deref().unwrap_or_default());
        let verdict = match path {
            Some(path) => format!("(best {:.5}), saving model to `{}`", self.best_model_score().unwrap_or(score), path.display()),
            None => "is not among the best".into(),
        };
        tracing::info!("epoch {epoch}, global step {step}: `{monitor}` = {score:.5} {verdict}");
    }
}

/// `Path::with_extension` would cut `val_loss=0.25` short.
fn file(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.{EXTENSION}"))
}

/// Whether a file lies in a folder or below it, by its path.
fn is_inside(dir: &Path, path: &Path) -> bool {
    path.strip_prefix(dir).is_ok_and(|rest| rest.components().all(|part| matches!(part, Component::Normal(_))))
}
