//! Writes a checkpoint of a run that fails.

use std::path::{Path, PathBuf};

use stormfire_checkpoint::storage;
use stormfire_module::{Callback, Context, Error, LightningModule, Order, Result, Stage, requests::SaveRequest};

use crate::{
    files::{check_folder, check_name, folder, free_file},
    rehearsal::is_rehearsal,
};

/// Writes a checkpoint when a fit fails or is interrupted after the start of training.
///
/// It contains the state after the last complete batch, of training or of a validation. A fit that resumes from it
/// repeats the batch that failed. After a non-finite loss or gradient, nothing is written if parameters are broken.
///
/// Resume from it with `Trainer::ckpt_path`. `"last"` selects it if it is the newest checkpoint. A run has one such
/// file: its next failure overwrites it, and a successful end removes it. A file of another run is not touched: the
/// name then gets `-v1`, `-v2`, ….
///
/// ```
/// use stormfire_callbacks::OnExceptionCheckpoint;
///
/// // Writes `checkpoints/on_exception.ckpt`.
/// let callback = OnExceptionCheckpoint::new("checkpoints");
/// # let _ = callback;
/// ```
///
/// # Errors
/// [`Error::Config`] if the fit starts with an invalid file name, or one that leaves the folder.
#[derive(Clone, Debug)]
pub struct OnExceptionCheckpoint {
    dirpath: PathBuf,
    /// The absolute path, once a fit has been set up.
    folder: Option<PathBuf>,
    filename: String,
    path: Option<PathBuf>,
    has_failed: bool,
}

/// The option that names the folder.
const OPTION: &str = "OnExceptionCheckpoint::new";

impl OnExceptionCheckpoint {
    /// Writes `on_exception.ckpt` to this folder. The folder is created when needed. `~` is the user's home. It may be
    /// a URL.
    pub fn new(dirpath: impl Into<PathBuf>) -> Self {
        Self { dirpath: dirpath.into(), folder: None, filename: "on_exception".into(), path: None, has_failed: false }
    }

    /// The file name without `.ckpt`. Default `on_exception`.
    pub fn filename(mut self, name: impl Into<String>) -> Self {
        self.filename = name.into();
        self
    }

    /// The folder of its file, as an absolute path or a URL.
    ///
    /// # Errors
    /// [`Error::Config`] for a folder that cannot be used.
    pub fn folder(&self) -> Result<PathBuf> {
        self.folder.clone().map_or_else(|| folder(OPTION, &self.dirpath), Ok)
    }

