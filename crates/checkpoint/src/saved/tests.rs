use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::DType,
};
use serde_json::json;

use super::*;

fn layer() -> Linear {
    LinearConfig::new(2, 3).init(&Device::flex())
}

/// The state as it is read from a checkpoint.
fn through_a_file(saved: &Saved) -> Saved {
    let mut snapshot = Snapshot::default();
    saved.add_to("callbacks/x/", &mut snapshot).unwrap();
    let tensors = snapshot.read().unwrap();
    let plain = |(name, data): (String, TensorData)| (name.strip_prefix("callbacks/x/").unwrap().to_owned(), data);
    Saved::read(saved.json().clone(), tensors.into_iter().map(plain).collect(), &Device::flex())
}

#[test]
fn tensors_and_modules_come_back_with_their_types() {
    let device = Device::flex();
    let (half, whole) = (Tensor::<2>::from_data([[0.5, f32::NAN]], (&device, DType::BF16)), Tensor::<1, Int>::from_ints([3, -4], &device));
    let (mask, line) = (Tensor::<1, Bool>::from_bool(TensorData::from([true, false]), &device), layer());
    let saved = Saved::from(json!({ "updates": 7 }))
        .with_tensor("half", &half)
        .with_plain_tensor("whole", &whole)
        .with_plain_tensor("mask", &mask)
        .with_module("line", &line);
    for mut back in [saved.clone(), through_a_file(&saved)] {
        assert_eq!(back.json(), &json!({ "updates": 7 }));
        let half_back: Tensor<2> = back.take_tensor("half").unwrap().unwrap();
        assert_eq!((half_back.dtype(), half_back.clone().cast(DType::F32).into_data().try_to_vec::<f32>().unwrap()[0]), (DType::BF16, 0.5));
        assert_eq!(back.take_tensor::<1, Int>("whole").unwrap().unwrap().into_data(), whole.clone().into_data());
        assert_eq!(back.take_tensor::<1, Bool>("mask").unwrap().unwrap().into_data().try_to_vec::<bool>().unwrap(), [true, false]);
        assert!(back.take_tensor::<1, Int>("whole").unwrap().is_none(), "it was taken");
        assert_eq!(back.load_module("line", layer()).unwrap().weight.val().into_data(), line.weight.val().into_data());
    }
}

#[test]
fn a_tensor_of_another_rank_or_kind_is_refused_by_name() {
    let saved = Saved::default().with_tensor("mean", &Tensor::<1>::ones([2], &Device::flex()));
    let errors = [saved.clone(), through_a_file(&saved)].map(|saved| {
        let errors = [saved.clone().take_tensor::<2, Float>("mean").unwrap_err(), saved.clone().take_tensor::<1, Int>("mean").unwrap_err()];
        errors.map(|error| error.to_string()).join("\n")
    });
    insta::assert_snapshot!(errors.join("\n\n"), @r"
    the saved tensor `mean` cannot be restored: it was saved with another rank or kind
    the saved tensor `mean` cannot be restored: it was saved with another rank or kind
    
    the saved tensor `mean` cannot be restored: it has 1 dimensions, and 2 are requested
    the saved tensor `mean` cannot be restored: it contains F32, and another kind of tensor is requested
    ");
}

#[test]
fn a_module_that_does_not_fit_is_refused_and_one_that_was_not_saved_stays() {
    let saved = through_a_file(&Saved::default().with_module("line", &layer()));
    let other: Linear = LinearConfig::new(3, 3).init(&Device::flex());
    assert!(matches!(saved.clone().load_module("line", other.clone()), Err(WeightsError::Misfit(_))));
    let same = saved.clone().load_module("no such thing", other.clone()).unwrap();
    assert_eq!(same.weight.val().into_data(), other.weight.val().into_data());
}

#[test]
fn a_later_change_of_a_tensor_is_not_saved() {
    let mut layer = layer();
    let saved = Saved::default().with_module("layer", &layer);
    let before = layer.weight.val().into_data();
    layer.weight = Param::from_tensor(layer.weight.val() + 1.0);
    let mut back = through_a_file(&saved);
    assert_eq!(back.take_tensor::<2, Float>("layer.weight").unwrap().unwrap().into_data(), before);
}
