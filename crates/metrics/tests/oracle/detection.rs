//! Objects in images, compared with pycocotools. Its numbers are in a file, because nothing else needs pycocotools.

use std::{ops::Range, process::Command};

use burn::tensor::{DType, Device, FloatDType, Int, IntDType, Tensor, TensorData};
use serde_json::Value;
use stormfire_metrics::{
    Metric,
    detection::{Detection, Found, Objects, detection},
};

use crate::support::{Case, cases_of, check, flat};

fn all() -> Vec<Case> {
    cases_of(include_str!("detection.json"))
}

fn floats<const D: usize>(value: &Value, dims: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(flat(value), dims).convert_dtype(DType::F32);
    Tensor::from_data(data, (&Device::flex(), DType::F32))
}

fn ints(value: &Value) -> Tensor<1, Int> {
    let values: Vec<i64> = flat(value).into_iter().map(|value| value as i64).collect();
    Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &Device::flex())
}

fn of(case: &Case, images: Range<usize>) -> Detection {
    let image = |index: usize| {
        let of = |name: &str| case.input(name)[index].clone();
        let (found, objects) = (of("scores").as_array().unwrap().len(), of("classes").as_array().unwrap().len());
        let found = Found::new(&floats(&of("found"), [found, 4]), &floats(&of("scores"), [found]), &ints(&of("found_classes"))).unwrap();
        let truth = Objects::new(&floats(&of("objects"), [objects, 4]), &ints(&of("classes"))).unwrap();
        let truth = truth.crowd(&ints(&of("crowd"))).unwrap();
        let has_areas = case.option("areas").as_bool().unwrap();
        (found, if has_areas { truth.areas(&floats(&of("areas"), [objects])).unwrap() } else { truth })
    };
    detection(images.map(image), case.number("classes") as usize).unwrap()
}

#[test]
fn detection_equals_pycocotools() {
    let cases = all();
    assert_eq!(cases.len(), 12);
    for case in &cases {
        for (key, expected) in case.expected() {
            match key {
                "summary" => check(case, key, &expected, |images| of(case, images).summary()),
                "per_class" => check(case, key, &expected, |images| of(case, images).per_class()),
                _ => check(case, key, &expected, |images| of(case, images).map()),
            }
        }
    }
}

#[test]
fn invalid_boxes_are_refused_or_nan() {
    let device = Device::flex();
    let boxes = |left: f32| Tensor::<2>::from_floats([[left, 0.0, 2.0, 2.0]], &device);
    let scores = Tensor::<1>::from_floats([0.5], &device);
    let class = |class: i32| Tensor::<1, Int>::from_ints([class], &device);
    let error = Found::new(&boxes(0.0), &scores, &Tensor::<1, Int>::from_ints([1, 2], &device)).unwrap_err();
    assert_eq!(error.to_string(), "`Found::new`: there are 1 boxes and 2 classes");
    let narrow = Tensor::<2>::from_floats([[0.0, 1.0, 2.0]], &device);
    assert_eq!(Objects::new(&narrow, &class(0)).unwrap_err().to_string(), "`Objects::new`: the boxes have the shape [1, 3]");
    assert!(detection([], 0).is_err());
    let map = |left: f32, found: i32| {
        let found = Found::new(&boxes(left), &scores, &class(found)).unwrap();
        let objects = Objects::new(&boxes(0.0), &class(0)).unwrap();
        detection([(found, objects)], 2).unwrap().map().read().unwrap()
    };
    assert!(map(f32::NAN, 0).is_nan() && map(0.0, 2).is_nan() && map(0.0, -1).is_nan());
    assert!((map(0.0, 0) - 1.0).abs() < 1e-9);
    let named = detection([], 2).unwrap().names(["cat", "dog"]).unwrap().per_class().read().unwrap();
    assert!(named.get("dog").is_some_and(f64::is_nan) && detection([], 2).unwrap().names(["cat"]).is_err());
}

const PART: &str = "STORMFIRE_METRICS_PART";

/// The type of a device is set once in a process, before its first tensor.
#[test]
#[ignore = "a part of `classes_above_256_are_right_on_a_device_in_bf16`"]
fn in_bf16() {
    if std::env::var_os(PART).is_none() {
        return;
    }
    let mut device = Device::flex();
    device.configure((FloatDType::BF16, IntDType::I32)).unwrap();
    let boxes = Tensor::<2>::from_floats([[0.0, 0.0, 8.0, 8.0], [16.0, 0.0, 24.0, 8.0]], &device);
    assert_eq!(boxes.dtype(), DType::BF16);
    let classes = |classes: [i32; 2]| Tensor::<1, Int>::from_ints(classes, &device);
    let found = Found::new(&boxes, &Tensor::<1>::from_floats([0.5, 0.5], &device), &classes([257, 259])).unwrap();
    let objects = Objects::new(&boxes, &classes([256, 259])).unwrap();
    let scores = detection([(found, objects)], 300).unwrap().per_class().read().unwrap();
    // In `bf16`, 257 is 256 and 259 is 260.
    let known: Vec<(usize, f64)> = scores.values().into_iter().enumerate().filter(|(_, score)| !score.is_nan()).collect();
    assert!(matches!(known[..], [(256, wrong), (259, right)] if wrong.abs() < 1e-9 && (right - 1.0).abs() < 1e-9), "{known:?}");
}

#[test]
fn classes_above_256_are_right_on_a_device_in_bf16() {
    let mut part = Command::new(std::env::current_exe().unwrap());
    let output = part.args(["detection::in_bf16", "--exact", "--ignored", "--nocapture"]).env(PART, "1").output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success() && out.contains("1 passed"), "{:?}\n{out}\n{err}", output.status);
}