    /// The file for a failure of this fit. `None` before training starts, and after a successful end has removed the
    /// file.
    pub fn ckpt_path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl<M: LightningModule> Callback<M> for OnExceptionCheckpoint {
    fn order(&self) -> Order {
        Order::Save
    }

    fn setup(&mut self, ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        if stage != Stage::Fit {
            return Ok(());
        }
        (self.path, self.has_failed) = (None, false);
        if Path::new(&self.filename).file_name() != Some(self.filename.as_ref()) {
            let reason = format!("`{}` is not a file name", self.filename);
            return Err(Error::config("OnExceptionCheckpoint::filename", reason, "choose the folder with `dirpath`"));
        }
        let folder = folder(OPTION, &self.dirpath)?;
        check_folder(OPTION, &folder, ctx.run().fast_dev_run)?;
        check_name("OnExceptionCheckpoint::filename", &folder, &self.filename)?;
        self.folder = Some(folder);
        Ok(())
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        let folder = self.folder()?;
        // Now the run has its id, so it can recognise its own file.
        self.path = Some(free_file(&folder, &self.filename, |path| Ok(ctx.is_free(path)? || ctx.has_written(path)))?);
        ctx.keep_state();
        Ok(())
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        self.has_failed = true;
        if self.path.is_some() && !is_rehearsal(ctx) {
            // Another run may have written the file in the meantime.
            let path = free_file(&self.folder()?, &self.filename, |path| Ok(ctx.is_free(path)? || ctx.has_written(path)))?;
            self.path = Some(path.clone());
            ctx.save_checkpoint(SaveRequest { path, ..SaveRequest::default() });
        }
        Ok(())
    }

    fn teardown(&mut self, ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        let ends_well = stage == Stage::Fit && !self.has_failed;
        match self.path.take_if(|path| ends_well && ctx.has_written(path)) {
            Some(path) => Ok(storage::remove(&path)?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use stormfire_module::{Event, RunningStage};

    use super::*;
    use crate::testing::{Bench, RUN, text};

    fn begin(folder: &Path) -> (Bench, OnExceptionCheckpoint) {
        let (mut bench, mut callback) = (Bench::new(), OnExceptionCheckpoint::new(folder));
        bench.start(&mut callback).unwrap();
        (bench, callback)
    }

    fn fail(bench: &mut Bench, callback: &mut OnExceptionCheckpoint) -> Vec<String> {
        bench.fire(callback, Event::Exception { error: &Error::other("the disk is on fire") }).unwrap();
        bench.fire(callback, Event::Teardown { stage: Stage::Fit }).unwrap();
        bench.saves().iter().map(|request| request.path.file_name().unwrap().to_str().unwrap().to_string()).collect()
    }

    #[test]
    fn a_run_has_one_file_which_is_removed_when_it_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("on_exception.ckpt");
        let (mut bench, mut callback) = begin(folder.path());
        assert_eq!(callback.ckpt_path(), Some(path.as_path()));
        assert_eq!(fail(&mut bench, &mut callback), ["on_exception.ckpt"]);
        std::fs::write(&path, RUN).unwrap();
        // The same run resumes, fails again, resumes, and succeeds.
        bench.start(&mut callback).unwrap();
        assert_eq!(fail(&mut bench, &mut callback), ["on_exception.ckpt"]);
        assert!(path.exists());
        bench.start(&mut callback).unwrap();
        bench.fire(&mut callback, Event::Teardown { stage: Stage::Fit }).unwrap();
        assert!(!path.exists());
        // The end also succeeds if the file to remove does not exist.
        bench.start(&mut callback).unwrap();
        bench.fire(&mut callback, Event::Teardown { stage: Stage::Fit }).unwrap();
    }

    #[test]
    fn the_file_of_another_run_stays() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("on_exception.ckpt");
        // It may appear while this run trains.
        let (mut bench, mut callback) = begin(folder.path());
        std::fs::write(&other, "another run").unwrap();
        bench.fire(&mut callback, Event::Teardown { stage: Stage::Fit }).unwrap();
        assert!(other.exists());
        bench.start(&mut callback).unwrap();
        assert_eq!(fail(&mut bench, &mut callback), ["on_exception-v1.ckpt"]);
    }

    #[test]
    fn a_file_of_another_run_stays() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("on_exception.ckpt");
        let (mut bench, mut callback) = begin(folder.path());
        std::fs::write(&other, "another run").unwrap();
        assert_eq!(fail(&mut bench, &mut callback), ["on_exception-v1.ckpt"]);
        assert_eq!(callback.ckpt_path(), Some(folder.path().join("on_exception-v1.ckpt").as_path()));
    }

    #[test]
    fn it_keeps_still_where_it_should() {
        let folder = tempfile::tempdir().unwrap();
        let (mut bench, mut callback) = (Bench::new(), OnExceptionCheckpoint::new(folder.path()));
        bench.setup(&mut callback).unwrap();
        assert!(fail(&mut bench, &mut callback).is_empty(), "nothing is trained yet");
        bench.start(&mut callback).unwrap();
        bench.run.moment.stage = RunningStage::SanityCheck;
        assert!(fail(&mut bench, &mut callback).is_empty());
        bench.run.moment.stage = RunningStage::Train;
        bench.run.fast_dev_run = true;
        assert!(fail(&mut bench, &mut callback).is_empty());
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        for wrong in ["", "../x", "a/b", ".."] {
            let error = Bench::new().setup(&mut OnExceptionCheckpoint::new("x").filename(wrong)).unwrap_err();
            let expected =
                format!("`OnExceptionCheckpoint::filename`: `{wrong}` is not a file name | hint: choose the folder with `dirpath`");
            assert_eq!(text(&error), expected);
        }
    }

    #[test]
    fn a_name_that_no_file_can_have_is_refused() {
        for wrong in ["x".repeat(300), "x\0y".to_owned()] {
            let folder = tempfile::tempdir().unwrap();
            let error = |mut callback: OnExceptionCheckpoint| text(&Bench::new().setup(&mut callback).unwrap_err());
            let told = error(OnExceptionCheckpoint::new(folder.path()).filename(wrong.as_str()));
            assert!(told.starts_with("`OnExceptionCheckpoint::filename`: "), "{told}");
            let told = error(OnExceptionCheckpoint::new(folder.path().join(&wrong)));
            assert!(told.starts_with("`OnExceptionCheckpoint::new`: "), "{told}");
        }
    }
}
