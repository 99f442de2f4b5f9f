//! The options that `tune` finds values for.

use insta::assert_snapshot;

use super::*;

#[test]
fn tune_finds_values_that_their_options_take() {
    let error = refusal(&["tune", "--tune.lr=model.hidden"]);
    assert!(error.starts_with("--tune.lr: `tune.lr`: there is no option `model.hidden` that takes a number"), "{error}");
    let error = refusal(&["tune", "--tune.lr=null", "--tune.batch_size=null"]);
    assert!(error.contains("`tune.lr` and `tune.batch_size` are null"), "{error}");
}

/// Only the module makes the optimizer.
#[test]
fn the_learning_rate_is_an_option_of_the_model() {
    let told = |option: &str| refusal(&["tune", &format!("--tune.lr={option}")]);
    assert_snapshot!(told("trainer.gradient_clip_val"), @r"
    --tune.lr: `tune.lr`: `trainer.gradient_clip_val` is not an option of `model`
      help: it may be `model.lr`
    ");
    assert_snapshot!(told("tune.lr_find.min_lr"), @r"
    --tune.lr: `tune.lr`: `tune.lr_find.min_lr` is not an option of `model`
      help: it may be `model.lr`
    ");
    assert_snapshot!(told("lr"), @r"
    --tune.lr: `tune.lr`: there is no option `lr` that takes a number
      help: did you mean `model.lr`?
    ");
    assert_snapshot!(told("model.nope"), @r"
    --tune.lr: `tune.lr`: there is no option `model.nope` that takes a number
      help: it may be `model.lr`
    ");
    assert_snapshot!(refusal(&["tune", "--tune.batch_size=size"]), @r"
    --tune.batch_size: `tune.batch_size`: there is no option `size` that takes a whole number
      help: it may be `data.batch_size`
    ");
}
