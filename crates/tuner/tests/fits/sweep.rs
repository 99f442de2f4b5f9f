use std::{cell::Cell, fs, path::Path};

use burn::{optim::SgdConfig, prelude::*};
use serde_json::{Value, json};
use stormfire_module::{Error, LightningModule, Result, StepOutput};
use stormfire_optim::{Optimizer, Optimizers};
use stormfire_ranks::threads;
use stormfire_trainer::Trainer;

use crate::{Batch, Line, alone, line_data, mse};
use stormfire_tuner::{
    Pruner, Space, Sweep, SweepResult, Trial, TrialState,
    for_cli::{ProcessEnd, TrialTask, check_sweep, run_in_processes},
};

/// A line with its own learning rate.
#[derive(Module, Debug)]
struct Tuned {
    line: Line,
    #[module(skip)]
    lr: f64,
}

impl LightningModule for Tuned {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(mse(self.line.layer.forward(x), y).into())
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.line.validation_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), self.lr).into())
    }

    fn hparams(&self) -> Result<Value> {
        Ok(json!({"kind": "line"}))
    }
}

fn fit(trial: &mut Trial<'_>, epochs: usize) -> Result<f64> {
    let module = Tuned { line: Line::fixed(), lr: trial.get("lr")? };
    let trainer = Trainer::new().max_epochs(epochs).seed(1).enable_progress_bar(false).enable_model_summary(false).num_sanity_val_steps(0);
    trial.fit(trainer, module, (line_data(8, 4), line_data(8, 4)))
}

/// Runs a trial in a thread, in place of its process.
fn fit_elsewhere(task: &TrialTask, epochs: usize) -> Result<ProcessEnd> {
    let module = Tuned { line: Line::fixed(), lr: task.params()["lr"].as_f64().unwrap() };
    let trainer = Trainer::new().max_epochs(epochs).seed(1).enable_progress_bar(false).enable_model_summary(false).num_sanity_val_steps(0);
    match task.fit(trainer.handle_signals(false), module, (line_data(8, 4), line_data(8, 4))) {
        Ok(_) => Ok(ProcessEnd::Good),
        Err(error) => task.failed(&error).map(|()| ProcessEnd::Bad(error.to_string())),
    }
}

fn rates(folder: &Path, values: &[f64]) -> Sweep {
    Sweep::grid(Space::new().choice("lr", values.iter().copied())).folder(folder)
}

#[test]
fn trials_are_runs_in_one_folder_and_the_best_is_found() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let result = rates(folder.path(), &[1e-4, 0.3, 1e-3]).run(|trial| fit(trial, 2)).unwrap();
    assert_eq!(result.best().map(|trial| (trial.number, &trial.params["lr"])), Some((1, &json!(0.3))));
    assert!(result.trials().iter().all(|trial| trial.state == TrialState::Completed && trial.reports.len() == 2));
    assert_eq!(result.trials()[0].score, Some(result.trials()[0].reports[1]));
    for number in 0..3 {
        let run = folder.path().join(format!("trial_{number}"));
        let hparams = fs::read_to_string(run.join("hparams.yaml")).unwrap();
        assert!(hparams.contains("lr:") && hparams.contains("kind: line"), "{hparams}");
        let names: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(
            names.iter().any(|name| name.starts_with("events.out.tfevents")) && names.iter().any(|name| name == "checkpoints"),
            "{names:?}"
        );
    }
    let csv = fs::read_to_string(folder.path().join("trials.csv")).unwrap();
    assert_eq!((csv.lines().count(), csv.lines().next()), (4, Some("trial,state,score,lr,error")));
    assert!(result.to_string().contains("1 (best)"), "{result}");
    // A finished sweep runs nothing.
    let again = rates(folder.path(), &[1e-4, 0.3, 1e-3]).run(|_| panic!("no trial is left")).unwrap();
    assert_eq!(again, result);
}

