//! Mistakes that end a program with the exit code 2, and their places.

use std::{cell::Cell, rc::Rc};

use burn::module::{Param, ParamId};

use super::*;

/// The text of a mistake.
fn usage(program: Program, root: &Path, words: &[&str]) -> String {
    let words: Vec<String> = in_folder(root.to_str().unwrap(), words).into_iter().map(str::to_owned).collect();
    match program.execute("program", &words, Vec::new()) {
        Err(Ended::Usage(error)) => error.to_string(),
        Err(other) => panic!("{:?}", other.into_error()),
        Ok(outcome) => panic!("{outcome:?}"),
    }
}

fn batch() -> Points {
    let batch = (Tensor::ones([4, 1], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
    Points(Loader::from_batches(vec![batch]).items_per_batch(4))
}

#[test]
fn an_option_of_the_trainer_that_a_run_refuses_has_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (word, expected) in [
        ("trainer.devices=2", "trainer.devices: `trainer.devices`: 2 threads cannot share a batch"),
        ("--trainer.precision=bf16", "--trainer.precision: `trainer.precision`: `bf16-mixed` casts the batches"),
        ("trainer.strategy=mpi", "trainer.strategy: `trainer.strategy`: `mpi` needs several processes"),
        ("trainer.num_nodes=3", "trainer.num_nodes: `trainer.num_nodes`: 3 machines are set"),
        ("trainer.accelerator=metal", "trainer.accelerator: `trainer.accelerator`: accelerator `metal` needs the cargo feature"),
    ] {
        for first in ["fit", "--dry-run"] {
            let error = usage(program_of(1), root, &[first, word]);
            assert!(error.starts_with(expected), "{error}");
        }
    }
    assert!(usage(program_of(1), root, &["trainer.devices=2"]).contains("`Cli::with_devices`"));
    assert!(fs_err::read_dir(root).unwrap().next().is_none(), "{:?}", walk(root));
    let file = root.join("file");
    fs_err::write(&file, "").unwrap();
    let error = usage(program_of(1), &file.join("below"), &["fit"]);
    assert!(error.starts_with("--trainer.default_root_dir: `trainer.default_root_dir`: "), "{error}");
    // A default is not a mistake of the user.
    let program = program_of(1).trainer_defaults(TrainerConfig { num_nodes: Some(3), ..TrainerConfig::default() });
    let error = run(program, root, &[]).unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
}

#[test]
fn a_logger_that_cannot_write_has_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let below = file.join("below").display().to_string();
    for (loggers, expected) in [
        (format!("[{{name: csv, save_dir: {below}}}]"), "trainer.loggers: `trainer.loggers[0].save_dir`: failed to create directory `"),
        (
            format!("[{{name: csv}}, {{name: tensor_board, save_dir: {below}}}]"),
            "trainer.loggers: `trainer.loggers[1].save_dir`: failed to create directory `",
        ),
    ] {
        let error = usage(program_of(1), folder.path(), &[&format!("trainer.loggers={loggers}")]);
        let help = "\n  help: a file is in the way of a log folder; move it or choose another `save_dir`";
        assert!(error.starts_with(expected) && error.ends_with(help), "{error}");
    }
    let error = usage(program_of(1), folder.path(), &["trainer.loggers=[{name: csv, save_dir: 'ftp://x/y'}]"]);
    assert!(error.starts_with("trainer.loggers: `trainer.loggers[0].save_dir`: `ftp://…` cannot be used: "), "{error}");
    let error = usage(program_of(1), Path::new(&below), &["trainer.loggers=[{name: csv}]"]);
    assert!(error.starts_with("--trainer.default_root_dir: `trainer.default_root_dir`: failed to create directory `"), "{error}");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1, "{:?}", walk(folder.path()));
}

