//! A save fails because the disk is full or a folder has changed. Earlier checkpoints stay valid.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use stormfire::{Error, checkpoint, loggers::MemoryLogger, prelude::*};

use crate::{
    child::{folder, part_under, play, wait_for},
    failures::fill,
    files::names,
    rig::{Logging, resumes_from},
    support::{line_data, recording},
};

/// Runs a part whose folder is a disk of 512 KiB, if one can be mounted.
pub(crate) fn play_on_a_small_disk(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    // The disk exists only for this process.
    let script = r#"mount -t tmpfs -o size=512k tmpfs "$STORMFIRE_TEST_PART_FOLDER" || exit 77; exec "$@""#;
    let shell = ["unshare", "--map-root-user", "--user", "--mount", "sh"];
    let possible = Command::new(shell[0]).args(&shell[1..]).args(["-c", "mount -t tmpfs tmpfs /mnt"]).status();
    if possible.is_ok_and(|status| status.success()) {
        play(part_under(&shell, script, name, folder.path()));
    } else {
        eprintln!("no small disk can be mounted here: `{name}` is left out");
    }
}

/// Changes the folder of the checkpoints after step 44, when the checkpoint of step 40 is complete. Records the step of
/// the failure that follows.
struct Mishap {
    folder: PathBuf,
    does: fn(&Path),
    failed_at: Arc<AtomicU64>,
}

impl<M: LightningModule> Callback<M> for Mishap {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == 43 {
            wait_for("the checkpoint before", || {
                let names = names(&self.folder);
                (names.contains(&"step=40.ckpt".to_owned()) && names.iter().all(|name| !name.starts_with('.'))).then_some(())
            });
            (self.does)(&self.folder);
        }
        Ok(())
    }

    /// Makes a checkpoint larger than a block of the disk.
    fn state(&self) -> Result<Saved> {
        Ok(Value::String("x".repeat(9000)).into())
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        self.failed_at.store(ctx.global_step(), Ordering::Relaxed);
        Ok(())
    }
}

/// Saves every fifth step into `folder`, up to step `steps`.
struct Case {
    folder: PathBuf,
    steps: u64,
    is_async: bool,
    memory: MemoryLogger,
    failed_at: Arc<AtomicU64>,
}

impl Case {
    /// All combinations: a save in the foreground and in the background, in the middle and at the end of a fit.
    fn all(folder: &Path) -> impl Iterator<Item = Self> {
        let of = move |(steps, is_async)| Self {
            folder: folder.join("checkpoints"),
            steps,
            is_async,
            memory: MemoryLogger::new(),
            failed_at: Arc::default(),
        };
        [(60, true), (60, false), (45, true), (45, false)].into_iter().map(of)
    }

    fn fit(&self, saving: ModelCheckpoint, does: fn(&Path)) -> Result<Fit<Logging>> {
        let mishap = Mishap { folder: self.folder.clone(), does, failed_at: Arc::clone(&self.failed_at) };
        let saving = saving.dirpath(&self.folder).every(Every::Steps(5)).filename("{step}");
        let trainer = recording(&self.memory).enable_checkpointing(true).async_checkpointing(self.is_async).max_steps(self.steps);
        trainer.callback(saving).callback(mishap).fit(Logging::new(), line_data(200, 2))
    }

    /// Checks that step 45 was not saved and that everything before it is unchanged.
    #[track_caller]
    fn is_intact(&self) {
        assert_eq!(self.memory.statuses(), [stormfire::loggers::Status::Failed]);
        let failed_at = self.failed_at.load(Ordering::Relaxed);
        // The next save waits for a save in the background.
        assert!(if self.is_async { (45..=50).contains(&failed_at) } else { failed_at == 45 }, "{failed_at}");
        let mut kept: Vec<String> = (1..=8).map(|save| format!("step={}.ckpt", save * 5)).collect();
        kept.sort();
        assert_eq!(names(&self.folder), kept);
        for name in kept {
            checkpoint::verify(self.folder.join(name)).unwrap();
        }
        resumes_from(&self.failed().with_file_name("step=40.ckpt"));
    }

    fn failed(&self) -> PathBuf {
        self.folder.join("step=45.ckpt")
    }
}

fn all_of_them() -> ModelCheckpoint {
    ModelCheckpoint::new().save_top_k(SaveTopK::All)
}

fn remount(option: &str, folder: &Path) {
    // The disk is busy while a file is open.
    wait_for("another mount", || {
        let status = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(folder.parent().unwrap()).status().unwrap();
        status.success().then_some(())
    });
}

/// Helper test for a child process with a small disk.
#[test]
#[ignore = "a part of `a_disk_without_space_for_a_checkpoint_keeps_the_earlier_ones`"]
fn saves_on_a_small_disk() {
    let Some(disk) = folder() else { return };

    // There is room for one block of the file.
    let almost_full = |folder: &Path| {
        let disk = folder.parent().unwrap();
        fill(disk);
        let ballast = File::options().write(true).open(disk.join("ballast")).unwrap();
        ballast.set_len(ballast.metadata().unwrap().len() - 4096).unwrap();
    };
    for case in Case::all(&disk) {
        let error = case.fit(all_of_them(), almost_full).unwrap_err();
        let Error::CheckpointFile(checkpoint::Error::StorageFull { path, needed, .. }) = &error else { panic!("{error}") };
        assert_eq!((path, *needed > 4096), (&case.failed(), true));
        let text = format!("no space is left for `{}`, which needs {:.1} KiB", path.display(), *needed as f64 / 1024.0);
        assert_eq!(error.to_string(), text);
        let hint = "free some space or save into another folder; existing checkpoints are intact";
        assert_eq!(error.hint().unwrap(), hint);
        std::fs::remove_file(disk.join("ballast")).unwrap();
        case.is_intact();
        std::fs::remove_dir_all(&case.folder).unwrap();
    }

    for case in Case::all(&disk) {
        let error = case.fit(all_of_them(), |folder| remount("ro", folder)).unwrap_err();
        let text = format!("no permission to read or write `{}`: Read-only file system (os error 30)", case.failed().display());
        assert!(error.to_string().starts_with(&text), "{error}");
        assert_eq!(error.hint().unwrap(), "check the owner of the file and its folder, or save into another folder");
        remount("rw", &case.folder);
        case.is_intact();
        std::fs::remove_dir_all(&case.folder).unwrap();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_without_space_for_a_checkpoint_keeps_the_earlier_ones() {
    play_on_a_small_disk("full_disk::saves_on_a_small_disk");
}

#[test]
fn a_deleted_folder_is_created_again() {
    let folder = tempfile::tempdir().unwrap();
    for case in Case::all(folder.path()) {
        let saving = ModelCheckpoint::new().save_last(true);
        let remove = |folder: &Path| {
            // A save in the background also writes `last.ckpt` and removes the previous file.
            wait_for("the end of the save", || {
                let last = checkpoint::Checkpoint::read(folder.join("last.ckpt")).ok()?;
                (last.manifest().progress["global_step"] == 40 && names(folder) == ["last.ckpt", "step=40.ckpt"]).then_some(())
            });
            std::fs::remove_dir_all(folder).unwrap();
        };
        let fit = case.fit(saving, remove).unwrap();
        assert_eq!(fit.progress.global_step, case.steps);
        assert_eq!(names(&case.folder), ["last.ckpt".to_owned(), format!("step={}.ckpt", case.steps)]);
        resumes_from(&case.folder.join(format!("step={}.ckpt", case.steps)));
        std::fs::remove_dir_all(&case.folder).unwrap();
    }
}