#[test]
fn failures_are_noted_and_too_many_end_the_sweep() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = || Sweep::grid(Space::new().int("n", 0, 6)).folder(folder.path());
    let objective = |trial: &mut Trial<'_>| match trial.get::<i64>("n")? {
        0 => Ok(f64::NAN),
        1 => Err(Error::other("a mistake")),
        2 => panic!("a panic"),
        3 => Ok(2.0),
        _ => Err(Error::other("another mistake")),
    };
    let error = sweep().run(objective).unwrap_err();
    assert_eq!(error.to_string(), "`Sweep`: 3 trials in a row have failed, the last one with: another mistake");
    // Failed trials are not repeated.
    let calls = Cell::new(0);
    let result = sweep().run(|_| {
        calls.set(calls.get() + 1);
        Err(Error::other("never"))
    });
    assert_eq!(calls.get(), 0);
    let result: SweepResult = result.unwrap();
    let states: Vec<_> = result.trials().iter().map(|trial| trial.state).collect();
    let expected = [true, false, false, true, false, false, false]
        .map(|is_completed| if is_completed { TrialState::Completed } else { TrialState::Failed });
    assert_eq!(states, expected);
    assert!(result.trials()[0].score.is_some_and(f64::is_nan), "NaN is not lost in the file");
    assert_eq!(result.best().map(|trial| trial.number), Some(3), "NaN is worst");
    assert!(result.trials()[2].error.as_ref().is_some_and(|error| error.contains("panicked")));
}

#[test]
fn a_wrong_name_or_type_is_named() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let error = rates(folder.path(), &[0.5]).max_failures(1).run(|trial| trial.get("rate")).unwrap_err();
    assert!(error.to_string().contains("`Trial::get(\"rate\")`: the space has only `lr`"), "{error}");
    let other = tempfile::tempdir().unwrap();
    let error = rates(other.path(), &[0.5]).max_failures(1).run(|trial| trial.get::<String>("lr").map(|_| 0.0)).unwrap_err();
    assert!(error.to_string().contains("invalid type"), "{error}");
    let last = tempfile::tempdir().unwrap();
    let result = rates(last.path(), &[0.5]).run(|_| Ok(1.0)).unwrap();
    let best = result.best().unwrap();
    assert_eq!(best.get::<f64>("lr").unwrap().to_bits(), 0.5_f64.to_bits());
    let error = best.get::<f64>("rate").unwrap_err();
    assert!(error.to_string().contains("`TrialRecord::get(\"rate\")`: the space has only `lr`"), "{error}");
}

#[test]
fn a_bad_trial_is_pruned() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = rates(folder.path(), &[0.05, 1e-9, 0.2]).pruner(Pruner::median_after(1, 0));
    let result = sweep.run(|trial| fit(trial, 4)).unwrap();
    let summary: Vec<_> = result.trials().iter().map(|trial| (trial.state, trial.reports.len())).collect();
    assert_eq!(summary, [(TrialState::Completed, 4), (TrialState::Pruned, 1), (TrialState::Completed, 4)]);
}

