//! Mistakes in a module and its steps.

use insta::assert_snapshot;

use super::errors;

#[test]
fn a_burn_module_without_steps_cannot_be_trained() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        fn run(net: Net) {
            Trainer::new().fit(net, data());
        }
    "
    ), @"
    error[E0277]: `Net` is not a `LightningModule`
      Trainer::new().fit(net, data()); // a module of this type cannot be trained
      note: derive burn's `Module` for it, and write `impl LightningModule for Net` with its `Batch` and its steps
    ");
}

#[test]
fn a_module_names_the_type_of_its_batches() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {}
    "
    ), @"
    error[E0046]: not all trait items implemented, missing: `Batch`
      impl LightningModule for Net {} // missing `Batch` in implementation
    ");
}

#[test]
fn a_step_returns_a_result() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {
            type Batch = Tensor<1>;
            fn training_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
                batch
            }
        }
    "
    ), @"
    error[E0308]: mismatched types
      batch // expected `Result<StepOutput, Error>`, found `Tensor<1>`
      note: expected enum `std::result::Result<stormfire::StepOutput, stormfire::Error>`
     found struct `burn::Tensor<1>`
    ");
}

#[test]
fn a_module_without_a_predict_step_does_not_predict() {
    assert_snapshot!(errors(
        "
        fn run() {
            Trainer::new().predict(&line(), data());
        }
    "
    ), @"
    error[E0277]: `Line` is not a `PredictModule`
      Trainer::new().predict(&line(), data()); // a module of this type cannot predict
      note: write `impl PredictModule for Line` with its `Prediction` and its `predict_step`
    ");
}

#[test]
fn an_optimizer_needs_a_learning_rate() {
    assert_snapshot!(errors(
        "
        fn run() {
            Optimizer::new(SgdConfig::new());
        }
    "
    ), @"
    error[E0061]: this function takes 2 arguments but 1 argument was supplied
      Optimizer::new(SgdConfig::new());
    ");
}

#[test]
fn predictions_need_something_that_takes_them() {
    assert_snapshot!(errors(
        "
        fn taken(_: impl stormfire::module::prediction_sink::PredictionSink<f32>) {}
        fn run() {
            taken(3);
        }
    "
    ), @r"
    error[E0277]: `{integer}` cannot take predictions of type `f32`
      taken(3); // takes no `Predicted<f32>`
      note: give a closure: `|predicted: Predicted<_>| { ..; Ok(()) }`, or a `PredictionWriter`
      note: required for `{integer}` to implement `PredictionSink<f32>`
    ");
}

/// The compiler has one error for each missing trait. All have the same lines at their beginning.
#[test]
fn a_section_of_options_derives_its_traits() {
    let told = errors(
        "
        struct Options { width: usize }
        fn section<T: stormfire::cli::Section>() {}
        fn run() {
            section::<Options>();
        }
    ",
    );
    assert_snapshot!(told.lines().take(3).collect::<Vec<_>>().join("\n"), @"
    error[E0277]: `Options` is not a section of a configuration
      section::<Options>(); // does not implement `Default`, `Serialize`, `Deserialize` and `JsonSchema`
      note: derive `Serialize`, `Deserialize` and `JsonSchema` for it, with `#[serde(default, deny_unknown_fields)]`, and implement `Default`
    ");
}
