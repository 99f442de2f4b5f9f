//! Problems that users of other command lines report, with the threads of Lightning. None of them occurs here.
//!
//! | complaint | threads | test |
//! |---|---|---|
//! | the order of command and `--config` matters | #19714, #21245, #9663 | `the_order_of_the_words_does_not_matter` |
//! | a typing error is not named, or hidden by a page of usage | #12303, #19999, #11608, #17987 | `a_typing_error_is_two_lines`; of files and variables: `errors_of_files_have_line_and_column`, `a_wrong_variable_is_named` in `layers/tests.rs` |
//! | `--help` crashes or is endless | #20199 | `help_makes_nothing`, `a_page_of_help_is_short` |
//! | a run is refused because `config.yaml` exists | #7679, #17168, #14162, #11256, #17115 | `an_existing_configuration_is_never_a_reason_to_refuse` |
//! | `config.yaml` is in the common folder of all runs | #7679 | `the_common_folder_has_no_configuration` |
//! | `test` needs the options of the model again, sizes do not fit | #20801, #15427, #11463 | `a_checkpoint_suffices_to_test` |
//! | options of a checkpoint win over flags, or break subclasses | #21116, #21246 | `a_checkpoint_is_below_files_variables_and_flags`, `a_variant_comes_from_the_checkpoint` |
//! | links between options need a special language | #20341, #8924, #17346 | `links_between_options_are_plain_rust` |
//! | no sweeps | #16836, wandb #1059 | `agents_write_options_in_both_forms`, all of `searches.rs` |
//! | the finder of learning rates does not see optimizers of files | #16787 | `the_finder_sees_the_optimizer_of_a_file` |
//! | variables are unknown to a command | #12790 | `variables_are_known_to_every_command` |

use stormfire_optim::OptimizerConfig;

use super::*;

/// #19714, #9663: whether a line is understood depends on the order of the command and `--config`.
#[test]
fn the_order_of_the_words_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs_err::write(&file, "model: {lr: 0.5}\n").unwrap();
    let words = ["--print-config=values", "--model.inputs=2", "-c", file.to_str().unwrap(), "fit"];
    let first = printed(program_of(1).try_run(&words, &[]));
    for words in [["fit", "-c", words[3], "--model.inputs=2", words[0]], ["-c", words[3], "fit", words[0], "model.inputs=2"]] {
        assert_eq!(printed(program_of(1).try_run(&words, &[])), first);
    }
    assert!(first.contains("inputs: 2\n  lr: 0.5\n"), "{first}");
}

/// #12303, #19999, #11608: a typing error is not named, or a page of usage hides it.
#[test]
fn a_typing_error_is_two_lines() {
    let error = program_of(1).try_run(&["--trainer.max_epoch=3"], &[]).unwrap_err().to_string();
    assert_eq!(error, "--trainer.max_epoch: there is no option `trainer.max_epoch`\n  help: did you mean `trainer.max_epochs`?");
}

/// #20199: `--help` crashes, because it makes a module.
#[test]
fn help_makes_nothing() {
    let build = |_: LineConfig, _: &Device| -> Result<Line> { panic!("a module was made") };
    let data = |(): ()| -> Result<Points> { panic!("data was made") };
    for flag in ["--help", "--help=all", "--print-config", "--print-schema", "--completion=fish"] {
        printed(Cli::new(build, data).try_run(&[flag], &[]));
    }
}

/// #20199: its page is endless. Rare options are on a separate page.
#[test]
fn a_page_of_help_is_short() {
    let lines = |flag: &str| printed(program_of(1).try_run(&[flag], &[])).lines().count();
    assert!(lines("--help") < 80 && lines("--help=all") > 2 * lines("--help"), "{}", lines("--help"));
}

/// The options of a section whose documentation is longer than a line of a terminal with the usual eighty columns.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Wordy {
    /// A path.
    path: String,
}

impl Default for Wordy {
    fn default() -> Self {
        Self { path: "data/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o.csv".into() }
    }
}

#[test]
fn a_page_of_help_is_as_wide_as_the_terminal() {
    for columns in [50, 60, 80, 120] {
        for flag in ["--help", "--help=all"] {
            let mut program = program_of(1).section("wordy", |_: Wordy, trainer| Ok(trainer));
            program.columns = columns;
            let page = printed(program.try_run(&[flag], &[]));
            let wide: Vec<&str> = page.lines().filter(|line| line.chars().count() > columns).collect();
            assert_eq!(wide, Vec::<&str>::new(), "{columns} {flag}");
        }
    }
}