#[test]
fn a_half_run_trial_continues_from_its_checkpoint() {
    let _alone = alone();
    let (whole, halved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = rates(whole.path(), &[0.05, 0.1]).run(|trial| fit(trial, 4)).unwrap();
    rates(halved.path(), &[0.05, 0.1]).run(|trial| fit(trial, 2)).unwrap();
    let file = halved.path().join("trial_1.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    record["state"] = "running".into();
    fs::write(&file, record.to_string()).unwrap();
    let calls = Cell::new(0);
    let result = rates(halved.path(), &[0.05, 0.1]).run(|trial| {
        calls.set(calls.get() + 1);
        fit(trial, 4)
    });
    assert_eq!(calls.get(), 1);
    assert_eq!(result.unwrap().trials()[1], expected.trials()[1]);
    // Without a checkpoint it starts from scratch.
    fs::write(&file, record.to_string()).unwrap();
    fs::remove_dir_all(halved.path().join("trial_1/checkpoints")).unwrap();
    let result = rates(halved.path(), &[0.05, 0.1]).run(|trial| fit(trial, 4)).unwrap();
    assert_eq!(result.trials()[1], expected.trials()[1]);
    let rows = |folder: &Path| fs::read_to_string(folder.join("trial_1/metrics.csv")).unwrap();
    assert_eq!(rows(halved.path()), rows(whole.path()));
}

#[test]
fn an_interrupt_ends_the_sweep_and_a_later_start_continues() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = || Sweep::random(Space::new().uniform("x", 0.0, 1.0), 4).folder(folder.path());
    let calls = Cell::new(0);
    let stopped = sweep().run(|trial| {
        calls.set(calls.get() + 1);
        if calls.get() == 3 { Err(Error::Interrupted { by: "Ctrl-C".into() }) } else { trial.get("x") }
    });
    assert!(matches!(stopped, Err(Error::Interrupted { .. })) && calls.get() == 3);
    let result = sweep().run(|trial| trial.get("x")).unwrap();
    let other = tempfile::tempdir().unwrap();
    let whole = sweep().folder(other.path()).run(|trial| trial.get("x")).unwrap();
    assert_eq!(result, whole);
    // A longer sweep continues, another one does not.
    let longer = Sweep::random(Space::new().uniform("x", 0.0, 1.0), 6).folder(folder.path()).run(|trial| trial.get("x")).unwrap();
    assert_eq!((&longer.trials()[..4], longer.trials().len()), (whole.trials(), 6));
    let error = sweep().seed(3).run(|trial| trial.get("x")).unwrap_err();
    assert!(error.to_string().contains("has a sweep with another seed"), "{error}");
    let inside = sweep().run(|_| panic!("it is complete")).unwrap();
    assert_eq!(inside.trials().len(), 6);
}

#[test]
fn a_check_of_a_sweep_writes_nothing() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = |values: &[f64]| rates(&folder.path().join("sweep"), values);
    assert_eq!(check_sweep(&sweep(&[0.1, 0.2])).unwrap(), 2);
    assert!(!folder.path().join("sweep").exists());
    sweep(&[0.1, 0.2]).run(|_| Ok(1.0)).unwrap();
    assert_eq!(check_sweep(&sweep(&[0.1, 0.2])).unwrap(), 2);
    let error = check_sweep(&sweep(&[0.1])).unwrap_err().to_string();
    assert!(error.contains("has a sweep with another space"), "{error}");
    let error = check_sweep(&sweep(&[0.1, 0.2]).pruner(Pruner::asha_with(1, 1))).unwrap_err().to_string();
    assert!(error.starts_with("`Pruner::asha_with`"), "{error}");
}

#[test]
fn two_sweeps_do_not_share_a_folder() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = rates(folder.path(), &[0.5]).max_failures(1);
    let error = sweep.run(|_| sweep.run(|_| Ok(1.0)).map(|_| 1.0)).unwrap_err();
    assert!(error.to_string().contains("another sweep uses"), "{error}");
}

#[test]
fn wrong_spaces_are_named() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (Space::new(), "`Space`: it has no hyperparameter"),
        (Space::new().uniform("a", 1.0, 1.0), "`Space`: `a`: 1..1 is not a range"),
        (Space::new().uniform("a", -1e308, 1e308), "`Space`: `a`: -1"),
        (Space::new().log_uniform("a", 0.0, 1.0), "`Space`: `a`: 0..1 is not a range of positive numbers"),
        (Space::new().int("a", 2, 1), "`Space`: `a`: 2..=1 is empty"),
        (Space::new().choice("a", Vec::<f64>::new()), "`Space`: `a`: there are no values"),
        (Space::new().choice("a", [f64::NAN]), "`Space`: `a`: a value is NaN"),
        (Space::new().int("a", 0, 1).int("a", 0, 1), "`Space`: `a`: the name is given twice"),
    ];
    for (space, text) in cases {
        let error = Sweep::random(space, 1).folder(folder.path()).run(|_| Ok(0.0)).unwrap_err();
        assert!(error.to_string().starts_with(text) && error.hint().is_some(), "{error}");
    }
}

