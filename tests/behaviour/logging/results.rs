//! Metrics with several numbers, and metrics that are pictures.

use burn::tensor::{Device, Int, Tensor};
use insta::assert_snapshot;
use stormfire::{
    loggers::{Call, MemoryLogger},
    metrics::{aggregation::Cat, classification::Multiclass},
    prelude::*,
};
use stormfire_values::read::DistantCpu;

use super::probe::{Probe, counter, lines, refused, trainer};
use crate::support::line_data;

/// Three items of two classes, in turns with right and wrong predictions.
fn batch(number: usize) -> Multiclass {
    let scores = [[0.0_f32, 1.0], [1.0, 0.0], [0.0, 1.0]];
    let targets = [[1, 0, 0], [0, 0, 1]][number % 2];
    let device = Device::flex();
    let batch = Multiclass::from_logits(&Tensor::<2>::from_floats(scores, &device), &Tensor::<1, Int>::from_ints(targets, &device));
    batch.unwrap().names(["cat", "dog"]).unwrap()
}

fn run(logger: &MemoryLogger) -> Result<Fit<Probe>> {
    let number = counter();
    let probe = Probe::at(Hook::ValidationStep, move || {
        let batch = batch(number());
        let counts = batch.counts();
        log("f1", counts.f1().per_class()).prog_bar(true);
        log("accuracy", counts.accuracy());
        log("confusion", batch.confusion());
        log("roc", batch.curves(11).unwrap().roc());
        log("pr", batch.curves(11).unwrap().precision_recall());
        log("values", Cat::new(Tensor::<1>::from_floats([0.5, 1.5], &Device::flex())));
    });
    let mut trainer = trainer(logger).max_epochs(1).callback(EarlyStopping::new("f1/dog").mode(Mode::Max));
    trainer.fit(probe, (line_data(4, 4), line_data(4, 2)))
}

#[test]
fn each_class_has_its_number_and_a_picture_is_drawn() {
    let check = |place: &str| {
        let logger = MemoryLogger::new();
        let fit = run(&logger).unwrap();
        let rows: Vec<_> = logger.rows().into_iter().filter(|(name, ..)| name != "epoch").collect();
        let right = ["f1/cat", "f1/dog", "accuracy"].map(|name| (name, 2.0 / 3.0));
        assert_eq!(rows.len(), right.len(), "{place}: {rows:?}");
        for ((name, value, step), (right_name, right)) in rows.iter().zip(right) {
            assert!(name == right_name && (value - right).abs() < 1e-12 && *step == Some(0), "{place}: {name} {value} {step:?}");
            assert_eq!(fit.metrics.get(name), Some(*value), "{place}");
        }
        let drawn = |call: &Call| match call {
            Call::Figure { tag, step, .. } => Some(format!("figure {tag} {step:?}")),
            Call::Table { tag, table, .. } => Some(format!("table {tag} {} rows", table.rows().len())),
            Call::PrecisionRecall { tag, curve, step } => Some(format!("curve {tag} of {} {step:?}", curve.thresholds())),
            Call::Histogram { tag, histogram, .. } => Some(format!("histogram {tag} of {}", histogram.num())),
            _ => None,
        };
        let drawn: Vec<String> = logger.calls().iter().filter_map(drawn).collect();
        let right = [
            "figure confusion Some(0)",
            "table confusion_table 2 rows",
            "figure roc Some(0)",
            "table roc_table 24 rows",
            "figure pr Some(0)",
            "table pr_table 24 rows",
            "curve pr_curve/cat of 11 Some(0)",
            "curve pr_curve/dog of 11 Some(0)",
            "histogram values of 4",
        ];
        assert_eq!(drawn, right, "{place}");
        let Some(Call::Table { table, .. }) = logger.calls().into_iter().find(|call| matches!(call, Call::Table { .. })) else {
            panic!("no table")
        };
        let rows: Vec<String> = table.rows().iter().map(|row| format!("{row:?}")).collect();
        let right = [r#"[String("cat"), Number(2), Number(2)]"#, r#"[String("dog"), Number(0), Number(2)]"#];
        assert_eq!(rows, right, "{place}");
    };
    check("host");
    let _distant = DistantCpu::new();
    check("device");
}

#[test]
fn a_picture_is_of_an_epoch() {
    let step = || drop(log("confusion", batch(0).confusion()).on_step(true));
    assert_snapshot!(refused(Probe::at(Hook::TrainingStep, step), line_data(8, 4)), @"
    `confusion` in `training_step` is a picture, which is not logged on each step
      hint: leave `on_step` out: it is drawn at the end of the epoch
    ");
    let logger = MemoryLogger::new();
    let probe = Probe::at(Hook::TrainingStep, || drop(log("confusion", batch(0).confusion())));
    drop(trainer(&logger).max_epochs(1).fit(probe, line_data(8, 4)).unwrap());
    assert!(lines(&logger).iter().all(|line| !line.contains("confusion")), "{:?}", lines(&logger));
    let figures = logger.calls().iter().filter(|call| matches!(call, Call::Figure { .. })).count();
    assert_eq!(figures, 1, "one picture of two batches");
}

#[test]
fn metrics_of_other_classes_do_not_merge() {
    let number = counter();
    let step = move || {
        let classes = 1 + number();
        let scores = Tensor::<2>::ones([1, classes], &Device::flex());
        let batch = Multiclass::from_logits(&scores, &Tensor::<1, Int>::zeros([1], &Device::flex())).unwrap();
        log("accuracy", batch.counts().accuracy()).on_epoch(true);
    };
    let error = refused(Probe::at(Hook::TrainingStep, step), line_data(8, 4));
    assert_snapshot!(error, @r#"
    `accuracy` in `training_step` does not merge with the value of an earlier batch: `names` is ["class_0", "class_1"] in one value and ["class_0", "class_1", "class_2"] in the other
      hint: make it with the same options and for the same classes in each batch
    "#);
}
