use stormfire_module::{Error, Result};
use stormfire_ranks::threads;
use stormfire_trainer::Trainer;

use crate::{Line, alone, line_data};
use stormfire_tuner::cross_validate;

#[test]
fn each_fold_is_a_run_and_metrics_have_mean_and_deviation() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let trainer = || Trainer::new().max_epochs(1).seed(1).enable_progress_bar(false).enable_model_summary(false);
    let fold = |number: usize, items: usize| {
        assert_eq!(items, [4, 8, 12][number]);
        Ok((trainer(), Line::fixed(), (line_data(8, 4), line_data(items, 4))))
    };
    let scores = cross_validate(folder.path(), [4, 8, 12], fold).unwrap();
    let values: Vec<f64> = scores.folds().iter().map(|fold| fold.get("val_loss").unwrap()).collect();
    // numpy.mean and numpy.std(ddof=1).
    let mean = (values[0] + values[1] + values[2]) / 3.0;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    assert!(deviation > 0.0 && (scores.mean("val_loss").unwrap() - mean).abs() < 1e-12);
    assert!((scores.deviation("val_loss").unwrap() - deviation).abs() < 1e-12);
    assert_eq!((scores.mean("val_acc"), scores.names().collect::<Vec<_>>()), (None, vec!["val_loss"]));
    for number in 0..3 {
        let run = folder.path().join(format!("version_0/fold_{number}"));
        assert!(run.join("metrics.csv").exists() && run.join("checkpoints").exists());
    }
    let csv = std::fs::read_to_string(folder.path().join("version_0/folds.csv")).unwrap();
    assert!(csv.starts_with("metric,mean,deviation,fold_0,fold_1,fold_2\nval_loss,"), "{csv}");
    assert!(scores.to_string().contains("mean ± deviation of 3 folds"), "{scores}");
    cross_validate(folder.path(), [4], fold).unwrap();
    assert!(folder.path().join("version_1/fold_0").exists(), "another call has another version");
}

#[test]
fn a_fold_that_fails_ends_the_whole() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    let result = cross_validate(folder.path(), 0..3, |_, _| {
        made += 1;
        let trainer = Trainer::<Line>::new().max_epochs(1).enable_progress_bar(false).enable_model_summary(false);
        if made == 2 { Err(Error::other("no data")) } else { Ok((trainer, Line::fixed(), line_data(8, 4))) }
    });
    assert_eq!((result.unwrap_err().to_string(), made), ("no data".to_owned(), 2));
}

#[test]
fn ranks_train_each_fold_together() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let scores = |window: usize| {
        cross_validate(folder.path(), [4, 8], |_, items| {
            let trainer = Trainer::new().max_epochs(1).seed(1).enable_progress_bar(false).enable_model_summary(false);
            let trainer = trainer.handle_signals(false).accumulate_grad_batches(window);
            Ok((trainer, Line::fixed(), (line_data(8, 2), line_data(items, 2))))
        })
    };
    let one = scores(2).unwrap();
    let several: Vec<_> = threads::run(2, |_| scores(1)).into_iter().map(Result::unwrap).collect();
    for ended in &several {
        assert_eq!(ended.folds().len(), 2);
        for (a, b) in one.folds().iter().zip(ended.folds()) {
            assert!((a.get("val_loss").unwrap() - b.get("val_loss").unwrap()).abs() < 1e-6, "{a:?} {b:?}");
        }
    }
    assert!(folder.path().join("version_1/fold_1/metrics.csv").exists() && folder.path().join("version_1/folds.csv").exists());
    assert!(!folder.path().join("fold_0").exists() && !folder.path().join("version_2").exists());
}