#[test]
fn the_folder_of_a_sweep_is_on_a_disk() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    let url = format!("file://{}", place.display());
    rates(Path::new(&url), &[0.1]).run(|_| Ok(0.0)).unwrap();
    assert!(place.join("trials.csv").exists());
    let error = rates(Path::new("s3://bucket/sweep"), &[0.1]).run(|_| Ok(0.0)).unwrap_err();
    assert_eq!(error.to_string(), "`Sweep::folder`: `s3://bucket/sweep` is not on a disk");
    assert!(!Path::new("s3:").exists());
}

/// The process was killed after the end of the trial's fit, and before its record was written.
#[test]
fn a_trial_that_was_pruned_before_a_kill_stays_pruned() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let run = || rates(folder.path(), &[0.05, 1e-9, 0.2]).pruner(Pruner::median_after(1, 1)).run(|trial| fit(trial, 4)).unwrap();
    let before = run();
    let state = |number: usize| (before.trials()[number].state, before.trials()[number].reports.len());
    assert_eq!([state(0), state(1)], [(TrialState::Completed, 4), (TrialState::Pruned, 2)]);
    for number in [1, 0] {
        let file = folder.path().join(format!("trial_{number}.json"));
        let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        (record["state"], record["score"], record["reports"]) = ("running".into(), Value::Null, json!([]));
        fs::write(&file, record.to_string()).unwrap();
        assert_eq!(run(), before, "trial {number}");
    }
}

/// The module, trainer and data of a rank.
fn fit_on_rank(trial: &mut Trial<'_>) -> Result<f64> {
    let module = Tuned { line: Line::fixed(), lr: trial.get("lr")? };
    let trainer = Trainer::new().max_epochs(2).seed(1).enable_progress_bar(false).enable_model_summary(false).num_sanity_val_steps(0);
    trial.fit(trainer.handle_signals(false), module, (line_data(8, 2), line_data(8, 4)))
}

#[test]
fn ranks_train_each_trial_together() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = || {
        let space = Space::new().log_uniform("lr", 1e-3, 0.3);
        Sweep::tpe(space, 12).folder(folder.path()).pruner(Pruner::median_after(2, 0))
    };
    let on_ranks = || threads::run(2, |_| sweep().run(fit_on_rank));
    let results: Vec<SweepResult> = on_ranks().into_iter().map(Result::unwrap).collect();
    assert_eq!(results[0], results[1]);
    assert!(results[0].trials().iter().any(|trial| trial.state == TrialState::Pruned));
    // One rank with a window of two batches makes the same steps.
    let other = tempfile::tempdir().unwrap();
    let alone = sweep().folder(other.path()).run(|trial| {
        let module = Tuned { line: Line::fixed(), lr: trial.get("lr")? };
        let trainer = Trainer::new().max_epochs(2).seed(1).enable_progress_bar(false).enable_model_summary(false);
        let trainer = trainer.num_sanity_val_steps(0).accumulate_grad_batches(2);
        trial.fit(trainer, module, (line_data(8, 2), line_data(8, 4)))
    });
    let alone = alone.unwrap();
    for (one, two) in alone.trials().iter().zip(results[0].trials()) {
        let close = |a: Option<f64>, b: Option<f64>| a.zip(b).is_some_and(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(one.score, two.score) && one.state == two.state, "{one:?} {two:?}");
    }
    assert!(folder.path().join("trial_11/metrics.csv").exists() && folder.path().join("trials.csv").exists());
    // A trial that was killed continues on all ranks.
    let file = folder.path().join("trial_3.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    record["state"] = "running".into();
    fs::write(&file, record.to_string()).unwrap();
    let again: Vec<SweepResult> = on_ranks().into_iter().map(Result::unwrap).collect();
    assert_eq!((&again[0], &again[1]), (&results[0], &results[0]));
}

