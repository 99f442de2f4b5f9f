//! The changes of a batch for given draws, compared with numpy. `xtask/python/data/augment.py` writes its results.

use burn::tensor::Device;
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Oracle {
    crops: Vec<CropCase>,
    flips: Vec<FlipCase>,
    mixups: Vec<MixCase>,
    cutmixes: Vec<MixCase>,
    classes: ClassCase,
    noise: NoiseCase,
}

#[derive(Deserialize)]
struct CropCase {
    images: Array,
    size: [usize; 2],
    padding: usize,
    rows: Vec<usize>,
    columns: Vec<usize>,
    expected: Array,
}

#[derive(Deserialize)]
struct FlipCase {
    images: Array,
    flags: Vec<bool>,
    expected: Array,
}

#[derive(Deserialize)]
struct MixCase {
    images: Array,
    targets: Array,
    share: f64,
    /// Of the rectangle of `cutmix`.
    #[serde(default)]
    center: [usize; 2],
    others: Vec<usize>,
    expected: [Array; 2],
}

#[derive(Deserialize)]
struct ClassCase {
    labels: Vec<i64>,
    classes: usize,
    expected: Array,
}

/// The shares of numbers that are at most as large as each place.
#[derive(Deserialize)]
struct NoiseCase {
    deviation: f64,
    places: Vec<f64>,
    shares: Vec<f64>,
}

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Array {
    fn tensor<const D: usize>(&self) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.values.clone(), self.shape.clone()), &Device::flex())
    }

    #[track_caller]
    fn assert_equals<const D: usize>(&self, what: &str, ours: &Tensor<D>, within: f32) {
        assert_eq!(ours.dims().as_slice(), self.shape.as_slice(), "{what}");
        let values: Vec<f32> = ours.to_data().try_to_vec().unwrap();
        let difference = values.iter().zip(&self.values).map(|(ours, numpy)| (ours - numpy).abs()).fold(0.0, f32::max);
        assert!(difference <= within, "{what}: {values:?}, numpy has {:?}", self.values);
    }
}

fn oracle() -> Oracle {
    serde_json::from_str(include_str!("numpy.json")).unwrap()
}

#[test]
fn parts_and_mirror_images_are_those_of_numpy() {
    let oracle = oracle();
    assert_eq!((oracle.crops.len(), oracle.flips.len()), (4, 3));
    for case in oracle.crops {
        let ours = crop(case.images.tensor(), case.size, case.padding, case.rows, case.columns);
        case.expected.assert_equals("crop", &ours, 0.0);
    }
    for case in oracle.flips {
        case.expected.assert_equals("flip", &flip(case.images.tensor(), case.flags), 0.0);
    }
}

#[test]
fn mixed_items_are_those_of_numpy() {
    let oracle = oracle();
    assert_eq!((oracle.mixups.len(), oracle.cutmixes.len()), (5, 6));
    for case in oracle.mixups {
        let others = ints(case.others, &Device::flex());
        case.expected[0].assert_equals("mixup", &mix(case.images.tensor::<4>(), case.share, others.clone()), 2e-5);
        case.expected[1].assert_equals("targets of mixup", &mix(case.targets.tensor::<2>(), case.share, others), 1e-6);
    }
    for case in oracle.cutmixes {
        let (images, targets) = paste(case.images.tensor(), case.targets.tensor(), case.share, case.center, case.others);
        case.expected[0].assert_equals("cutmix", &images, 0.0);
        case.expected[1].assert_equals("targets of cutmix", &targets, 1e-6);
    }
    let ClassCase { labels, classes, expected } = oracle.classes;
    let labels = Tensor::from_data(TensorData::from(labels.as_slice()), &Device::flex());
    expected.assert_equals("soft labels", &soft_labels(labels, classes), 0.0);
}

/// The limit is the 0.999 quantile of the Kolmogorov-Smirnov statistic.
#[test]
fn noise_is_added_and_has_the_distribution_of_python() {
    let NoiseCase { deviation, places, shares } = oracle().noise;
    let noise_on = |value: f32| -> Vec<f32> {
        let values = Tensor::<1>::full([20_000], value, &Device::flex());
        gaussian_noise(values, deviation, &mut Random::new(9)).to_data().try_to_vec().unwrap()
    };
    let noise = noise_on(0.0);
    for (place, share) in places.into_iter().zip(shares) {
        let below = noise.iter().filter(|&&number| f64::from(number) <= place).count() as f64 / 20_000.0;
        assert!((below - share).abs() < 1.95 / 20_000_f64.sqrt(), "{below} at {place}, not {share}");
    }
    assert!(noise_on(3.0).iter().zip(noise).all(|(sum, noise)| (sum - (3.0 + noise)).abs() < 1e-6));
}