#[test]
fn a_dry_run_names_the_same_place_as_the_run() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        ["trainer.callbacks=[{name: timer, limit: 1 hour}, {name: timer, limit: 2 hours}]", "fit"],
        ["trainer.callbacks=[{name: model_checkpoint}]", "trainer.enable_checkpointing=false"],
        ["trainer.callbacks=[{name: learning_rate_monitor}]", "trainer.loggers=[]"],
    ] {
        let told = |first: &str| usage(program_of(1), folder.path(), &[&[first], &words[..]].concat());
        let error = told("--dry-run");
        assert_eq!(error, told("fit"));
        assert!(error.starts_with("trainer."), "{error}");
    }
    // A `fast_dev_run` needs no logger.
    let monitor = "trainer.callbacks=[{name: learning_rate_monitor}]";
    printed(run(program_of(1), folder.path(), &["--dry-run", monitor, "trainer.loggers=[]", "trainer.fast_dev_run=1"]));
}

#[test]
fn a_panic_in_a_function_of_the_program_is_an_error() {
    let told = |program: Program| program.try_run(&["trainer.enable_progress_bar=false"], &[]).unwrap_err().to_string();
    let model = |_: LineConfig, _: &Device| -> Result<Line> { panic!("capacity overflow") };
    assert_eq!(told(Cli::new(model, |_: PointsConfig| Ok(batch()))), "the function that makes `model` panicked: capacity overflow");
    let data = |_: PointsConfig| -> Result<Points> { panic!("capacity overflow") };
    assert_eq!(told(Cli::new(Line::new, data)), "the function that makes `data` panicked: capacity overflow");
    let program = program_of(1).section("stop", |_: PointsConfig, _| panic!("no stop"));
    assert_eq!(told(program), "the function that makes `stop` panicked: no stop");
}

/// burn initializes parameters when the run starts.
#[test]
fn a_panic_in_the_initialization_of_parameters_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = |config: LineConfig, device: &Device| -> Result<Line> {
        let mut line = Line::new(config, device)?;
        let weight = |_: &Device, _: bool| -> Tensor<2> { panic!("capacity overflow") };
        line.layer.weight = Param::uninitialized(ParamId::new(), weight, device.clone(), true, [1_usize, 1].into());
        Ok(line)
    };
    let program = || Cli::new(model, |_: PointsConfig| Ok(batch())).alias("quiet", "trainer.enable_progress_bar=false");
    for command in ["fit", "test", "tune"] {
        let error = run(program(), folder.path(), &[command]).unwrap_err().to_string();
        assert_eq!(error, "the parameters of the module cannot be initialized: capacity overflow", "{command}");
    }
}

