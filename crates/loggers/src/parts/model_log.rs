//! Checkpoints as artifacts: which of them a logger stores, and under which names.

use crate::{Artifact, CheckpointInfo};

/// Which checkpoints a logger stores with the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogModel {
    /// None.
    #[default]
    None,
    /// The best and the newest of the whole run, at its end, with any status.
    AtEnd,
    /// Every checkpoint, as soon as it is written.
    All,
}

/// Decides for a logger which checkpoints become artifacts.
///
/// A logger owns one and uses it in two methods:
///
/// * [`after_save_checkpoint`](crate::Logger::after_save_checkpoint) calls
///   `self.models.saved(checkpoint).iter().try_for_each(|model| self.log_artifact(model))`.
/// * The start of [`finalize`](crate::Logger::finalize) does the same with `self.models.ended()`.
///
/// Each artifact has the kind `model` and the file's name, and is stored in a folder named after the file's stem, as in
/// Lightning. Its metadata are `score`, `monitor` and `original_filename`. The newest has the alias `latest`. The best
/// has the alias `best`, for the first monitored metric, or `best-METRIC`, for another one.
#[derive(Debug, Default)]
pub(crate) struct ModelLog {
    which: LogModel,
    newest: Option<CheckpointInfo>,
    /// For each monitored metric, the best checkpoint that is not stored yet.
    best: Vec<(Option<String>, Option<CheckpointInfo>)>,
}

impl ModelLog {
    pub(crate) const fn new(which: LogModel) -> Self {
        Self { which, newest: None, best: Vec::new() }
    }

    /// The same setting, for another run.
    pub(crate) const fn another(&self) -> Self {
        Self::new(self.which)
    }

    /// A checkpoint was written. Returns the artifacts to store now.
    pub(crate) fn saved(&mut self, checkpoint: &CheckpointInfo) -> Vec<Artifact> {
        if self.which == LogModel::None {
            return Vec::new();
        }
        if checkpoint.is_best {
            self.is_best(checkpoint);
        }
        self.newest = Some(checkpoint.clone());
        if self.which == LogModel::All { self.due() } else { Vec::new() }
    }

    /// Reports a checkpoint of the resumed run. With [`LogModel::All`] it is stored already.
    pub(crate) fn known(&mut self, checkpoint: &CheckpointInfo) {
        if self.which != LogModel::AtEnd {
            return;
        }
        if checkpoint.is_best {
            self.is_best(checkpoint);
        } else {
            self.newest = Some(checkpoint.clone());
        }
    }

    /// A run has ended. Returns the artifacts to store now, without those stored before.
    pub(crate) fn ended(&mut self) -> Vec<Artifact> {
        self.due()
    }

    fn is_best(&mut self, checkpoint: &CheckpointInfo) {
        match self.best.iter_mut().find(|(monitor, _)| *monitor == checkpoint.monitor) {
            Some((_, best)) => *best = Some(checkpoint.clone()),
            None => self.best.push((checkpoint.monitor.clone(), Some(checkpoint.clone()))),
        }
    }

    fn due(&mut self) -> Vec<Artifact> {
        let mut due: Vec<(CheckpointInfo, Vec<String>)> = Vec::new();
        let best = self.best.iter_mut().enumerate().filter_map(|(index, (monitor, best))| {
            let alias = match monitor {
                Some(monitor) if index > 0 => format!("best-{}", monitor.replace('/', "-")),
                _ => "best".to_owned(),
            };
            best.take().map(|best| (best, alias))
        });
        let newest = self.newest.take().map(|newest| (newest, "latest".to_owned()));
        for (checkpoint, alias) in best.chain(newest) {
            match due.iter_mut().find(|(known, _)| known.path == checkpoint.path) {
                Some((known, aliases)) => {
                    // Two metrics can name the same file as their best. The newest information describes its content.
                    *known = checkpoint;
                    aliases.push(alias);
                }
                None => due.push((checkpoint, vec![alias])),
            }
        }
        due.into_iter().filter_map(|(checkpoint, aliases)| artifact(&checkpoint, aliases)).collect()
    }
}

