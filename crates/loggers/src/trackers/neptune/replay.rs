//! Replays a run into another logger.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::read_back::{NeptuneRun, Point, STATUS};
use crate::{Artifact, Error, Figure, Logger, Metrics, Result, Status, Text};

/// The result of [`NeptuneRun::replay`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Replayed {
    /// Number of points of numeric series.
    pub metrics: usize,
    /// Number of settings, with nested ones counted separately.
    pub hyperparams: usize,
    /// Number of points of string series.
    pub texts: usize,
    /// Number of points of image series.
    pub images: usize,
    /// Number of files.
    pub files: usize,
    /// Descriptions of everything that was skipped: values that the logger does not support, unknown operations, and
    /// missing files.
    pub left_out: Vec<String>,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { metrics, hyperparams, texts, images, files, left_out } = self;
        write!(f, "{metrics} metric values, {hyperparams} hyperparameters, {texts} texts, {images} images, {files} files")?;
        left_out.iter().try_for_each(|what| write!(f, "\nleft out: {what}"))
    }
}

impl NeptuneRun {
    /// Passes everything to another logger and ends its run. The order is: hyperparameters, metrics (by step, those of
    /// one step together), texts, images, files. The namespace `training/` of Lightning's logger is removed from the
    /// names. A point without a step gets its index in its series, as Neptune counted. A run with the status of a
    /// success, or without a status, ends as a success.
    ///
    /// # Errors
    /// The errors of the logger, except [`Error::Unsupported`]: the result lists unsupported values.
    pub fn replay(&self, logger: &mut dyn Logger) -> Result<Replayed> {
        let mut done = Replayed::default();
        let mut missing = BTreeSet::new();
        logger.open()?;
        let params = self.hyperparams();
        done.hyperparams = params.flatten("/").len();
        logger.log_hyperparams(&params, &Metrics::new())?;

        let mut rows: BTreeMap<u64, Metrics> = BTreeMap::new();
        for (name, step, point) in points(self.metrics()) {
            rows.entry(step).or_default().insert(name, point.value);
            done.metrics += 1;
        }
        for (step, row) in rows {
            logger.log_metrics(&row, Some(step))?;
        }
        let mut media = |outcome: Result<()>| match outcome {
            Err(error @ Error::Unsupported { .. }) => {
                missing.insert(error.to_string());
                Ok(0)
            }
            outcome => outcome.map(|()| 1),
        };
        for (name, step, point) in points(self.texts()) {
            done.texts += media(logger.log_text(name, &Text::new(point.value.clone()), Some(step)))?;
        }
        for (name, step, point) in points(self.images()) {
            match Figure::png(point.value.clone()) {
                Ok(figure) => done.images += media(logger.log_figure(name, &figure, Some(step)))?,
                Err(_) => done.left_out.push(format!("an image of `{name}`, which is not a PNG file")),
            }
        }
        for (attribute, file) in self.files() {
            if !file.path.exists() {
                done.left_out.push(format!("the missing file `{}`", file.path.display()));
                continue;
            }
            let (folder, stem) = shortened(attribute).rsplit_once('/').unwrap_or(("", shortened(attribute)));
            let suffix = format!(".{}", file.extension);
            let is_whole = file.extension.is_empty() || stem.ends_with(&suffix);
            let name = if is_whole { stem.to_owned() } else { format!("{stem}{suffix}") };
            let artifact = Artifact::new(&file.path).named(name).in_folder(folder);
            let artifact = if attribute.contains("model/checkpoints/") { artifact.kind(Artifact::MODEL) } else { artifact };
            done.files += media(logger.log_artifact(&artifact))?;
        }
        done.left_out.extend(missing);
        if self.not_understood() > 0 {
            done.left_out.push(format!("{} operations of an unsupported kind", self.not_understood()));
        }
        logger.finalize(self.status())?;
        Ok(done)
    }

    fn status(&self) -> Status {
        let is = |path: &str, value: &str| self.assigned().get(path).is_some_and(|found| found == value);
        if self.assigned().get("sys/failed").is_some_and(|failed| failed == true) || is(STATUS, "failed") {
            Status::Failed
        } else if is(STATUS, "interrupted") {
            Status::Interrupted
        } else {
            Status::Success
        }
    }
}

fn shortened(attribute: &str) -> &str {
    attribute.strip_prefix("training/").unwrap_or(attribute)
}

/// Every point, with the name of its series and its step.
fn points<T>(series: &BTreeMap<String, Vec<Point<T>>>) -> impl Iterator<Item = (&str, u64, &Point<T>)> {
    series.iter().flat_map(|(attribute, points)| {
        // A cast from float saturates, so a negative step becomes 0.
        let step = |at: usize, point: &Point<T>| point.step.map_or(at as u64, |step| step.round() as u64);
        points.iter().enumerate().map(move |(at, point)| (shortened(attribute), step(at, point), point))
    })
}
