//! The metrics that callbacks monitor, in a dry run.

use insta::assert_snapshot;
use stormfire_callbacks::{EarlyStopping, ModelCheckpoint};

use super::*;

fn root_of(folder: &Path) -> String {
    format!("--{}={}", crate::children::ROOT, folder.display())
}

#[test]
fn a_dry_run_refuses_metrics_that_the_run_does_not_log() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let stop = "trainer.callbacks=[{name: early_stopping, monitor: val_loss}]";
    printed(program().try_run(&["--dry-run", &root, stop], &[]));
    for limit in ["trainer.limit_val_batches=0", "trainer.limit_val_batches=0.0"] {
        let refused = refusal(&["--dry-run", &root, stop, limit]);
        insta::allow_duplicates!(assert_snapshot!(refused, @r"
        trainer.callbacks: `trainer.callbacks[0].monitor`: a batch of each loader has logged no metric `val_loss`
          help: the run has no validation: `trainer.limit_val_batches` is 0
        "));
        // So does the run.
        let error = program().try_run(&[&root, stop, limit], &[]).unwrap_err().to_string();
        assert!(error.starts_with("metric `val_loss` is not available"), "{error}");
    }
}

/// A callback of the program that reads a metric.
struct Reads;

impl Callback<Net> for Reads {
    fn on_validation_end(&mut self, ctx: &mut stormfire_module::Context<'_>, _: &mut Net) -> Result<()> {
        ctx.metric("val_loss").map(drop)
    }
}

/// A rehearsal is barebones, too.
#[test]
fn a_dry_run_of_a_barebones_run_has_no_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let file = "trainer.callbacks=[{name: early_stopping, monitor: val_loss}]";
    let stop = || program().trainer(|trainer| trainer.callback(EarlyStopping::new("val_loss")));
    let reads = || program().trainer(|trainer| trainer.callback(Reads));
    let lines: [&[&str]; 2] = [&[], &["--dry-run"]];
    for dry in lines {
        let words = [&[root.as_str(), "trainer.barebones=true"][..], dry].concat();
        let told = [program().try_run(&[&words[..], &[file]].concat(), &[]), stop().try_run(&words, &[]), reads().try_run(&words, &[])];
        let told = told.map(|told| told.unwrap_err().to_string()).join("\n");
        insta::allow_duplicates!(assert_snapshot!(told, @r"
        trainer.barebones: `trainer.barebones`: nothing is logged, also not the metric `val_loss`, which `EarlyStopping` needs
        trainer.barebones: `trainer.barebones`: nothing is logged, also not the metric `val_loss`, which `EarlyStopping` needs
        trainer.barebones: `trainer.barebones`: nothing is logged, also not the metric `val_loss`, which `Reads` needs
        "));
    }
}

/// `overfit_batches` is the limit of a validation, too.
#[test]
fn a_validation_names_the_limit_that_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let told = refusal(&["validate", &root, "trainer.overfit_batches=0.001"]);
    assert!(told.starts_with("trainer.overfit_batches: `trainer.overfit_batches`: 0.001 of "), "{told}");
    assert_eq!(refusal(&["validate", &root, "--dry-run", "trainer.overfit_batches=0.001"]), told);
}

#[test]
fn a_dry_run_accepts_what_the_run_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let stop = |options: &str| format!("trainer.callbacks=[{{name: early_stopping, {options}}}]");
    for (callbacks, other) in [
        // Its options take the validation in.
        (stop("monitor: val_loss"), "trainer.overfit_batches=1"),
        (stop("monitor: val_loss, strict: false"), "trainer.max_epochs=1"),
        (stop("monitor: step"), "trainer.max_epochs=1"),
        (stop("monitor: epoch"), "trainer.max_epochs=1"),
        // Nothing stops it.
        (stop("monitor: val_los"), "trainer.fast_dev_run=1"),
        (stop("monitor: val_los"), "trainer.max_epochs=0"),
        (stop("monitor: val_los"), "trainer.limit_train_batches=0"),
    ] {
        let words = [root.as_str(), "trainer.limit_val_batches=0", callbacks.as_str(), other];
        printed(program().try_run(&[&words[..], &["--dry-run"]].concat(), &[]));
        program().try_run(&words, &[]).unwrap();
    }
}

#[test]
fn a_dry_run_checks_the_callbacks_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let root = root_of(folder.path());
    let stop = || program().trainer(|trainer| trainer.callback(EarlyStopping::new("val_loss")));
    printed(stop().try_run(&["--dry-run", &root], &[]));
    let error = stop().try_run(&["--dry-run", &root, "trainer.limit_val_batches=0"], &[]).unwrap_err().to_string();
    assert_snapshot!(error, @"trainer.limit_val_batches: `trainer.limit_val_batches`: without a validation there is no metric `val_loss`, which `EarlyStopping` monitors");
    let save = program().trainer(|trainer| trainer.callback(ModelCheckpoint::new().monitor("val_los")));
    let error = save.try_run(&["--dry-run", &root], &[]).unwrap_err();
    assert!(error.to_string().starts_with("metric `val_los` is not available"), "{error}");
    assert_eq!(error.hint().as_deref(), Some("did you mean `val_loss`?"));
    assert_eq!(walk(folder.path()), Vec::<PathBuf>::new());
}
