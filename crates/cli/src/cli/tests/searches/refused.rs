//! Mistakes of a sweep, which are found before its first trial.

use insta::assert_snapshot;

use super::*;

/// The mistake of a sweep in this folder, which a dry run finds, too. Neither writes a file.
fn mistake(folder: &Path, words: &[&str]) -> String {
    let root = format!("--{}={}", crate::children::ROOT, folder.display());
    let before = walk(folder);
    let told = refusal(&[words, &["sweep", &root]].concat());
    assert_eq!(refusal(&[words, &["sweep", "--dry-run", &root]].concat()), told);
    assert_eq!(walk(folder), before);
    shown(&told, folder)
}

#[test]
fn a_dry_run_refuses_what_the_sweep_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| mistake(folder.path(), words);
    assert_snapshot!(told(&["trainer.max_time=5 parsecs,6 parsecs"]), @"trainer.max_time: `trainer.max_time`: cannot read `5 parsecs` as a time: `parsecs` is not one of seconds, minutes, hours, days; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)");
    // The options of the Trainer are read in each of their values, also next to other options.
    assert_snapshot!(told(&["model.lr=1,2", "trainer.gradient_clip_val=1,-1"]), @r"
    trainer.gradient_clip_val: `trainer.gradient_clip_val`: -1 is not a positive number
      help: leave it out to clip nothing
    ");
    assert_snapshot!(told(&["trainer.callbacks=[],[{name: timer, limit: 5 parsecs}]"]), @"trainer.callbacks: `trainer.callbacks[0].limit`: cannot read `5 parsecs` as a time: `parsecs` is not one of seconds, minutes, hours, days; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)");
    assert_snapshot!(told(&["model.lr=1,2", "--sweep.pruner={name: asha, factor: 1}"]), @"--sweep.pruner: `sweep.pruner.factor`: expected a whole number of at least 2, not the number `1`");
    assert_snapshot!(told(&["model.lr=1,2", "--sweep.trials=10001"]), @"--sweep.trials: `sweep.trials`: expected a whole number of at least 1 and at most 10000, not the number `10001`");
    assert_snapshot!(told(&["sweep.space={model.lr: []}"]), @"sweep.space: `model.lr`: there are no values");
    assert_snapshot!(told(&["sweep.space={sweep.trials: [1]}"]), @"sweep.space: `sweep.trials` has one value: it is an option of the sweep, not of its trials");
    assert_snapshot!(told(&["sweep.space={tune: {lr: [model.lr]}}"]), @"sweep.space: `tune.lr` has no effect on a trial: it is for the command `tune`");
    assert_snapshot!(told(&["sweep.space={trainer: [1]}"]), @"sweep.space: `trainer`: expected a section, not the number `1`");
    for word in ["model.lr=.nan,1", "model.lr=1,.inf", "trainer.seed=1,null"] {
        let path = word.split('=').next().unwrap();
        let help = "a sweep has none of these, but `--multirun` runs them";
        assert_eq!(told(&[word]), format!("{path}: `{path}`: a value is NaN, infinite or null\n  help: {help}"));
    }
    // Both orders: the labels of a trial would contradict each other.
    assert_snapshot!(told(&["model={lr: 1},{lr: 2}", "model.lr=1,2"]), @r"
    model.lr: `model` has several values, and so has `model.lr`, which is a part of it
      help: give the options in `model` several values, one by one
    ");
    assert_snapshot!(told(&["model.lr=1,2", "model={lr: 1},{lr: 2}"]), @r"
    model.lr: `model` has several values, and so has `model.lr`, which is a part of it
      help: give the options in `model` several values, one by one
    ");
    assert_snapshot!(told(&["model.lr=1,2", "sweep.folder="]), @r"
    sweep.folder: `sweep.folder`: the name of the folder is empty
      help: leave it out, or name a folder
    ");
    // Also with other options of the sweep.
    assert_snapshot!(told(&["model.lr=uniform(1,2)", "--sweep.search=grid", "--sweep.seed=1"]), @"--sweep.search: a grid needs lists of values, and a range has any number of them");
    assert_snapshot!(told(&["model.lr=1,2", "--sweep.trials=1", "--sweep.search=grid", "--sweep.seed=1"]), @"--sweep.trials: a grid has all combinations, and no number of trials");
    assert_snapshot!(told(&["model.hidden=range(0,20000)"]), @r"
    model.hidden: `model.hidden` has more than 10000 values
      help: draw them from a range: `int(low, high)` or `uniform(low, high)`
    ");
    assert_snapshot!(told(&["model.hidden=range(0,200)", "data.batch_size=range(1,200)"]), @r"
    data.batch_size: a grid of these values has more than 10000 trials
      help: try some of them: `--sweep.search=random --sweep.trials=100`
    ");
    assert_snapshot!(told(&["model.hidden=int(0,9223372036854775806)", "--sweep.search=grid"]), @r"
    model.hidden: a grid of these values has more than 10000 trials
      help: try some of them: `--sweep.search=random --sweep.trials=100`
    ");
}

/// Each trial would refuse it.
#[test]
fn a_sweep_refuses_what_the_start_of_a_trial_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| mistake(folder.path(), words);
    let expected = "`trainer.strategy`: `mpi` needs several processes, and no launcher has started this one\n  help: start it with `mpirun -n 2 …`, or with `srun` in a job of SLURM";
    assert_eq!(told(&["model.lr=1,2", "--trainer.strategy=mpi"]), format!("--trainer.strategy: {expected}"));
    assert_eq!(told(&["trainer.strategy=auto,mpi"]), format!("trainer.strategy: {expected}"));
    let lr = "trainer.callbacks=[{name: learning_rate_monitor}]";
    assert_snapshot!(told(&["model.lr=1,2", lr, "trainer.loggers=[]"]), @r"
    trainer.loggers: `trainer.loggers`: `LearningRateMonitor` needs a logger, and this run has none
      help: add one, or leave the callback out
    ");
    let barebones =
        "trainer.barebones: `trainer.barebones`: nothing is logged, also not the metric `val_loss`, which `sweep.monitor` needs";
    assert_eq!(told(&["model.lr=1,2", "trainer.barebones=true"]), barebones);
    assert_eq!(told(&["trainer.barebones=false,true"]), barebones);
    let error = told(&["model.lr=1,2", "trainer.accelerator=metal"]);
    assert!(error.starts_with("trainer.accelerator: `trainer.accelerator`: accelerator `metal` needs the cargo feature"), "{error}");
}

/// The callbacks of the program, too.
#[test]
fn several_runs_refuse_what_the_start_of_each_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
    let told = |program: Cli<Net, Items, NetConfig, ItemsConfig>, words: &[&str]| {
        let words: Vec<String> = words.iter().chain(&["model.lr=1,2", &root]).map(|word| (*word).to_owned()).collect();
        match program.execute("program", &words, Vec::new()) {
            Err(Ended::Usage(error)) => error.to_string(),
            Err(other) => panic!("{}", other.into_error()),
            Ok(outcome) => panic!("{outcome:?}"),
        }
    };
    let monitor = || program().trainer(|trainer| trainer.callback(stormfire_callbacks::LearningRateMonitor::new()));
    let stop = || program().trainer(|trainer| trainer.callback(stormfire_callbacks::EarlyStopping::new("step_loss")));
    for command in ["-m", "sweep"] {
        let lines: [&[&str]; 2] = [&[command], &[command, "--dry-run"]];
        for line in lines {
            let told = [
                told(monitor(), &[line, &["trainer.loggers=[]"]].concat()),
                told(stop(), &[line, &["trainer.barebones=true", "sweep.monitor=step"][..if command == "sweep" { 2 } else { 1 }]].concat()),
            ];
            insta::allow_duplicates!(assert_snapshot!(told.join("\n"), @r"
            trainer.loggers: `trainer.loggers`: `LearningRateMonitor` needs a logger, and this run has none
              help: add one, or leave the callback out
            trainer.barebones: `trainer.barebones`: nothing is logged, also not the metric `step_loss`, which `EarlyStopping` needs
            "));
        }
    }
    assert_eq!(walk(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_sweep_without_training_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let space = "sweep.space={model.lr: [0.1]}";
    let told = |words: &[&str]| mistake(folder.path(), &[&[space], words].concat());
    assert_snapshot!(told(&["trainer.max_epochs=0"]), @r"
    trainer.max_epochs: `trainer.max_epochs`: without a training step there is no metric `val_loss`
      help: a sweep needs `sweep.monitor` from each trial: use 1 or more
    ");
    for option in ["limit_train_batches", "max_steps"] {
        let expected = format!("trainer.{option}: `trainer.{option}`: without a training step there is no metric `val_loss`\n");
        let word = format!("trainer.{option}=0");
        let error = told(&[word.as_str()]);
        assert!(error.starts_with(&expected), "{error}");
    }
    assert_eq!(walk(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn the_folder_of_another_sweep_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let space = "sweep.space={model.lr: [0.1]}";
    sweep(folder.path(), &[space]).unwrap();
    let told = |words: &[&str]| mistake(folder.path(), words);
    assert_snapshot!(told(&[space, "trainer.max_epochs=2"]), @r"
    ROOT/sweep/config.yaml: the sweep in this folder was started with other options: trainer.max_epochs: 1 -> 2
      help: take those, or another folder: `--sweep.folder=FOLDER`
    ");
    assert_snapshot!(told(&["sweep.space={model.lr: [0.1, 0.2]}"]), @r"
    --trainer.default_root_dir: `trainer.default_root_dir`: `ROOT/sweep` has a sweep with another space
      help: choose another folder, or remove this one
    ");
    let same = format!("--sweep.folder={}", folder.path().join("sweep").display());
    assert_snapshot!(told(&[space, "--sweep.seed=5", &same]), @r"
    --sweep.folder: `sweep.folder`: `ROOT/sweep` has a sweep with another seed
      help: choose another folder, or remove this one
    ");
    let file = format!("--sweep.folder={}", folder.path().join("processes").display());
    let error = told(&[space, &file]);
    assert!(error.starts_with("--sweep.folder: ") && error.contains("ROOT/processes/sweep.json"), "{error}");
    fs_err::write(folder.path().join("sweep/config.yaml"), "{broken").unwrap();
    let error = told(&[space]);
    assert!(error.starts_with("ROOT/sweep/config.yaml:") && error.contains("not valid YAML"), "{error}");
}

#[test]
fn a_dry_run_says_how_many_trials_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
    for (words, trials) in [
        (&["model.lr=1,2", "model.hidden=1,2,3"][..], "6 trials"),
        (&["model.lr=uniform(0.1,1)"][..], "20 trials"),
        (&["sweep.space={model.lr: [0.1]}"][..], "1 trial"),
    ] {
        let text = printed(program().try_run(&[words, &["sweep", "--dry-run", &root]].concat(), &[]));
        assert!(text.starts_with(&format!("`sweep` would run {trials} with\nmodel:\n")), "{text}");
    }
    assert_eq!(walk(folder.path()), Vec::<PathBuf>::new());
}

/// With the whole configuration for each value, this would take minutes.
#[test]
fn lists_of_thousands_of_numbers_are_checked_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
    let start = Instant::now();
    let words = ["sweep", "model.hidden=range(1,9000)", "trainer.seed=range(0,9000)", "--sweep.search=random", "--sweep.trials=5", &root];
    assert!(matches!(ended(&words), Ended::Several(_)));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_trial_that_fails_before_its_fit_has_its_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = sweep(folder.path(), &["model.lr=8,9"]).unwrap();
    assert_eq!(outcome, (format!("no trial in {} has a score\n", folder.path().join("sweep").display()), false));
    for (number, lr) in [(0, 8), (1, 9)] {
        assert_eq!(trial(folder.path(), number)["state"], "failed");
        let config = read(folder.path().join(format!("sweep/trial_{number}/config.yaml")));
        assert!(config.contains(&format!("\nmodel:\n  lr: {lr}\n")), "{config}");
    }
    let other = tempfile::tempdir().unwrap();
    let error = sweep(other.path(), &["model.lr=7,8,9"]).unwrap_err();
    let expected = "`sweep`: 3 trials in a row have failed, the last one with: --model.lr: `model.lr`: the rate is too high";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(error.hint().as_deref(), Some("correct what fails, or raise `max_failures`"));
}