#[test]
fn mistakes_of_several_runs_are_named_before_the_first_one() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| usage(program_of(1), folder.path(), &[&["-m"], words].concat());
    assert_snapshot!(told(&["predict", "model.lr=1,2"]), @r"
    this program cannot predict
      help: add `Cli::predict`
    ");
    assert_snapshot!(told(&["trainer.min_epochs=5", "trainer.max_epochs=6,4"]), @r"
    trainer.min_epochs: `trainer.min_epochs`: 5 is more than `max_epochs` = 4
      help: lower one of them
    ");
    let off = "trainer.enable_checkpointing=false";
    let lines: [(&[&str], &str); 8] = [
        // What the start of each run finds without a module.
        (&["trainer.strategy=auto,mpi"], "trainer.strategy: `trainer.strategy`: `mpi` needs several processes"),
        (&["trainer.accelerator=cpu,metal"], "trainer.accelerator: `trainer.accelerator`: accelerator `metal` needs the cargo feature"),
        (&["trainer.devices=1,2"], "trainer.devices: `trainer.devices`: 2 threads cannot share a batch"),
        (
            &[off, "trainer.callbacks=[],[{name: model_checkpoint}]"],
            "trainer.enable_checkpointing: `trainer.enable_checkpointing`: it is off",
        ),
        (&["trainer.max_time=5 parsecs,6 parsecs"], "trainer.max_time: `trainer.max_time`: "),
        (&["trainer.callbacks=[{name: timer, limit: 5 parsecs}],[]"], "trainer.callbacks: `trainer.callbacks[0].limit`: "),
        (&["tune", "model.inputs=1,2", "--tune.lr=model.lrr"], "--tune.lr: `tune.lr`: there is no option `model.lrr`"),
        (&["test", "--ckpt-path=last", "model.lr=1,2", "model.lrr=3"], "model.lrr: there is no option `model.lrr`"),
    ];
    for (words, expected) in lines {
        let error = told(words);
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(walk(folder.path()), Vec::<std::path::PathBuf>::new());
}

#[cfg(unix)]
#[test]
fn an_unwritable_folder_of_several_runs_has_its_source() {
    let folder = tempfile::tempdir().unwrap();
    // No folder can be created in its place.
    let link = folder.path().join("link");
    fs_err::os::unix::fs::symlink(folder.path().join("missing/folder"), &link).unwrap();
    let told = |root: &Path, words: &[&str]| {
        let words: Vec<String> = in_folder(root.to_str().unwrap(), words).into_iter().map(str::to_owned).collect();
        let Err(Ended::Several(runs)) = program_of(1).execute("program", &words, Vec::new()) else { panic!("one run") };
        match runs.run(Path::new("program")) {
            Err(Ended::Usage(error)) => error.to_string(),
            Err(other) => panic!("{:?}", other.into_error()),
            Ok((table, _)) => panic!("{table}"),
        }
    };
    let of_sweep = format!("--sweep.folder={}", link.display());
    for (root, words, expected) in [
        (link.as_path(), &["-m", "model.lr=1,2"][..], "--trainer.default_root_dir: `trainer.default_root_dir`: failed to create"),
        (link.as_path(), &["sweep", "model.lr=1,2"], "--trainer.default_root_dir: `trainer.default_root_dir`: failed to create"),
        (folder.path(), &["sweep", "model.lr=1,2", of_sweep.as_str()], "--sweep.folder: `sweep.folder`: failed to create"),
    ] {
        let error = told(root, words);
        assert!(error.starts_with(expected) && error.ends_with("\n  help: choose a folder that can be written to"), "{error}");
    }
}

/// A child has another standard input.
#[cfg(unix)]
#[test]
fn several_runs_do_not_read_a_pipe_or_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("in.yaml");
    fs_err::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let link = link.to_str().unwrap();
    for words in [["-m", "-c", link], ["sweep", "-c", link], ["-m", "-c", "/dev/stdin"]] {
        let error = usage(program_of(1), folder.path(), &[&words[..], &["model.lr=1,2"]].concat());
        let expected = "it is a pipe or a device, and each of several runs reads the file\n  help: write it to a file, such as `base.yaml`";
        assert_eq!(error, format!("{}: {expected}", words[2]));
    }
    // Trials of a batch size start the line again.
    let in_children = "--tune.scale_batch_size.in_child_process=true";
    let tunes = ["tune", "-c", link, "--tune.lr=null", "--tune.batch_size=data.batches", in_children];
    assert!(usage(program_of(1), folder.path(), &tunes).contains("it is a pipe or a device"));
    let mut child = program_of(1);
    child.is_child = true;
    assert!(usage(child, folder.path(), &["-c", link]).contains("it is a pipe or a device"));
    run(program_of(1), folder.path(), &["-c", link]).unwrap();
}

#[test]
fn tune_checks_its_folder_before_it_searches() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let made = Rc::new(Cell::new(0));
    let counted = Rc::clone(&made);
    let data = move |_: PointsConfig| -> Result<Points> {
        counted.set(counted.get() + 1);
        Ok(batch())
    };
    let error = usage(Cli::new(Line::new, data).alias("quiet", "trainer.enable_progress_bar=false"), &file, &["tune"]);
    assert!(error.starts_with("--trainer.default_root_dir: `trainer.default_root_dir`: "), "{error}");
    assert_eq!(made.get(), 1);
    // A search that fails leaves no folder.
    let wrong = |config: LineConfig, device: &Device| Line::new(LineConfig { inputs: 2, ..config }, device);
    let program = Cli::new(wrong, |_: PointsConfig| Ok(batch())).alias("quiet", "trainer.enable_progress_bar=false");
    run(program, &folder.path().join("new/deep"), &["tune"]).unwrap_err();
    assert_eq!(walk(folder.path()), [file]);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_name_is_suggested_within_its_own_section() {
    let folder = tempfile::tempdir().unwrap();
    let told = |words: &[&str]| usage(program_of(1), folder.path(), words);
    assert_snapshot!(told(&["--data.folder=x"]), @r"
    --data.folder: there is no option `data.folder`
      help: `data` has `batches`
    ");
    assert_snapshot!(told(&["--nope"]), @r"
    there is no flag `--nope`
      help: `--help` lists the options
    ");
    for flag in ["--model-lr=3", "--model_lr=3"] {
        let name = &flag[..flag.len() - 2];
        assert_eq!(told(&[flag]), format!("there is no flag `{name}`\n  help: did you mean `--model.lr`?"));
    }
    let file = folder.path().join("a.yaml");
    fs_err::write(&file, "epochs: 3\n").unwrap();
    assert_snapshot!(shown(&told(&["-c", file.to_str().unwrap()]), folder.path()), @r"
    ROOT/a.yaml:1:1: there is no option `epochs`
      help: did you mean `trainer.max_epochs`?
    ");
    assert_snapshot!(told(&["-c", "-"]), @r"
    -: the file does not exist
      help: the standard input is `/dev/stdin`
    ");
    let variables = [("STORMFIRE__EPOCHS", "3"), ("STORMFIRE__QUIET", "true")];
    assert_snapshot!(program_of(1).try_run(&[], &variables).unwrap_err().to_string(), @r"
    STORMFIRE__EPOCHS: there is no option `epochs`
      help: did you mean `STORMFIRE__TRAINER__MAX_EPOCHS`?
    STORMFIRE__QUIET: there is no option `quiet`
      help: did you mean `STORMFIRE__TRAINER__ENABLE_PROGRESS_BAR`?
    ");
}

#[test]
fn all_mistakes_of_a_line_are_named_at_once() {
    let words = ["--nope=1", "-c", "missing.yaml", "--model.lrr=2", "--dry-run=yes"];
    let error = program_of(1).try_run(&words, &[("STORMFIRE__FOO", "1")]).unwrap_err().to_string();
    assert_snapshot!(error, @r"
    there is no flag `--nope`
      help: `--help` lists the options
    the flag `--dry-run` takes no value
    missing.yaml: the file does not exist
    STORMFIRE__FOO: there is no option `foo`
    --model.lrr: there is no option `model.lrr`
      help: did you mean `model.lr`?
    ");
    // The checkpoint may have other options of the model, but not this one.
    let words = ["--ckpt-path=missing.ckpt", "trainer.foo=1", "--model.lrr=2", "trainer.max_epochs=many"];
    let error = program_of(1).try_run(&words, &[]).unwrap_err().to_string();
    for expected in ["no option `trainer.foo`", "no option `model.lrr`", "`trainer.max_epochs`: expected a whole number"] {
        assert!(error.contains(expected), "{error}");
    }
}

/// Also if nothing else of the line can be used.
#[test]
fn help_is_printed_next_to_any_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let program = || Program { undecodable: vec!["STORMFIRE__MODEL__LR".to_owned()], ..program_of(1) };
    let told = |words: &[&str]| usage(program(), folder.path(), words);
    assert_snapshot!(told(&["--nope"]), @r"
    there is no flag `--nope`
      help: `--help` lists the options
    STORMFIRE__MODEL__LR: the variable is not UTF-8
    ");
    let help = printed(program_of(1).try_run(&["--help"], &[]));
    for words in [&["--nope", "-h"][..], &["--print-config", "--print-schema", "--help"], &["--jobs=2", "--help"]] {
        assert_eq!(printed(program().try_run(words, &[])), help, "{words:?}");
    }
}

/// A signal is that of the whole process.
#[cfg(unix)]
#[test]
#[ignore = "a part of `a_signal_is_the_end_of_each_command`"]
fn a_signal_arrives() {
    if std::env::var_os("STORMFIRE_TEST_SIGNAL").is_none() {
        return;
    }
    let watch = stormfire_trainer::for_tuner::SignalWatch::install(None);
    let other = super::super::run::interrupted(Error::other("a file is missing")).unwrap_err();
    assert_eq!(other.to_string(), "a file is missing");
    let status = std::process::Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    assert!(status.success());
    while watch.received().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let stop = super::super::run::interrupted(watch.received().unwrap().into()).unwrap();
    assert_eq!(stop.exit_code(), 143);
}

#[cfg(unix)]
#[test]
fn a_signal_is_the_end_of_each_command() {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "cli::tests::usage::a_signal_arrives", "--ignored"]).env("STORMFIRE_TEST_SIGNAL", "1");
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
