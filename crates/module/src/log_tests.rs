//! Tests of the records of `log`, and of its misuses.

use burn::tensor::{Device, Int, Tensor};

use super::*;
use stormfire_metrics::aggregation::Sum;
use stormfire_values::Scalar;

fn error_of(hook: Hook, code: impl FnOnce()) -> LogError {
    match capture(hook, code).unwrap_err() {
        Error::Log(error) => error,
        other => panic!("another error: {other}"),
    }
}

#[test]
fn every_kind_of_value_is_taken() {
    let device = Device::flex();
    let ((), captured) = capture(Hook::TrainingStep, || {
        log("f32", 0.5_f32);
        log("i32", -3);
        log("bool", true);
        log("tensor", Tensor::<1>::from_floats([2.0], &device));
        let three = Tensor::<1>::from_floats([3.0], &device);
        log("reference", &three);
        log("matrix", Tensor::<2>::from_floats([[4.0]], &device));
        log("int", Tensor::<1, Int>::from_ints([5], &device));
        let count = Tensor::<2, Int>::from_ints([[9]], &device);
        log("int_reference", &count);
        log(format!("metric_{}", 1), Sum::new(6.0));
        log_dict([("a", 7.0), ("b", 8.0)]).prog_bar(true);
    })
    .unwrap();
    let expected = [
        ("f32", 0.5),
        ("i32", -3.0),
        ("bool", 1.0),
        ("tensor", 2.0),
        ("reference", 3.0),
        ("matrix", 4.0),
        ("int", 5.0),
        ("int_reference", 9.0),
        ("metric_1", 6.0),
        ("a", 7.0),
        ("b", 8.0),
    ];
    for (name, value) in expected {
        assert!((captured.get(name).unwrap() - value).abs() < 1e-9, "{name}");
    }
    assert!(captured.records.iter().all(|r| r.options.prog_bar == (r.name == "a" || r.name == "b")));
}

#[test]
fn a_tape_is_not_kept_alive() {
    let _distant = stormfire_values::read::DistantCpu::new();
    let device = Device::flex().autodiff();
    let loss = Tensor::<1>::from_floats([2.0], &device).require_grad() * 3.0;
    let ((), captured) = capture(Hook::TrainingStep, || {
        log("loss", &loss);
    })
    .unwrap();
    let Logged::Scalar(Scalar::Device(kept)) = &captured.records[0].value else { panic!("not on the device") };
    assert!(!kept.clone().into_tensor().is_autodiff());
}

#[test]
fn nothing_happens_outside_of_a_run() {
    log("loss", 1.0);
    let mut records = Vec::new();
    take_records(&mut records).unwrap();
    assert!(records.is_empty());
}

#[test]
fn levels_follow_the_hook() {
    for &hook in Hook::ALL {
        match hook.log_rule() {
            None => assert_eq!(
                error_of(hook, || {
                    log("x", 1);
                }),
                LogError::NotAllowed { name: "x".into(), hook }
            ),
            Some(rule) => {
                let ((), captured) = capture(hook, || {
                    log("x", 1);
                })
                .unwrap();
                let options = &captured.records[0].options;
                assert_eq!((options.on_step, options.on_epoch), (rule.on_step, rule.on_epoch), "{hook}");
                let on_step = capture(hook, || {
                    log("x", 1).on_step(true).on_epoch(true);
                });
                assert_eq!(on_step.is_ok(), rule.on_step_allowed, "{hook}");
                let off_epoch = capture(hook, || {
                    log("x", 1).on_step(rule.on_step_allowed).on_epoch(false);
                });
                assert_eq!(off_epoch.is_ok(), !rule.epoch_only, "{hook}");
            }
        }
    }
}

#[test]
fn mistakes_name_the_metric_and_the_hook() {
    let device = Device::flex();
    let wide = || {
        log("wide", Tensor::<1>::from_floats([1.0, 2.0], &device));
    };
    let text = error_of(Hook::TrainingStep, wide).to_string();
    assert_eq!(text, "`wide` in `training_step` is a tensor of shape [2], but only one element can be logged");
    let useless = error_of(Hook::TrainingStep, || {
        log("x", 1).on_step(false);
    });
    assert_eq!(useless, LogError::Useless { name: "x".into(), hook: Hook::TrainingStep });
    let reserved = error_of(Hook::ValidationStep, || {
        log("x/dataloader_idx_0", 1);
    });
    assert_eq!(reserved, LogError::ReservedName { name: "x/dataloader_idx_0".into(), hook: Hook::ValidationStep });
    let own = capture(Hook::ValidationStep, || {
        log("x/dataloader_idx_0", 1).add_dataloader_idx(false);
    });
    assert!(own.is_ok());
    assert!(Error::from(useless).hint().is_some());
}

#[test]
fn values_logged_with_a_mistake_are_dropped() {
    let mut records = Vec::new();
    {
        let _entered = scope::enter(Hook::TrainingStep, Moment::default());
        log("good", 1);
        log("bad", 1).on_step(false);
    }
    assert!(take_records(&mut records).is_err());
    for _ in 0..2 {
        take_records(&mut records).unwrap();
        assert!(records.is_empty());
    }
}