/// #7679, #17168, #14162: a run is refused, because `config.yaml` exists.
#[test]
fn an_existing_configuration_is_never_a_reason_to_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("lightning_logs/version_0");
    for content in ["model: {lr: 7}", "{broken"] {
        fs_err::create_dir_all(&logs).unwrap();
        fs_err::write(logs.join("config.yaml"), content).unwrap();
        let csv = "trainer.loggers=[{name: csv, version: version_0}]";
        run(program_of(1), folder.path(), &[csv]).unwrap();
        assert_eq!(read(logs.join("config.yaml")), content);
        assert!(read(logs.join("config-2.yaml")).contains("inputs: 1"));
        fs_err::remove_dir_all(folder.path().join("lightning_logs")).unwrap();
    }
}

/// #20801, #15427, #11463: `test` needs the options of the model again, and its sizes do not fit.
#[test]
fn a_checkpoint_suffices_to_test() {
    let folder = tempfile::tempdir().unwrap();
    run(program_of(4), folder.path(), &["--model.inputs=4"]).unwrap();
    for path in ["last", "best"] {
        run(program_of(4), folder.path(), &["test", "--ckpt-path", path]).unwrap();
    }
    // Without it, the module has other sizes.
    assert!(run(program_of(4), folder.path(), &["test"]).is_err());
}

/// #21116: the options of a checkpoint win over flags. Here they are below files and variables, too.
#[test]
fn a_checkpoint_is_below_files_variables_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let file = folder.path().join("a.yaml");
    fs_err::write(&file, "model: {lr: 2}\n").unwrap();
    run(program_of(1), folder.path(), &["--model.lr=1"]).unwrap();
    let lr = |args: &[&str], env: &[(&str, &str)]| {
        let args = [&["--print-config=values", "--ckpt-path=last"], args].concat();
        let text = printed(program_of(1).try_run(&in_folder(root, &args), env));
        text.lines().find_map(|line| line.strip_prefix("  lr: ")).unwrap().to_owned()
    };
    let (file, env) = (["-c", file.to_str().unwrap()], [("STORMFIRE__MODEL__LR", "3")]);
    assert_eq!(lr(&[], &[]), "1");
    assert_eq!(lr(&file, &[]), "2");
    assert_eq!(lr(&file, &env), "3");
    assert_eq!(lr(&[file[0], file[1], "--model.lr=4"], &env), "4");
}

/// #20341, #8924: links between options need a special language.
#[test]
fn links_between_options_are_plain_rust() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let program = Cli::linked(
        |config: LineConfig, data: &Points, device: &Device| {
            let inputs = data.0.batches(stormfire_data::Position::start_of(0), device)?.next();
            let inputs = inputs.transpose()?.map_or(0, |batch| batch.value.0.dims()[1]);
            Line::new(LineConfig { inputs, ..config }, device)
        },
        |(): (), device: &Device| {
            Ok(Points(Loader::from_batches(vec![(Tensor::ones([4, 3], device), Tensor::ones([4, 1], device))]).items_per_batch(4)))
        },
    );
    program.try_run(&["trainer.max_epochs=1", "trainer.enable_progress_bar=false", "--trainer.default_root_dir", root], &[]).unwrap();
}

/// #16836: no sweeps. An agent of W&B starts the program with either form of its `${args}`.
#[test]
fn agents_write_options_in_both_forms() {
    let form = |words: &[&str]| printed(program_of(1).try_run(&[&["--print-config=values"], words].concat(), &[]));
    assert_eq!(form(&["--model.lr=0.01", "--model.inputs=2"]), form(&["model.lr=0.01", "model.inputs=2"]));
    // Also with a short name.
    assert_eq!(form(&["--epochs=3"]), form(&["epochs=3"]));
}

/// #12790: variables are unknown to the parser of a command.
#[test]
fn variables_are_known_to_every_command() {
    for command in ["fit", "validate", "test"] {
        let text = printed(program_of(1).try_run(&[command, "--print-config=values"], &[("STORMFIRE__MODEL__INPUTS", "9")]));
        assert!(text.contains("inputs: 9"), "{text}");
    }
}

