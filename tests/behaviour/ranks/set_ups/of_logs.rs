//! Losses, gradients and logged values.

use super::*;

#[test]
fn gradients_on_some_ranks_only() {
    law("some gradients", 2, 13, |trainer| trainer);
    law("some gradients", 3, 13, |trainer| trainer);
}

#[test]
fn frozen_parameters() {
    law("frozen", 2, 13, |trainer| trainer);
}

#[test]
fn nothing_on_odd_batches() {
    law("none on odd", 2, 13, |trainer| trainer);
    law("none on odd", 3, 13, |trainer| trainer);
}

#[test]
fn weights_of_losses() {
    for mode in ["weight 0 on odd", "fractions", "weight 0 at first"] {
        law(mode, 2, 13, |trainer| trainer);
        law(mode, 3, 13, |trainer| trainer);
    }
}

#[test]
fn non_finite_nan_in_short_round_skipped_count() {
    law("nan at 2", 2, 6, |trainer| trainer.on_non_finite("skip:5"));
}

#[test]
fn non_finite_nan_in_full_round() {
    law("nan at 1", 2, 6, |trainer| trainer.on_non_finite("skip:5"));
    law("inf at 1", 2, 6, |trainer| trainer.on_non_finite("skip:5"));
}

#[test]
fn non_finite_other_policies() {
    for mode in ["nan at 1", "nan at 2", "inf at 1"] {
        for policy in ["error", "stop"] {
            let ended = on_ranks(2, mode, || line_data(26, 2), |_, trainer| trainer.on_non_finite(policy));
            eprintln!(
                "{mode} {policy}: {:?}",
                ended.iter().map(|e| e.as_ref().map(|e| (e.progress.clone(), e.stop.clone()))).collect::<Vec<_>>()
            );
            if policy == "stop" {
                let ended: Vec<_> = ended.into_iter().map(|e| e.unwrap()).collect();
                assert_eq!(ended[0].progress, ended[1].progress);
            }
        }
        let ended = on_ranks(2, mode, || line_data(26, 2), |_, trainer| trainer.on_non_finite("off"));
        let bits: Vec<Vec<u32>> = ended.iter().map(|ended| ended.as_ref().unwrap().weights.iter().map(|w| w.to_bits()).collect()).collect();
        assert_eq!(bits[0], bits[1], "{mode}");
        let ended = on_ranks(2, mode, || line_data(26, 2), |_, trainer| trainer.detect_anomaly(true));
        assert!(ended.iter().all(Result::is_err), "{mode}");
    }
}

#[test]
fn odd_values() {
    law("odd values", 2, 11, |trainer| trainer);
    law("odd values", 3, 11, |trainer| trainer);
}

#[test]
fn weights_set_in_setup_are_those_of_rank_zero() {
    let ended = on_ranks(2, "setup", || line_data(12, 2), |_, trainer| trainer);
    let ended: Vec<_> = ended.into_iter().map(|e| e.unwrap()).collect();
    assert_eq!(ended[0].weights, ended[1].weights);
}

#[test]
fn weights_set_in_on_fit_start_are_those_of_rank_zero() {
    let ended = on_ranks(2, "fit start", || line_data(12, 2), |_, trainer| trainer);
    let ended: Vec<_> = ended.into_iter().map(|e| e.unwrap()).collect();
    assert_eq!(ended[0].weights, ended[1].weights);
}

#[test]
fn a_target_network_is_the_same_on_all_ranks() {
    // 6 batches, then 7: in the last round, one rank has no batch.
    for items in [12, 14] {
        let ended = on_ranks(2, "target", || line_data(items, 2), |_, trainer| trainer);
        let ended: Vec<_> = ended.into_iter().map(|e| e.unwrap()).collect();
        assert_eq!(ended[0].weights, ended[1].weights, "{items} items");
    }
}

#[test]
fn several_validation_loaders() {
    for lens in [vec![9, 2, 5], vec![1, 0, 2], vec![0, 0, 3], vec![7, 0]] {
        for world in [2, 3] {
            let data = || (line_data(10, 2), lens.iter().map(|&n| line_data(n, 2)).collect::<Vec<_>>());
            let one = fit("", data(), |trainer| trainer.accumulate_grad_batches(world)).map_err(|e| e.to_string());
            let several = on_ranks(world, "", data, |_, trainer| trainer);
            match one {
                Err(error) => assert!(several.iter().all(Result::is_err), "{error}"),
                Ok(one) => same(&format!("{lens:?}"), &one, &several.into_iter().map(Result::unwrap).collect::<Vec<_>>()),
            }
        }
    }
}

#[test]
fn limits_and_intervals() {
    for every in [Every::Batches(3), Every::Batches(2), Every::Fraction(0.5), Every::Fraction(0.25), Every::Steps(2), Every::Epochs(2)] {
        for world in [2, 3] {
            let data = || (line_data(22, 2), line_data(7, 2));
            let set = |trainer: Trainer<Odd>| trainer.val_check_interval(every).limit_val_batches(3).limit_train_batches(0.8).max_steps(5);
            let one = fit("", data(), |trainer| set(trainer.accumulate_grad_batches(world))).unwrap();
            let several: Vec<_> = on_ranks(world, "", data, |_, trainer| set(trainer)).into_iter().map(|e| e.unwrap()).collect();
            assert_eq!(one.progress, several[0].progress);
            assert_eq!(several[1].weights, several[0].weights);
            if !matches!(every, Every::Batches(_) | Every::Fraction(_)) {
                same(&every.to_string(), &one, &several);
            }
        }
    }
}
