//! Values that cannot be logged.

use insta::assert_snapshot;

use super::errors;

#[test]
fn a_string_cannot_be_logged() {
    assert_snapshot!(errors(
        r#"
        fn run() {
            log("state", "good");
        }
    "#
    ), @r#"
    error[E0277]: `&str` cannot be logged
      log("state", "good"); // not a number, a tensor of one element, or a `Metric`
      note: log a number, a `Tensor` with one element (`tensor.mean()`), or implement `stormfire::Metric`
      note: required for `&str` to implement `Loggable`
    "#);
}

#[test]
fn a_tensor_of_booleans_cannot_be_logged() {
    assert_snapshot!(errors(
        r#"
        fn run(flags: Tensor<1, Bool>) {
            line().log("flags", flags);
        }
    "#
    ), @r#"
    error[E0277]: `burn::Tensor<1, burn::tensor::Bool>` cannot be logged
      line().log("flags", flags); // not a number, a tensor of one element, or a `Metric`
      note: log a number, a `Tensor` with one element (`tensor.mean()`), or implement `stormfire::Metric`
      note: required for `burn::Tensor<1, burn::tensor::Bool>` to implement `Loggable`
    "#);
}

#[test]
fn a_metric_implements_its_trait() {
    assert_snapshot!(errors(
        "
        #[derive(Clone, Debug)]
        struct Hits(usize);
        fn value(_: impl Metric) {}
        fn run() {
            value(Hits(1));
        }
    "
    ), @"
    error[E0277]: `Hits` is not a `Metric`
      value(Hits(1)); // no result can be computed from values of this type
      note: use a metric such as `accuracy` or `Mean`, or derive `Merge` and implement `Metric::compute`
    ");
}

#[test]
fn a_field_of_a_metric_needs_a_rule_to_merge() {
    assert_snapshot!(errors(
        "
        #[derive(Clone, Debug)]
        struct Hits(usize);
        fn merged(_: impl stormfire::metrics::Merge) {}
        fn run() {
            merged(Hits(1));
        }
    "
    ), @"
    error[E0277]: `Hits` is not `Merge`
      merged(Hits(1)); // values of this type cannot be merged over batches
      note: derive it with `#[derive(Clone, Debug, Merge)]`, or give the field a rule: `#[merge(sum)]`, `max`, `min`, `cat` or `same`
    ");
}
