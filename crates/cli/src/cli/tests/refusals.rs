//! Refused input, and the explanation of each refusal.

use std::fmt::Write as _;

use super::*;

#[test]
fn mistakes_are_named_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let told = |args: &[&str]| shown(&run(program_of(1), folder.path(), args).unwrap_err().to_string(), folder.path());
    assert_snapshot!(told(&["--model.inptus=3"]), @r"
    --model.inptus: there is no option `model.inptus`
      help: did you mean `model.inputs`?
    ");
    assert_snapshot!(told(&["--epochs=many"]), @"--epochs: `trainer.max_epochs`: expected a whole number or null, not the string `many`");
    assert_snapshot!(told(&["trainer.val_check_interval=5 parsecs"]), @r"trainer.val_check_interval: `trainer.val_check_interval`: cannot read `5 parsecs` as a period: `parsecs` is not one of steps, batches, epochs, seconds, minutes, hours, days; write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`");
    assert_snapshot!(told(&["trainer.limit_train_batches=1.5"]), @r"
    trainer.limit_train_batches: `trainer.limit_train_batches`: 1.5 is not a fraction between 0 and 1
      help: a whole number counts batches: `10`, not `10.0`
    ");
    assert_snapshot!(told(&["--model.inputs", "0"]), @r"
    --model.inputs: `model.inputs`: a line needs inputs
      help: use 1 or more
    ");
    assert_snapshot!(told(&["predict"]), @r"
    this program cannot predict
      help: add `Cli::predict`
    ");
    assert_snapshot!(told(&["--trainer.barebones", "0"]), @"--trainer.barebones: `trainer.barebones`: expected `true` or `false`, not the number `0`");
    assert_snapshot!(told(&["-c", "missing.yaml"]), @"missing.yaml: the file does not exist");
    assert!(!folder.path().join("lightning_logs").exists());
    let error = program_of(1).trainer(|trainer| trainer.max_epochs(7)).try_run(&["--epochs", "3"], &[]).unwrap_err();
    assert_snapshot!(error.to_string(), @r"
    --epochs: `trainer.max_epochs` is set in the code of the program, with `Cli::trainer`
      help: set its default with `Cli::trainer_defaults`, so that files and flags can change it
    ");
    let error = program_of(1).alias("e", "trainer.max_epoch").try_run(&[], &[]).unwrap_err();
    assert_snapshot!(error.to_string(), @r"
    the alias `--e`: there is no option `trainer.max_epoch`
      help: did you mean `trainer.max_epochs`?
    ");
}

#[test]
fn a_dry_run_refuses_what_a_run_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    run(program_of(2), root, &["--model.inputs=2"]).unwrap();
    let checkpoint = walk(root).into_iter().find(|path| path.extension().is_some_and(|end| end == "ckpt")).unwrap();
    let checkpoint = format!("--ckpt-path={}", checkpoint.display());
    let lines: [&[&str]; 10] = [
        &["trainer.callbacks=[{name: learning_rate_monitor}]", "trainer.loggers=[]"],
        &["trainer.callbacks=[{name: learning_rate_monitor}]", "trainer.barebones=true"],
        &["trainer.callbacks=[{name: timer, limit: 5 parsecs}]"],
        &["trainer.callbacks=[{name: early_stopping, monitor: nothing}]"],
        &["trainer.callbacks=[{name: model_checkpoint}]", "trainer.enable_checkpointing=false"],
        &["trainer.callbacks=[{name: ema, decay: 0.9}, {name: weight_averaging}]"],
        &["trainer.callbacks=[{name: timer, limit: 1 hour}, {name: timer, limit: 2 hours}]"],
        &["trainer.precision=bf16-mixed"],
        &["trainer.devices=2"],
        &["--model.inputs=1", &checkpoint],
    ];
    let files = walk(root);
    for line in lines {
        let run = |first: &str| run(program_of(2), root, &[&[first, "--model.inputs=2", "--epochs=2"], line].concat());
        assert!(run("--dry-run").is_err(), "{line:?}");
        assert_eq!(walk(root), files, "{line:?}");
        assert!(run("fit").is_err(), "{line:?}");
        let new: Vec<_> = walk(root).into_iter().filter(|path| !files.contains(path)).collect();
        for path in new {
            fs_err::remove_file(path).unwrap();
        }
    }
}

#[test]
fn a_dry_run_refuses_limits_that_its_checkpoint_has_passed() {
    let folder = tempfile::tempdir().unwrap();
    run(program_of(1), folder.path(), &["trainer.max_epochs=2"]).unwrap();
    let told = |words: &[&str]| run(program_of(1), folder.path(), &[words, &["--ckpt-path=last"]].concat());
    for (words, expected) in [
        (&["trainer.max_epochs=1"][..], "trainer.max_epochs: `trainer.max_epochs`: 1 is less than the 2 epochs that `"),
        (&["trainer.max_epochs=2", "trainer.max_steps=3"][..], "trainer.max_steps: `trainer.max_steps`: 3 is less than the 4 steps that `"),
        (&["trainer.fast_dev_run=1"][..], "trainer.fast_dev_run: `trainer.fast_dev_run`: a fit of 1 batch ends before `"),
        (&["trainer.fast_dev_run=3"][..], "trainer.fast_dev_run: `trainer.fast_dev_run`: a fit of 3 batches ends before `"),
    ] {
        let error = told(&[words, &["--dry-run"]].concat()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(told(words).unwrap_err().to_string(), error);
    }
    // It has reached this one.
    printed(told(&["--dry-run", "trainer.max_epochs=2"]));
}

/// A dry run takes one batch of each loader.
#[test]
fn a_dry_run_refuses_a_share_of_less_than_a_batch() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| run(program_of(1), folder.path(), words).unwrap_err().to_string();
    for (command, option) in [("fit", "limit_train_batches"), ("fit", "overfit_batches"), ("test", "limit_test_batches")] {
        let word = format!("trainer.{option}=0.1");
        let expected = format!(
            "trainer.{option}: `trainer.{option}`: 0.1 of 2 batches is less than one\n  help: use at least 0.5000, or a number of batches"
        );
        assert_eq!(told(&[command, &word]), expected);
        assert_eq!(told(&[command, "--dry-run", &word]), expected);
    }
}

#[test]
fn a_time_is_read_alike_by_every_option() {
    let folder = tempfile::tempdir().unwrap();
    let told = |word: &str| run(program_of(1), folder.path(), &[word]).map(drop).map_err(|error| error.to_string());
    let timer = |limit: &str| told(&format!("trainer.callbacks=[{{name: timer, limit: {limit}}}]"));
    let max_time = |limit: &str| told(&format!("trainer.max_time={}", limit.trim_matches('\'')));
    for zero in ["0", "0.0", "'0 s'", "'00:00:00:00'"] {
        let reason = "the limit is zero\n  help: leave it out, or give a longer one";
        assert_eq!(timer(zero), Err(format!("trainer.callbacks: `trainer.callbacks[0]`: {reason}")), "{zero}");
        assert_eq!(max_time(zero), Err(format!("trainer.max_time: `trainer.max_time`: {reason}")), "{zero}");
    }
    // A number is seconds.
    for limit in ["3600", "1.5e3", "'1 hour'"] {
        assert_eq!((timer(limit), max_time(limit)), (Ok(()), Ok(())), "{limit}");
    }
    for (limit, expected) in [
        ("-1", "a number of at least 0, not the number `-1`"),
        (".inf", "a finite number of at least 0, not the number `inf`"),
        (".nan", "a finite number of at least 0, not the number `NaN`"),
    ] {
        assert_eq!(timer(limit), Err(format!("trainer.callbacks: `trainer.callbacks[0].limit`: expected {expected}")));
        assert_eq!(max_time(limit), Err(format!("trainer.max_time: `trainer.max_time`: expected {expected}")));
    }
}

/// A threshold may be infinite. A number in a range is finite.
#[test]
fn infinity_is_a_threshold_but_not_in_a_range() {
    let folder = tempfile::tempdir().unwrap();
    let told = |word: &str| run(program_of(1), folder.path(), &[word]).map(drop).map_err(|error| error.to_string());
    let stops = |option: &str| format!("trainer.callbacks=[{{name: early_stopping, monitor: train_loss, strict: false, {option}}}]");
    for option in ["min_delta: .inf", "stopping_threshold: -.inf", "divergence_threshold: .inf"] {
        assert_eq!(told(&stops(option)), Ok(()), "{option}");
    }
    assert_snapshot!(told(&stops("min_delta: .nan")).unwrap_err(), @r"
    trainer.callbacks: `trainer.callbacks[0].min_delta`: NaN cannot be compared with a metric
      help: leave it out, or give a number
    ");
    assert_snapshot!(told("trainer.gradient_clip_val=.inf").unwrap_err(), @r"
    trainer.gradient_clip_val: `trainer.gradient_clip_val`: inf is not a positive number
      help: leave it out to clip nothing
    ");
    assert_snapshot!(told("trainer.limit_val_batches=.inf").unwrap_err(), @"trainer.limit_val_batches: `trainer.limit_val_batches`: expected a finite number of at least 0, not the number `inf`");
    assert_snapshot!(told("trainer.callbacks=[{name: throughput_monitor, available_flops: .inf}]").unwrap_err(), @r"
    trainer.callbacks: `trainer.callbacks[0].available_flops`: inf is not a number of operations
      help: leave it out, or give a number above 0
    ");
}

#[test]
fn numbers_out_of_range_are_named_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let told = |word: &str| run(program_of(1), folder.path(), &[word, "--dry-run"]).map(drop).map_err(|error| error.to_string());
    let forms = "write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)";
    for (text, reason) in [
        ("true", "it does not start with a digit"),
        ("1_000", "`_000` is not one of seconds, minutes, hours, days"),
        ("1e400", "`e400` is not one of seconds, minutes, hours, days"),
        ("1e308", "it is too long"),
    ] {
        let expected = format!("trainer.max_time: `trainer.max_time`: cannot read `{text}` as a time: {reason}; {forms}");
        assert_eq!(told(&format!("trainer.max_time={text}")), Err(expected));
    }
    assert_snapshot!(told("trainer.callbacks=[{name: early_stopping, monitor: val_loss, patience: 4294967296}]").unwrap_err(), @"trainer.callbacks: `trainer.callbacks[0].patience`: expected a whole number of at most 4294967295, not the number `4294967296`");
    assert_eq!(told("trainer.gradient_clip_val=18446744073709551616"), Ok(()));
}

/// Some are found when the file is read, others when the run starts.
#[test]
fn a_mistake_in_a_callback_has_its_place_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    let told = |callbacks: &str| {
        fs_err::write(&file, format!("trainer:\n  callbacks:\n{callbacks}")).unwrap();
        let error = run(program_of(2), folder.path(), &["-c", file.to_str().unwrap()]).unwrap_err().to_string();
        error.replace(file.to_str().unwrap(), "a.yaml")
    };
    assert_snapshot!(told("  - name: model_checkpoint\n    every: 5\n"), @r"
    a.yaml:4:5: `trainer.callbacks[0].every`: expected a string or null, not the number `5`
      help: for example `50 steps`, `2 epochs`, `0.25 epochs` or `10 minutes`
    ");
    assert_snapshot!(told("  - name: timer\n    limit: 5 parsecs\n"), @"a.yaml:4:5: `trainer.callbacks[0].limit`: cannot read `5 parsecs` as a time: `parsecs` is not one of seconds, minutes, hours, days; write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)");
    assert_snapshot!(told("  - {name: learning_rate_monitor, logging_interval: batch}\n"), @"a.yaml:3:35: `trainer.callbacks[0].logging_interval`: expected `step` or `epoch`, not the string `batch`");
    assert_snapshot!(told("  - {name: ema, decay: 1.5}\n"), @r"
    a.yaml:3:5: `trainer.callbacks[0]`: the decay must be at least 0 and less than 1, not 1.5
      help: use 0.999, for example
    ");
    assert_snapshot!(told("  - {name: weight_averaging, every: 5 minutes}\n"), @r"
    a.yaml:3:30: `trainer.callbacks[0].every`: it counts steps or epochs, not 5 minutes
      help: use `10 steps` or `1 epoch`
    ");
    assert_snapshot!(told("  - {name: gradient_accumulation_scheduler, factors: {0: 0}}\n"), @r"
    a.yaml:3:5: `trainer.callbacks[0]`: epoch 0 accumulates 0 batches
      help: the smallest number is 1, which accumulates nothing
    ");
    assert_snapshot!(told("  - {name: model_checkpoint, save_top_k: 3}\n"), @r"
    a.yaml:3:30: `trainer.callbacks[0].save_top_k`: the best 3 cannot be selected without a metric
      help: name it with `monitor`, or keep all, 1 (the newest) or 0 (none)
    ");
    assert_snapshot!(told("  - name: model_checkpoint\n    monitor: loss\n    filename: '{loss:.x}'\n  - name: model_checkpoint\n"), @r"
    a.yaml:5:5: `trainer.callbacks[0].filename`: unknown format `.x` of `loss`
      help: write it as `{epoch:02d}-{val_loss:.2f}`, with formats `[0][width][.precision][d|f|e]`, and choose the folder with `dirpath`
    ");
    assert_snapshot!(told("  - {name: model_checkpoint, every: 1 epoch}\n  - {name: model_checkpoint, every: 1 epoch}\n"), @r"
    a.yaml:4:5: `trainer.callbacks[1]`: two callbacks save their state as `ModelCheckpoint{monitor: none, mode: min, every: 1 epoch}`
      help: name the entry: `named: mine`
    ");
    assert_snapshot!(told("  - {name: throughput_monitor, window_size: 0}\n"), @r"
    a.yaml:3:32: `trainer.callbacks[0].window_size`: a rate needs 2 batches, not 0
      help: leave it at 100
    ");
    assert_snapshot!(told("  - {name: spike_detection, action: warn, rtol: -1}\n"), @r"
    a.yaml:3:43: `trainer.callbacks[0].rtol`: -1 is not a number from 0 on
      help: leave it out, or give another one
    ");
    assert_snapshot!(told("  - {name: model_pruning, amount: 1.5}\n"), @r"
    a.yaml:3:5: `trainer.callbacks[0]`: 1.5 is not a share from 0 to 1
      help: give a number of weights as an integer
    ");
    assert_snapshot!(told("  - {name: backbone_finetuning, backbone: layer.weight, lambda: -2}\n"), @r"
    a.yaml:3:57: `trainer.callbacks[0].lambda`: -2 is not a number of at least 0
      help: use 0.1, for example
    ");
    assert_snapshot!(told("  - {name: backbone_finetuning, backbone: layer.weight}\n  - {name: backbone_finetuning, backbone: layer.bias}\n"), @r"
    a.yaml:4:5: `trainer.callbacks[1]`: two callbacks save their state as `BackboneFinetuning`
      help: leave one of the entries out: nothing tells the saved states of two of them apart
    ");
    let error = told("  - {name: backbone_finetuning, backbone: layr}\n");
    assert!(
        error.starts_with("a.yaml:3:5: `trainer.callbacks[0]`: `layr` matches no parameter\n  help: similar names are `layer`"),
        "{error}"
    );
    // Either entry can be meant.
    assert_snapshot!(told("  - {name: model_checkpoint, save_top_k: 3}\n  - {name: model_checkpoint, save_top_k: 3, named: b}\n"), @"`ModelCheckpoint::save_top_k`: the best 3 cannot be selected without a metric (in `setup` of `ModelCheckpoint`)");
}

#[test]
fn a_checkpoint_that_does_not_fit_names_the_options() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    run(program_of(3), root, &["--model.inputs=3"]).unwrap();
    let file = root.join("a.yaml");
    fs_err::write(&file, "model: {lr: 0.2, inputs: 2}\n").unwrap();
    for words in
        [&["test", "--ckpt-path=last", "--model.inputs=2", "--model.lr=0.1"][..], &["--ckpt-path=last", "-c", file.to_str().unwrap()]]
    {
        let error = run(program_of(2), root, words).unwrap_err().to_string();
        let source = if words[0] == "test" { "--model.inputs: ".to_owned() } else { format!("{}:1:", file.display()) };
        assert!(
            error.starts_with(&source) && error.contains("layer.weight") && error.contains("`model.inputs` was 3 and is 2 by"),
            "{error}"
        );
        assert!(error.contains("help: leave out `model.inputs`"), "{error}");
    }
}

#[test]
fn a_checkpoint_of_another_program_is_a_mistake_of_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    run(program_of(3), &other, &["--model.inputs=3"]).unwrap();
    let checkpoint = walk(&other).into_iter().find(|path| path.extension().is_some_and(|end| end == "ckpt")).unwrap();
    // It has no options, so those of the checkpoint do not reach its module.
    let batch = || (Tensor::ones([4, 1], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
    let data = move |_: PointsConfig| Ok(Points(Loader::from_batches(vec![batch()]).items_per_batch(4)));
    let module = |(): (), device: &Device| Line::new(LineConfig::default(), device);
    let program = || Cli::new(module, data).alias("quiet", "trainer.enable_progress_bar=false").trainer(|trainer| trainer.max_epochs(2));
    let path = format!("--ckpt-path={}", checkpoint.display());
    for words in [&["test", path.as_str()][..], &["fit", path.as_str()], &["--dry-run", path.as_str()]] {
        let error = program().try_run(&in_folder(folder.path().to_str().unwrap(), words), &[]).unwrap_err().to_string();
        let expected = format!(
            "--ckpt-path: `{}`: the weights do not fit the module: 1 parameter loaded; 1 that do not fit: `layer.weight`",
            checkpoint.display()
        );
        assert!(error.starts_with(&expected), "{words:?}: {error}");
    }
}

/// No option has made it unusable.
#[test]
fn a_damaged_checkpoint_is_not_blamed_on_an_option() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    run(program_of(3), root, &["--model.inputs=3"]).unwrap();
    let checkpoint = walk(root).into_iter().find(|path| path.extension().is_some_and(|end| end == "ckpt")).unwrap();
    let mut bytes = fs_err::read(&checkpoint).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(&checkpoint, bytes).unwrap();
    let path = format!("--ckpt-path={}", checkpoint.display());
    for command in ["test", "fit", "--dry-run"] {
        let error = run(program_of(3), root, &[command, "--model.lr=0.3", &path]).unwrap_err().to_string();
        assert!(error.starts_with("--ckpt-path: ") && error.contains("has a wrong checksum"), "{command}: {error}");
    }
}

/// A callback of the program, which no file names.
#[test]
fn a_callback_without_its_logger_names_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| {
        let program = program_of(1).trainer(|trainer| trainer.callback(stormfire_callbacks::LearningRateMonitor::new()));
        shown(&run(program, folder.path(), words).unwrap_err().to_string(), folder.path())
    };
    for (word, option, cure) in [
        ("trainer.loggers=[]", "trainer.loggers", "add one, or leave the callback out"),
        ("trainer.barebones=true", "trainer.barebones", "leave `barebones` or the callback out"),
    ] {
        let expected = format!("{option}: `{option}`: `LearningRateMonitor` needs a logger, and this run has none\n  help: {cure}");
        assert_eq!(told(&[word]), expected);
        assert_eq!(told(&[word, "--dry-run"]), expected);
    }
    // The loggers of the code are no mistake of the line.
    let program = program_of(1).trainer(Trainer::no_logger);
    let error = run(program, folder.path(), &["trainer.callbacks=[{name: learning_rate_monitor}]"]).unwrap_err().to_string();
    assert_snapshot!(error, @r"
    trainer.callbacks: `trainer.callbacks[0]`: `LearningRateMonitor` needs a logger, and this run has none
      help: add one, or leave the callback out
    ");
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TwoRates {
    lr: f64,
    head: Rate,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Rate {
    lr: f64,
}

#[test]
fn tune_refuses_to_choose_among_several_rates() {
    let data = |(): ()| -> Result<Points> { panic!("data was made") };
    let program = Cli::new(|_: TwoRates, device: &Device| Line::new(LineConfig::default(), device), data);
    assert_snapshot!(program.try_run(&["tune"], &[]).unwrap_err().to_string(), @r"
    `tune.lr`: it may be `model.lr` or `model.head.lr`
      help: choose one, such as `--tune.lr=model.lr`, or none: `--tune.lr=null`
    ");
}

#[test]
fn defaults_that_no_file_can_contain_are_refused() {
    type Pairs = std::collections::BTreeMap<(u8, u8), u8>;
    let data = |(): ()| -> Result<Points> { panic!("data was made") };
    let model = |_: Pairs, device: &Device| Line::new(LineConfig::default(), device);
    let error = Cli::with_defaults(&Pairs::from([((1, 2), 3)]), &(), model, data).try_run(&["--help"], &[]).unwrap_err().to_string();
    let help = "\n  help: use fields that JSON can represent, such as maps with strings as keys";
    assert!(error.starts_with("the defaults of `model`: ") && error.ends_with(help), "{error}");
}

/// Setters and types are for those who write a program.
#[test]
fn no_cure_of_an_option_names_rust() {
    let folder = tempfile::tempdir().unwrap();
    let lines: [&[&str]; 9] = [
        &["tune", "tune.lr_find.min_lr=2"],
        &["tune", "tune.lr_find.num_training=5"],
        &["tune", "tune.lr_find.early_stop_threshold=0.5"],
        &["sweep", "model.lr=1,2", "sweep.pruner={name: asha, first: 0}"],
        &["trainer.val_check_interval=0 steps"],
        &["trainer.on_non_finite=skip:0"],
        &["trainer.callbacks=[{name: model_checkpoint, save_top_k: 3}]"],
        &["trainer.callbacks=[{name: model_checkpoint, every: 0 steps}]"],
        &["trainer.callbacks=[{name: on_exception_checkpoint, dirpath: a, filename: b/c}]"],
    ];
    for line in lines {
        let error = run(program_of(1), folder.path(), line).unwrap_err().to_string();
        assert!(!error.contains("::") && !error.contains("(..)") && !error.contains("`None`"), "{error}");
    }
}

/// Those that no other test has.
#[test]
fn every_refusal_of_a_line_is_explained() {
    let lines: [&[&str]; 19] = [
        &["model.lr"],
        &["start"],
        &["--jobs=0", "-m", "model.lr=1,2"],
        &["--jobs=many", "-m", "model.lr=1,2"],
        &["-m", "--print-config", "model.lr=1,2"],
        &["-m", "model.lr=uniform(0,1)"],
        &["-m", "model.lr=1"],
        &["-m", "model.lr=range(1)"],
        &["-m", "model.lr=1,2", "trainer.default_root_dir=a,b"],
        &["-m", "model.lr=1,2"],
        &["sweep", "model.lr=uniform(1)"],
        &["sweep", "model.lr=int(1)"],
        &["sweep", "model.lr=range(2,1)"],
        &["sweep", "model.lr=1,2", "sweep.search=grid", "sweep.trials=3"],
        &["--model.key"],
        &["tune", "tune.lr_find.min_lr=2"],
        &["tune", "tune.lr_find.max_lr=.inf"],
        &["tune", "tune.scale_batch_size.margin=2"],
        &["tune", "tune.scale_batch_size.init=10000"],
    ];
    let mut table = String::new();
    for line in lines {
        let told = program_of(1).try_run(line, &[]).map(|outcome| format!("{outcome:?}")).map_err(|error| error.to_string());
        let _ = writeln!(table, "{}\n{}\n", line.join(" "), told.unwrap_or_else(|error| error));
    }
    assert_snapshot!("refusals_of_lines", table);
    let sections = program_of(1).section("data", |_: PointsConfig, trainer| Ok(trainer)).try_run(&[], &[]).unwrap_err();
    assert_snapshot!(sections.to_string(), @"the program has two sections `data`");
}
