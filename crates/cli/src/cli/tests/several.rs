//! Several programs, and programs without some of the parts.

use super::*;

/// A module and data without options.
fn plain() -> Cli<Line, Points, (), ()> {
    Cli::new(
        |(): (), device: &Device| Line::new(LineConfig::default(), device),
        |(): ()| {
            let batch = (Tensor::ones([4, 1], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
            Ok(Points(Loader::from_batches(vec![batch]).items_per_batch(4)))
        },
    )
}

#[test]
fn a_program_needs_no_custom_options() {
    let folder = tempfile::tempdir().unwrap();
    let words =
        ["trainer.max_epochs=1", "trainer.enable_progress_bar=false", "--trainer.default_root_dir", folder.path().to_str().unwrap()];
    plain().try_run(&words, &[]).unwrap();
    let logs = folder.path().join("lightning_logs/version_0");
    let config = read(logs.join("config.yaml"));
    assert!(!config.contains("\nmodel:") && !config.contains("\ndata:") && config.contains("\ntrainer:\n"), "{config}");
    plain().try_run(&[&words[..], &["-c", logs.join("config.yaml").to_str().unwrap(), "test", "--ckpt-path=last"]].concat(), &[]).unwrap();
    let error = plain().try_run(&["--model.lr=1"], &[]).unwrap_err().to_string();
    assert_snapshot!(error, @r"
    --model.lr: there is no option `model`
      help: the program has `sweep`, `trainer` or `tune`
    ");
    assert_snapshot!(plain().try_run(&["tune"], &[]).unwrap_err().to_string(), @r"
    `tune` has nothing to find: the program has no option for a learning rate or a batch size
      help: name one: `--tune.lr=model.OPTION`
    ");
    let help = printed(plain().try_run(&["--help"], &[]));
    assert!(!help.contains("--model.") && help.contains("--trainer.max_epochs"), "{help}");
}

#[test]
fn one_process_runs_several_programs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let env = [("A__MODEL__LR", "0.5"), ("B__TRAINER__MAX_STEPS", "1")];
    let words = in_folder(root.to_str().unwrap(), &[]);
    program_of(1).env_prefix("A").try_run(&words, &env).unwrap();
    let second = ["trainer.enable_progress_bar=false", "--trainer.default_root_dir", root.to_str().unwrap()];
    let outcome = plain().env_prefix("B").try_run(&second, &env).unwrap();
    assert!(matches!(outcome, Outcome::Fit(stormfire_trainer::Stop::MaxSteps(1))), "{outcome:?}");
    let config = |version: usize| read(root.join(format!("lightning_logs/version_{version}/config.yaml")));
    assert!(config(0).contains("lr: 0.5\n") && !config(0).contains("max_steps: 1\n"), "{}", config(0));
    assert!(!config(1).contains("lr:") && config(1).contains("max_steps: 1\n"), "{}", config(1));
}

/// Each rank would start all runs.
#[test]
fn several_runs_are_refused_under_a_launcher() {
    for command in ["-m", "sweep"] {
        let words = [command, "model.lr=1,2"].map(str::to_owned);
        let told = stormfire_ranks::threads::run(2, |_| match program_of(1).execute("program", &words, Vec::new()) {
            Err(Ended::Several(runs)) => match runs.run(Path::new("program")) {
                Err(Ended::Usage(error)) => Ok::<_, Error>(error.to_string()),
                other => panic!("{:?}", other.map_err(Ended::into_error)),
            },
            other => panic!("{:?}", other.map_err(Ended::into_error)),
        });
        let expected = "`-m` and `sweep`: 2 ranks would each start all of them\n  help: start them in one process, without a launcher";
        let told: Vec<_> = told.into_iter().map(Result::unwrap).collect();
        assert_eq!(told, [expected, expected], "{command}");
    }
}

/// The folder of each run contains no checkpoint.
#[cfg(unix)]
#[test]
fn several_runs_start_from_the_checkpoint_of_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let words = |command: &[&str]| in_folder(root.to_str().unwrap(), command).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let test = words(&["-m", "test", "--ckpt-path=last", "model.lr=1,2"]);
    let error = match program_of(1).execute("program", &test, Vec::new()) {
        Err(Ended::Usage(error)) => error.to_string(),
        _ => panic!("there is no checkpoint yet"),
    };
    assert!(error.starts_with("--ckpt-path: there is no checkpoint in `"), "{error}");
    run(program_of(1), root, &[]).unwrap();
    let Err(Ended::Several(runs)) = program_of(1).execute("program", &test, Vec::new()) else { panic!("one run") };
    let script = root.join("program.sh");
    fs_err::write(&script, "#!/bin/sh\nfor word; do case $word in --ckpt-path=*) test -f \"${word#--ckpt-path=}\" || exit 1; esac; done\n")
        .unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let (table, is_good) = runs.run(&script).map_err(Ended::into_error).unwrap();
    assert!(is_good, "{table}");
}

/// The folder of the runs has no quotes either.
#[cfg(unix)]
#[test]
fn a_folder_with_a_comma_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--trainer.default_root_dir='{}/a,b'", folder.path().display());
    let Err(Ended::Several(runs)) = program_of(1).execute("program", &strings(&["-m", &root, "model.lr=1,2"]), Vec::new()) else {
        panic!("one run")
    };
    // It is no program, and its runs fail.
    let (table, is_good) = runs.run(Path::new("/bin/false")).map_err(Ended::into_error).unwrap();
    assert!(!is_good && table.starts_with(&format!("2 runs in {}/a,b/multirun_0\n", folder.path().display())), "{table}");
}

#[test]
fn an_evaluation_without_its_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["test", "validate"] {
        let error = run(program_of(1), folder.path(), &[command, "--ckpt-path=last"]).unwrap_err().to_string();
        let help = "\n  help: train first, or give the path of a file";
        assert!(error.starts_with("--ckpt-path: there is no checkpoint in `") && error.ends_with(help), "{command}: {error}");
    }
    // A job that is started again has the same line each time.
    run(program_of(1), folder.path(), &["--ckpt-path=last"]).unwrap();
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `main` of a file with several programs reads them.
#[cfg(unix)]
#[test]
fn the_words_that_select_a_program_come_first_in_its_processes() {
    let folder = tempfile::tempdir().unwrap();
    let (root, words) = (folder.path(), folder.path().join("words"));
    let script = root.join("program.sh");
    fs_err::write(&script, format!("#!/bin/sh\necho \"$1 $2 $3\" >> '{}'\n", words.display())).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (command, expected) in [(["-m", "test"], "examples line test\n"), (["sweep", "--quiet"], "examples line fit\n")] {
        let line = strings(&in_folder(root.to_str().unwrap(), &[command[0], command[1], "model.lr=1,2"]));
        let program = program_of(1).selected_by(["examples", "line"]);
        let Err(Ended::Several(runs)) = program.execute("program", &line, Vec::new()) else { panic!("one run") };
        // The script is not a trial of a sweep.
        let _ = runs.run(&script);
        assert!(read(&words).starts_with(expected), "{}", read(&words));
        fs_err::remove_file(&words).unwrap();
    }
}

#[test]
fn a_selected_program_is_called_by_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let program = || program_of(1).selected_by(["line"]).version("1.2");
    assert!(printed(program().try_run(&["--help"], &[])).contains("\nUsage: program line [fit|"));
    run(program(), folder.path(), &[]).unwrap();
    let config = read(folder.path().join("lightning_logs/version_0/config.yaml"));
    assert!(config.starts_with("# program line --quiet ") && config.contains("\n# by program line 1.2, Stormfire "), "{config}");
}

#[test]
fn the_help_says_what_the_batches_of_a_program_exclude() {
    let (with, without) = (program_of(1).with_devices().with_precision(), program_of(1));
    let (with, without) = (printed(with.try_run(&["--help"], &[])), printed(without.try_run(&["--help"], &[])));
    assert!(with.contains("bf16-mixed") && !with.contains("Cli::with_"), "{with}");
    assert!(!without.contains("bf16-mixed") && without.contains("`Cli::with_devices`"), "{without}");
}
