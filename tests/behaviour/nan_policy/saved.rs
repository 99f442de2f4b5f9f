//! Parameters that are not finite reach no file.

use burn::{module::Param, prelude::*};
use insta::assert_snapshot;
use stormfire::{RequeueSignal, prelude::*};

use super::{Fault, Sick};
use crate::{
    error_text::error_text,
    files::names,
    support::{line_data, quiet},
};

#[test]
fn broken_parameters_are_never_saved() {
    // The three faults: a loss shows it before the next save at step 12, the save comes first, no loss shows it.
    let faults = [(9, Fault::Gradient), (11, Fault::Gradient), (9, Fault::Aside)];
    for (policy, fault, weights_only) in [NonFinite::Error, NonFinite::Stop]
        .into_iter()
        .flat_map(|policy| faults.map(|fault| [(policy, fault, false), (policy, fault, true)]))
        .flatten()
    {
        let folder = tempfile::tempdir().unwrap();
        let saving = ModelCheckpoint::new().every(Every::Steps(4)).dirpath(folder.path()).save_last(true).save_top_k(1);
        let saving = saving.save_weights_only(weights_only);
        let trainer = quiet().enable_checkpointing(true).callback(saving).on_non_finite(policy);
        let outcome = trainer.max_epochs(1).fit(Sick::new(&[fault]), line_data(4000, 2));
        assert_eq!(outcome.is_ok(), policy == NonFinite::Stop);
        assert_eq!(names(folder.path()), ["epoch=0-step=8.ckpt", "last.ckpt"], "{policy} {fault:?}");
        if weights_only {
            continue;
        }
        let fit = quiet().ckpt_path(folder.path().join("last.ckpt")).max_steps(9).fit(Sick::new(&[]), line_data(4000, 2)).unwrap();
        assert!(fit.module.weights().iter().all(|weight| weight.is_finite()));
    }
}

#[test]
fn broken_parameters_are_not_saved_manually() {
    for policy in [NonFinite::Error, NonFinite::Stop, NonFinite::Off] {
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = quiet().max_steps(2).on_non_finite(policy);
        let mut module = trainer.fit(Sick::new(&[]), line_data(40, 2)).unwrap().module;
        trainer.save_checkpoint(&module, folder.path().join("whole.ckpt")).unwrap();
        module.aside = Param::from_tensor(Tensor::from_floats([f32::INFINITY], &Device::flex()));
        let whole = trainer.save_checkpoint(&module, folder.path().join("broken.ckpt"));
        let weights = trainer.save_weights(&module, folder.path().join("weights.ckpt"));
        if policy == NonFinite::Off {
            assert!(whole.is_ok() && weights.is_ok());
            continue;
        }
        let error = error_text(whole);
        insta::allow_duplicates! { assert_snapshot!(error, @"
        a trained parameter is not finite at epoch 1, batch 1 (global step 1); by now these parameters are not finite: `aside`
          hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
        ") };
        assert_eq!(error_text(weights), error);
        assert_eq!(names(folder.path()), ["whole.ckpt"], "{policy}");
    }
}

/// Helper test for a child process. It is interrupted before the NaN is noticed.
#[cfg(unix)]
#[test]
#[ignore = "a part of `an_interrupt_does_not_save_broken_parameters`"]
fn is_interrupted() {
    struct Interrupts;
    impl Callback<Sick> for Interrupts {
        fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut Sick, _output: &StepOutput, batch_idx: usize) -> Result<()> {
            if batch_idx == 5 {
                crate::signals::kill_self("TERM");
            }
            Ok(())
        }
    }
    let Some(folder) = crate::child::folder() else { return };
    // Without a NaN, the interrupt ends the fit as usual.
    let fit = quiet().max_epochs(1).callback(Interrupts).fit(Sick::new(&[]), line_data(40, 2)).unwrap();
    assert_eq!((fit.stop.exit_code(), fit.progress.global_step), (143, 6));
    assert!(stormfire::forget_interrupt().is_some());
    let mut trainer = quiet().max_epochs(1).callback(Interrupts).requeue_signal(RequeueSignal::Term).default_root_dir(&folder);
    let outcome = trainer.fit(Sick::new(&[(3, Fault::Gradient)]), line_data(40, 2));
    assert_snapshot!(error_text(outcome), @"
    the training loss is not finite at epoch 0, batch 4 (global step 4); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    assert!(names(&folder).is_empty());
}

#[test]
#[cfg(unix)]
fn an_interrupt_does_not_save_broken_parameters() {
    crate::child::play(crate::child::part("nan_policy::saved::is_interrupted", tempfile::tempdir().unwrap().path()));
}
