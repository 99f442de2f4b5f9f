//! A run that cannot begin leaves no files behind and does not change existing ones.

use std::{collections::BTreeMap, path::Path};

use burn::{nn::LinearConfig, prelude::*};
use stormfire::prelude::*;

use crate::{
    files::{names, read_csv},
    rig::{Logging, run_of},
    support::{Line, line_data},
};

fn trainer<M: LightningModule>(folder: &Path) -> Trainer<M> {
    let quiet = Trainer::new().default_root_dir(folder).enable_progress_bar(false).enable_model_summary(false);
    quiet.max_epochs(2).log_every_n_steps(1)
}

/// The runs below a folder.
fn runs(folder: &Path) -> Vec<String> {
    names(&folder.join("lightning_logs"))
}

#[test]
fn a_failed_start_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let wrong: [fn(&Path) -> Trainer<Line>; 7] = [
        |folder| trainer(folder).limit_train_batches(0.01),
        |folder| trainer(folder).callback(EarlyStopping::new("val_loss").min_delta(f64::NAN)),
        |folder| trainer(folder).callback(Timer::new("soon")),
        |folder| trainer(folder).callback(ThroughputMonitor::new().window_size(0)),
        |folder| trainer(folder).callback(SpikeDetection::new(SpikeAction::Warn).rtol(-1.0)),
        |folder| trainer(folder).callback(ModelPruning::new(0.5).parameters(|_| false)),
        |folder| Trainer::new().default_root_dir(folder).max_steps(4).callback(StochasticWeightAveraging::new(0.05)),
    ];
    for wrong in wrong {
        let mut trainer = wrong(folder.path());
        trainer.fit(Line::new(), line_data(8, 2)).unwrap_err();
        // A second attempt of the same Trainer reuses its folder.
        assert_eq!(runs(folder.path()), ["version_0"]);
        trainer.fit(Line::new(), line_data(8, 2)).unwrap_err();
        drop(trainer);
        assert_eq!(names(folder.path()), [""; 0]);
    }
    let _ = trainer(folder.path()).fit(Line::new(), line_data(8, 2)).unwrap();
    assert_eq!(runs(folder.path()), ["version_0"]);
    assert_eq!(names(&run_of(folder.path())).len(), 5, "{:?}", names(&run_of(folder.path())));
}

#[test]
fn a_failed_start_leaves_the_folders_that_existed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    std::fs::create_dir_all(folder.path().join("logs/empty")).unwrap();
    let left = || (names(folder.path()), names(&folder.path().join("logs")));
    let expected = (vec!["file".to_owned(), "logs".to_owned()], vec!["empty".to_owned()]);
    // The first logger has created its folder when the second one fails.
    let loggers = |trainer: Trainer<Line>| trainer.logger(CsvLogger::new(folder.path().join("logs"))).logger(TensorBoardLogger::new(&file));
    let error = loggers(trainer(folder.path())).fit(Line::new(), line_data(8, 2)).unwrap_err().to_string();
    assert!(error.starts_with("`TensorBoardLogger::save_dir`: failed to create directory `"), "{error}");
    assert_eq!(left(), expected);
    let error = trainer(&file).logger(CsvLogger::new(&file)).fit(Line::new(), line_data(8, 2)).unwrap_err().to_string();
    assert!(error.starts_with("`default_root_dir`: failed to create directory `"), "{error}");
    // A folder that exists has a version that does not, and another root folder does not exist at all.
    for root in ["logs", "new/root"] {
        let wrong = || trainer::<Line>(&folder.path().join(root)).callback(Timer::new("soon"));
        wrong().fit(Line::new(), line_data(8, 2)).unwrap_err();
        for version in ["mine", "empty"] {
            let logger = CsvLogger::new(folder.path().join(root)).name("").version(version);
            wrong().logger(logger).fit(Line::new(), line_data(8, 2)).unwrap_err();
            assert_eq!(left(), expected, "{root}, {version}");
        }
    }
}

/// Collects every file below a folder with its bytes.
fn files(folder: &Path, all: &mut BTreeMap<String, Vec<u8>>) {
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            files(&path, all);
        } else {
            all.insert(path.display().to_string(), std::fs::read(&path).unwrap());
        }
    }
}

#[test]
fn a_refused_checkpoint_leaves_the_logs_of_its_run_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let run = run_of(folder.path());
    let saving = || ModelCheckpoint::new().save_top_k(SaveTopK::All).every(Every::Steps(2));
    let _ = trainer(folder.path()).callback(saving()).fit(Logging::new(), line_data(8, 2)).unwrap();
    let checkpoint = run.join("checkpoints/epoch=0-step=2.ckpt");
    let left = || {
        let mut all = BTreeMap::new();
        files(folder.path(), &mut all);
        all
    };
    let before = left();
    assert_eq!(read_csv(&run).steps(), (0..8).collect::<Vec<_>>());

    let resume = || trainer(folder.path()).callback(saving()).ckpt_path(&checkpoint);
    resume().fit(Logging::new(), line_data(10, 2)).unwrap_err();
    resume().max_steps(1).fit(Logging::new(), line_data(8, 2)).unwrap_err();
    let mut wide = Line::new();
    wide.layer = LinearConfig::new(2, 3).init(&Device::flex());
    trainer(folder.path()).ckpt_path(&checkpoint).fit(wide, line_data(8, 2)).unwrap_err();
    assert!(left() == before, "{:?}", left().keys());

    // The next attempt of the same Trainer continues there.
    let mut again = resume();
    again.fit(Logging::new(), line_data(10, 2)).unwrap_err();
    again.set_ckpt_path(&checkpoint);
    let _ = again.fit(Logging::new(), line_data(8, 2)).unwrap();
    assert_eq!(read_csv(&run).steps(), (0..8).collect::<Vec<_>>());
    assert_eq!(runs(folder.path()), ["version_0"]);
}
