//! Data that does not fit to the module.

use insta::assert_snapshot;

use super::errors;

#[test]
fn a_vector_of_batches_is_not_data() {
    assert_snapshot!(errors(
        "
        fn run(batches: Vec<(Tensor<2>, Tensor<2>)>) {
            Trainer::new().fit(line(), batches);
        }
    "
    ), @"
    error[E0277]: `Vec<(burn::Tensor<2>, burn::Tensor<2>)>` is not a data module
      Trainer::new().fit(line(), batches); // not a `Loader`, a pair `(train, val)` of them, or a `DataModule`
      note: make a loader of batches with `Loader::from_batches` or of a dataset with `Loader::collate`, or implement `DataModule`
    ");
}

#[test]
fn the_batches_of_the_data_are_those_of_the_module() {
    assert_snapshot!(errors(
        "
        fn run(images: Loader<Tensor<4>>) {
            Trainer::new().fit(line(), images);
        }
    "
    ), @"
    error[E0271]: type mismatch resolving `<Loader<Tensor<4>> as DataModule>::Batch == (Tensor<2>, Tensor<2>)`
      Trainer::new().fit(line(), images); // expected `(Tensor<2>, Tensor<2>)`, found `Tensor<4>`
      note: expected tuple `(burn::Tensor<2>, burn::Tensor<2>)`
      found struct `burn::Tensor<4>`
    ");
}

#[test]
fn the_batches_of_the_validation_are_those_of_the_training() {
    assert_snapshot!(errors(
        "
        fn run(images: Loader<Tensor<4>>) {
            Trainer::new().fit(line(), (data(), images));
        }
    "
    ), @"
    error[E0277]: the trait bound `Loaders<(burn::Tensor<2>, burn::Tensor<2>)>: From<stormfire::Loader<burn::Tensor<4>>>` is not satisfied
      Trainer::new().fit(line(), (data(), images)); // the trait `From<stormfire::Loader<burn::Tensor<4>>>` is not implemented for `Loaders<(burn::Tensor<2>, burn::Tensor<2>)>`
      note: required for `stormfire::Loader<burn::Tensor<4>>` to implement `Into<Loaders<(burn::Tensor<2>, burn::Tensor<2>)>>`
      note: required for `(stormfire::Loader<(burn::Tensor<2>, burn::Tensor<2>)>, stormfire::Loader<burn::Tensor<4>>)` to implement `DataModule`
    ");
}

#[test]
fn an_empty_loader_needs_a_type() {
    assert_snapshot!(errors(
        "
        fn run() {
            let loader = Loader::from_batches(Vec::new());
        }
    "
    ), @"
    error[E0283]: type annotations needed for `stormfire::Loader<_>`
      let loader = Loader::from_batches(Vec::new());
      note: cannot satisfy `_: Send`
    ");
}

#[test]
fn a_batch_can_be_sent_to_another_thread() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {
            type Batch = std::rc::Rc<f32>;
        }
    "
    ), @"
    error[E0277]: `Rc<f32>` cannot be sent between threads safely
      type Batch = std::rc::Rc<f32>; // `Rc<f32>` cannot be sent between threads safely
    ");
}
