//! A dry run of `tune`, which tries its first steps.

use insta::assert_snapshot;

use super::*;

/// The mistake that `tune` and its dry run name alike. Neither leaves a file.
fn mistake(words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
    let told = refusal(&[words, &["tune", "--dry-run", &root]].concat());
    assert_eq!(refusal(&[words, &["tune", &root]].concat()), told);
    assert_eq!(walk(folder.path()), Vec::<PathBuf>::new());
    told
}

#[test]
fn it_refuses_what_tune_refuses() {
    assert_snapshot!(mistake(&["tune.batch_size=null", "tune.lr_find.optimizer=Adam"]), @r"
    tune.lr_find.optimizer: `tune.lr_find.optimizer`: there is no optimizer `Adam`; there are: `SGD`
      help: name one of them
    ");
    assert_snapshot!(mistake(&["trainer.limit_train_batches=0"]), @r"
    trainer.limit_train_batches: `trainer.limit_train_batches`: 0 leaves no batch, and a search trains
      help: use 1 or more, or leave it out
    ");
    let error = mistake(&["--tune.batch_size=model.lr"]);
    assert!(error.starts_with("--tune.batch_size: `tune.batch_size`: there is no option `model.lr` that takes a whole number"), "{error}");
    let error = mistake(&["trainer.strategy=mpi"]);
    assert!(error.starts_with("trainer.strategy: `trainer.strategy`: `mpi` needs several processes"), "{error}");
}

/// Two sizes show it.
#[test]
fn it_refuses_data_of_a_fixed_batch_size() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
    let told = |words: &[&str]| {
        let model = |config: NetConfig, device: &Device| Ok(Net { layer: LinearConfig::new(1, 1).init(device), config });
        let fixed = Cli::new(model, |_: ItemsConfig| Ok(Items(2)));
        fixed.try_run(&[words, &["tune", &root, "trainer.enable_progress_bar=false"]].concat(), &[]).unwrap_err().to_string()
    };
    assert_snapshot!(told(&[]), @"`scale_batch_size`: the loader has 16 batches with 2 and with 4 items each");
    assert_eq!(told(&["--dry-run"]), told(&[]));
}

/// The size reaches another option.
#[test]
fn it_refuses_an_option_that_is_no_batch_size() {
    for option in ["model.hidden", "trainer.seed"] {
        let told = mistake(&[&format!("--tune.batch_size={option}"), "tune.lr=null", "trainer.enable_progress_bar=false"]);
        let expected = "the loader has 16 batches with 2 and with 4 items each";
        let help = "name the option that the program gives to `Loader::batch_size`";
        assert_eq!(told, format!("--tune.batch_size: `tune.batch_size`: {expected}\n  help: {help}"));
    }
}

/// The probes have no callbacks, no loggers and no separate validation.
#[test]
fn it_accepts_what_tune_accepts() {
    let monitor = "trainer.callbacks=[{name: learning_rate_monitor}]";
    let short = ["tune", "tune.scale_batch_size.max=4", "tune.lr_find.num_training=40", "tune.lr_find.early_stop_threshold=null"];
    for word in ["trainer.loggers=[]", "trainer.barebones=true", "trainer.limit_val_batches=0.001", "trainer.max_epochs=0"] {
        let folder = tempfile::tempdir().unwrap();
        let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
        let words = [&short[..], &[monitor, word, &root]].concat();
        let text = printed(program().try_run(&[&words[..], &["--dry-run"]].concat(), &[]));
        assert!(text.starts_with("`tune` would run with\n"), "{text}");
        assert_eq!(walk(folder.path()), Vec::<PathBuf>::new());
        let outcome = program().try_run(&words, &[]).unwrap();
        assert!(matches!(outcome, Outcome::Tuned(_)), "{word}: {outcome:?}");
    }
}