#[test]
fn a_failure_on_ranks_is_noted_for_all_of_them() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = || rates(folder.path(), &[0.1, 0.2]);
    // Outside of a fit: the ranks are still connected.
    let ended = threads::run(2, |rank| {
        sweep().run(|trial| if trial.number() == 0 && rank == 1 { Err(Error::other("the lamp fell over")) } else { Ok(1.0) })
    });
    let results: Vec<SweepResult> = ended.into_iter().map(Result::unwrap).collect();
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0].trials()[0].state, TrialState::Failed);
    assert_eq!(results[0].trials()[1].state, TrialState::Completed);
    // In a fit: the next start continues with the next trial.
    let other = tempfile::tempdir().unwrap();
    let sweep = || rates(other.path(), &[0.1, 0.2]);
    let ended = threads::run(2, |rank| {
        sweep().run(|trial| if trial.number() == 0 && rank == 1 { Err(Error::other("the lamp fell over")) } else { fit_on_rank(trial) })
    });
    assert!(ended.iter().all(Result::is_err), "{ended:?}");
    let ended = threads::run(2, |_| sweep().run(fit_on_rank));
    let results: Vec<SweepResult> = ended.into_iter().map(Result::unwrap).collect();
    let states: Vec<_> = results[1].trials().iter().map(|trial| trial.state).collect();
    assert_eq!(states, [TrialState::Failed, TrialState::Completed]);
}

#[test]
fn files_that_the_objective_makes_before_its_fit_stay() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let result = rates(folder.path(), &[0.1]).run(|trial| {
        fs::create_dir_all(trial.folder())?;
        fs::write(trial.folder().join("notes.txt"), "mine")?;
        fit(trial, 1)
    });
    result.unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("trial_0/notes.txt")).unwrap(), "mine");
}

#[test]
fn trials_in_other_processes_are_those_of_this_one() {
    let _alone = alone();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let values = [1e-4, 0.3, 1e-3, 0.1];
    for (number, pruner) in [Pruner::none(), Pruner::asha_with(1, 2)].into_iter().enumerate() {
        let sweep = |folder: &Path| rates(&folder.join(number.to_string()), &values).pruner(pruner.clone());
        let expected = sweep(here.path()).run(|trial| fit(trial, 3)).unwrap();
        // One at a time, each sees the validations of those before it.
        let found = run_in_processes(&sweep(there.path()), 1, |task| fit_elsewhere(task, 3)).unwrap();
        assert_eq!(found, expected);
        let again = run_in_processes(&sweep(there.path()), 2, |_| panic!("no trial is left")).unwrap();
        assert_eq!(again, expected);
    }
    let several = tempfile::tempdir().unwrap();
    let found = run_in_processes(&rates(several.path(), &values), 3, |task| fit_elsewhere(task, 3)).unwrap();
    assert_eq!(found, rates(&here.path().join("0"), &values).run(|_| panic!("no trial is left")).unwrap());
}

#[test]
fn a_process_that_ends_without_a_score_has_failed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let sweep = || rates(folder.path(), &[0.1, 0.2, 0.3]);
    let interrupted = || Error::Interrupted { by: "a test".into() };
    let run = |task: &TrialTask| match task.params()["lr"].as_f64() {
        Some(0.1) => Ok(ProcessEnd::Bad("killed".into())),
        Some(0.2) => Err(interrupted()),
        _ => fit_elsewhere(task, 1),
    };
    assert!(matches!(run_in_processes(&sweep(), 1, run), Err(Error::Interrupted { .. })));
    // The interrupted trial is left, the failed one is not.
    let result = run_in_processes(&sweep(), 1, |task| fit_elsewhere(task, 1)).unwrap();
    let states: Vec<_> = result.trials().iter().map(|trial| trial.state).collect();
    assert_eq!(states, [TrialState::Failed, TrialState::Completed, TrialState::Completed]);
    assert_eq!(result.trials()[0].error.as_deref(), Some("killed"));
    let failing = rates(&folder.path().join("failing"), &[0.1; 5]).max_failures(2);
    let error = run_in_processes(&failing, 1, |_| Ok(ProcessEnd::Good)).unwrap_err().to_string();
    assert!(error.contains("2 trials in a row have failed") && error.contains("without a fit"), "{error}");
}
