//! Options that change the batches of the loaders.

use insta::assert_snapshot;

use super::errors;

/// A mixed precision casts the batches, and threads divide them.
#[test]
fn options_that_change_batches_need_batches_that_can_be_changed() {
    assert_snapshot!(errors(
        r#"
        #[derive(Clone)]
        struct Own { x: Tensor<2> }
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {
            type Batch = Own;
        }
        #[derive(CastBatch)]
        struct Named { x: Tensor<2>, own: Own }
        fn run() {
            Trainer::<Net>::new().precision("bf16-mixed");
            Trainer::<Net>::new().devices(2);
        }
    "#
    ), @r#"
    error[E0277]: the float tensors of a batch of type `Own` cannot be cast
      struct Named { x: Tensor<2>, own: Own } // `CastBatch` is not implemented for this type
      note: write `#[derive(stormfire::CastBatch)]` above a struct; tensors, and `Option`, `Box`, `Vec` and tuples of batches have it
      note: a field of another type without float tensors needs `#[cast(skip)]`
    error[E0277]: the float tensors of a batch of type `Own` cannot be cast
      Trainer::<Net>::new().precision("bf16-mixed"); // `CastBatch` is not implemented for this type
      note: write `#[derive(stormfire::CastBatch)]` above a struct; tensors, and `Option`, `Box`, `Vec` and tuples of batches have it
      note: a field of another type without float tensors needs `#[cast(skip)]`
    error[E0277]: a batch of type `Own` cannot be divided among threads
      Trainer::<Net>::new().devices(2); // `SplitBatch` is not implemented for this type
      note: write `#[derive(Clone, stormfire::SplitBatch)]` above a struct; tensors, and `Option`, `Box`, `Vec` and tuples of batches have it
      note: a field that lists items, such as `Vec<String>`, needs `#[split(items)]`; one that is the same for all items `#[split(clone)]`
      note: `devices(1)`, the default, needs no `SplitBatch`
    "#);
}
