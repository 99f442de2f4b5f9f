//! Errors, explained variance, correlations.

use std::ops::Range;

use burn::tensor::Tensor;
use stormfire_metrics::regression::{
    cosine_similarity, explained_variance, log_cosh, mae, mape, mse, pearson, r2, rmse, smape, spearman, wmape,
};

use crate::support::{cases, check, check_within};

#[test]
fn regression_equals_torchmetrics() {
    for case in cases("regression") {
        let inputs = |rows: &Range<usize>| -> [Tensor<1>; 2] { ["predictions", "targets"].map(|name| case.floats::<1>(name, rows, &[])) };
        for (key, expected) in case.expected() {
            macro_rules! check {
                ($metric:expr) => {
                    // The digits of a mean of 10,000 that `f32` has.
                    check_within(&case, key, &expected, 1e-4, |rows| {
                        let [p, t] = inputs(&rows);
                        $metric(&p, &t).unwrap()
                    })
                };
            }
            match key {
                "mse" => check!(mse),
                "rmse" => check!(rmse),
                "mae" => check!(mae),
                "mape" => check!(mape),
                "smape" => check!(smape),
                "wmape" => check!(wmape),
                "log_cosh" => check!(log_cosh),
                "r2" => check!(r2),
                "r2/3" => check!(|p, t| r2(p, t).map(|r2| r2.adjusted(3))),
                "explained_variance" => check!(explained_variance),
                "pearson" => check!(pearson),
                "spearman" => check!(spearman),
                "cosine_similarity" => check(&case, key, &expected, |rows| {
                    let [p, t] = ["predictions", "targets"].map(|name| case.floats::<2>(name, &rows, &[]));
                    cosine_similarity(&p, &t).unwrap()
                }),
                _ => panic!("no metric `{key}`"),
            }
        }
    }
}