fn artifact(checkpoint: &CheckpointInfo, aliases: Vec<String>) -> Option<Artifact> {
    let path = &checkpoint.path;
    if !path.exists() {
        tracing::warn!(checkpoint = %path.display(), "the checkpoint is not on this disk: it is not stored with the run");
        return None;
    }
    let artifact = Artifact::new(path).kind(Artifact::MODEL).in_folder(path.file_stem().unwrap_or_default().to_string_lossy());
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut artifact = aliases.into_iter().fold(artifact, Artifact::alias).metadata("original_filename", file_name);
    if let Some(monitor) = &checkpoint.monitor {
        artifact = artifact.metadata("monitor", monitor.clone());
    }
    match checkpoint.score {
        Some(score) => Some(artifact.metadata("score", score)),
        None => Some(artifact),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::{Background, Hyperparams, Logger, Metrics, Result, Status};

    use super::*;

    /// A logger that stores checkpoints in the same way as the backends.
    struct Keeping {
        models: ModelLog,
        kept: Vec<Artifact>,
    }

    impl Logger for Keeping {
        fn name(&self) -> &'static str {
            "keeping"
        }

        fn version(&self) -> String {
            "0".to_owned()
        }

        fn log_metrics(&mut self, _metrics: &Metrics, _step: Option<u64>) -> Result<()> {
            Ok(())
        }

        fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
            Ok(())
        }

        fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
            self.kept.push(artifact.clone());
            Ok(())
        }

        fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
            self.models.saved(checkpoint).iter().try_for_each(|model| self.log_artifact(model))
        }

        fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
            self.models.known(checkpoint);
            Ok(())
        }

        fn finalize(&mut self, _status: Status) -> Result<()> {
            self.models.ended().iter().try_for_each(|model| self.log_artifact(model))
        }
    }

    fn keeping(which: LogModel) -> Background {
        Background::spawn(Box::new(Keeping { models: ModelLog::new(which), kept: Vec::new() })).unwrap()
    }

    /// `name aliases {metadata}` of the artifacts stored since the last call.
    fn kept(logger: &Background) -> Vec<String> {
        let text = |artifact: Artifact| {
            assert!(artifact.is_model());
            assert_eq!(Path::new(artifact.name()).file_stem().unwrap().to_str().unwrap(), artifact.folder());
            format!("{} {} {}", artifact.name(), artifact.aliases().join("+"), serde_json::to_string(artifact.known()).unwrap())
        };
        logger.call(move |logger: &mut Keeping| Ok(std::mem::take(&mut logger.kept).into_iter().map(text).collect())).unwrap()
    }

    fn save(logger: &Background, path: &Path, score: Option<(&str, f64, bool)>) {
        std::fs::write(path, "weights").unwrap();
        let info = CheckpointInfo::new(path);
        let info = score.map_or(info.clone(), |(monitor, score, is_best)| info.scored(monitor, score, is_best));
        logger.after_save_checkpoint(info).unwrap();
    }

    #[test]
    fn the_best_and_the_newest_are_kept_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let logger = keeping(LogModel::AtEnd);
        save(&logger, &at("a.ckpt"), Some(("val_loss", 0.5, true)));
        save(&logger, &at("b.ckpt"), Some(("val_loss", 0.25, true)));
        save(&logger, &at("c.ckpt"), Some(("val_loss", 0.75, false)));
        assert!(kept(&logger).is_empty());
        logger.finalize(Status::Interrupted).unwrap();
        let best = r#"b.ckpt best {"original_filename":"b.ckpt","monitor":"val_loss","score":0.25}"#;
        let newest = r#"c.ckpt latest {"original_filename":"c.ckpt","monitor":"val_loss","score":0.75}"#;
        assert_eq!(kept(&logger), [best, newest]);
        // A test after the fit also ends a run.
        logger.finalize(Status::Success).unwrap();
        assert!(kept(&logger).is_empty());
    }

    #[test]
    fn a_resumed_run_keeps_the_best_of_the_whole_run() {
        let folder = tempfile::tempdir().unwrap();
        for (which, expected) in [(LogModel::AtEnd, 2), (LogModel::All, 0)] {
            let logger = keeping(which);
            for (name, is_best) in [("best.ckpt", true), ("from.ckpt", false)] {
                let path = folder.path().join(name);
                std::fs::write(&path, "weights").unwrap();
                let info = CheckpointInfo::new(path).scored("val_loss", 0.25, is_best);
                logger.with(move |logger: &mut Keeping| logger.knows_checkpoint(&info)).unwrap();
            }
            logger.finalize(Status::Success).unwrap();
            let kept = kept(&logger);
            assert_eq!(kept.len(), expected, "{kept:?}");
            assert!(kept.iter().zip(["best.ckpt best ", "from.ckpt latest "]).all(|(kept, start)| kept.starts_with(start)), "{kept:?}");
        }
    }

    #[test]
    fn one_that_is_best_and_newest_is_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let logger = keeping(LogModel::AtEnd);
        save(&logger, &folder.path().join("a.ckpt"), Some(("val_loss", 0.5, true)));
        save(&logger, &folder.path().join("a.ckpt"), Some(("val/acc", 0.9, true)));
        logger.finalize(Status::Success).unwrap();
        let expected = r#"a.ckpt best+best-val-acc+latest {"original_filename":"a.ckpt","monitor":"val/acc","score":0.9}"#;
        assert_eq!(kept(&logger), [expected]);
    }

    #[test]
    fn all_are_kept_as_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let logger = keeping(LogModel::All);
        save(&logger, &folder.path().join("a.ckpt"), None);
        assert_eq!(kept(&logger), [r#"a.ckpt latest {"original_filename":"a.ckpt"}"#]);
        save(&logger, &folder.path().join("b.ckpt"), Some(("val_loss", f64::NAN, true)));
        assert_eq!(kept(&logger), [r#"b.ckpt best+latest {"original_filename":"b.ckpt","monitor":"val_loss","score":null}"#]);
        logger.finalize(Status::Success).unwrap();
        assert!(kept(&logger).is_empty());
    }

    #[test]
    fn none_is_kept_unless_requested_and_a_missing_one_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for which in [LogModel::None, LogModel::AtEnd] {
            let logger = keeping(which);
            save(&logger, &folder.path().join("a.ckpt"), Some(("val_loss", 0.5, true)));
            save(&logger, &folder.path().join("b.ckpt"), Some(("val_loss", 0.75, false)));
            logger.flush().unwrap();
            std::fs::remove_file(folder.path().join("a.ckpt")).unwrap();
            logger.finalize(Status::Success).unwrap();
            let expected = usize::from(which == LogModel::AtEnd);
            assert_eq!(kept(&logger).len(), expected, "{which:?}");
        }
    }
}