#[test]
fn two_flags_of_one_name_and_a_missing_checkpoint_are_refused() {
    for (alias, path) in [("config", "model.lr"), ("lr", "model.lr")] {
        let program = program_of(1).alias("lr", "model.lr").alias(alias, path);
        let error = program.try_run(&["--help"], &[]).unwrap_err().to_string();
        assert_eq!(error, format!("the alias `--{alias}`: there is another flag with this name"));
    }
    let error = program_of(1).try_run(&["test", "--ckpt-path", "missing.ckpt"], &[]).unwrap_err().to_string();
    assert!(error.starts_with("--ckpt-path: ") && error.contains("missing.ckpt"), "{error}");
}

/// #7679: with W&B, `config.yaml` is in the common folder of all runs, and the second run is refused.
#[cfg(feature = "wandb")]
#[test]
fn the_common_folder_has_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        run(program_of(1), folder.path(), &["trainer.loggers=[{name: wandb, offline: true, project: p}]"]).unwrap();
    }
    assert!(!folder.path().join("config.yaml").exists() && folder.path().join("wandb").is_dir(), "{:?}", walk(folder.path()));
    // A logger with a folder of the run has it there.
    run(program_of(1), folder.path(), &["trainer.loggers=[{name: wandb, offline: true, project: p}, {name: csv}]"]).unwrap();
    assert!(folder.path().join("lightning_logs/version_0/config.yaml").is_file());
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ChosenConfig {
    optimizer: OptimizerConfig,
}

impl Default for ChosenConfig {
    fn default() -> Self {
        Self { optimizer: OptimizerConfig::adam_w(1e-3) }
    }
}

/// A module whose optimizer is an option.
#[derive(Module, Debug)]
struct Chosen {
    layer: Linear,
    #[module(skip)]
    config: ChosenConfig,
}

impl LightningModule for Chosen {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, (x, y): Self::Batch, _: usize) -> Result<StepOutput> {
        Ok(MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(self.config.optimizer.build().into())
    }
}

fn chosen(root: &Path, args: &[&str]) -> Result<Outcome> {
    let program = Cli::new(
        |config: ChosenConfig, device: &Device| Ok(Chosen { layer: LinearConfig::new(1, 1).init(device), config }),
        |(): ()| {
            let batch = (Tensor::ones([4, 1], &Device::flex()), Tensor::full([4, 1], 3.0, &Device::flex()));
            Ok(Points(Loader::from_batches(vec![batch; 3]).items_per_batch(4)))
        },
    );
    let quiet = ["trainer.enable_progress_bar=false", "trainer.enable_model_summary=false", "trainer.max_epochs=1", "trainer.seed=1"];
    program.try_run(&[&quiet, &["--trainer.default_root_dir", root.to_str().unwrap()][..], args].concat(), &[])
}

/// #21116, #21246: the classes in a checkpoint are lost, or flags on top of them are.
#[test]
fn a_variant_comes_from_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    chosen(folder.path(), &["--model.optimizer={name: sgd, lr: 0.5, momentum: 0.25}"]).unwrap();
    let options = |args: &[&str]| {
        let text = printed(chosen(folder.path(), &[&["test", "--ckpt-path=last", "--print-config=values"], args].concat()));
        text.lines()
            .skip_while(|line| *line != "  optimizer:")
            .skip(1)
            .take_while(|line| line.starts_with("    "))
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert!(options(&[]).starts_with("name: sgd, lr: 0.5, momentum: 0.25"), "{}", options(&[]));
    assert!(options(&["--model.optimizer.momentum=0.75"]).starts_with("name: sgd, lr: 0.5, momentum: 0.75"));
    let other = options(&["--model.optimizer={name: adam, lr: 1}"]);
    assert!(other.starts_with("name: adam, lr: 1") && !other.contains("momentum"), "{other}");
}

/// #16787: the finder sets a field of the module, and not the optimizer that a file names.
#[test]
fn the_finder_sees_the_optimizer_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs_err::write(&file, "model: {optimizer: {name: sgd, lr: 123.0}}\n").unwrap();
    let outcome = chosen(folder.path(), &["tune", "-c", file.to_str().unwrap(), "tune.lr_find.num_training=30"]).unwrap();
    let Outcome::Tuned(tuned) = outcome else { panic!("{outcome:?}") };
    let (option, rate) = tuned.learning_rate.unwrap();
    assert!(option == "model.optimizer.lr" && rate <= 1.0, "{option}: {rate}");
    // The file that it writes is one on top of the other.
    let files = ["-c", file.to_str().unwrap(), "-c", tuned.config.to_str().unwrap(), "--print-config=values"];
    let text = printed(chosen(folder.path(), &files));
    assert!(text.contains("    name: sgd\n") && !text.contains("123"), "{text}");
}
