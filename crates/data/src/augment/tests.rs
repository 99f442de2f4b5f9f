use burn::tensor::{DType, Device};

use super::*;
use crate::{Loader, Position, random};

fn floats<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.to_data().try_to_vec().unwrap()
}

/// Each pixel is its number, from 1 on.
fn images(shape: [usize; 4]) -> Tensor<4> {
    let pixels = shape.iter().product::<usize>();
    ints(1..=pixels, &Device::flex()).float().reshape(shape)
}

fn pixel(images: &[f32], shape: [usize; 4], at: [usize; 4]) -> f32 {
    images[((at[0] * shape[1] + at[1]) * shape[2] + at[2]) * shape[3] + at[3]]
}

#[test]
fn parts_are_cut_out_of_the_padded_images() {
    let shape = [2, 3, 4, 5];
    let original = floats(&images(shape));
    let (rows, columns) = ([0, 3], [2, 1]);
    let cropped = crop(images(shape), [3, 4], 1, rows.to_vec(), columns.to_vec());
    assert_eq!(cropped.dims(), [2, 3, 3, 4]);
    let cropped = floats(&cropped);
    for item in 0..2 {
        for (channel, row, column) in (0..3).flat_map(|a| (0..3).flat_map(move |b| (0..4).map(move |c| (a, b, c)))) {
            let (y, x) = (rows[item] + row, columns[item] + column);
            let is_inside = (1..=4).contains(&y) && (1..=5).contains(&x);
            let expected = if is_inside { pixel(&original, shape, [item, channel, y - 1, x - 1]) } else { 0.0 };
            let cut = pixel(&cropped, [2, 3, 3, 4], [item, channel, row, column]);
            assert_eq!(cut.to_bits(), expected.to_bits(), "{item} {channel} {row} {column}");
        }
    }
}

#[test]
fn every_place_of_a_part_is_equally_likely() {
    let mut random = Random::new(1);
    let mut counts = [0_usize; 12];
    for _ in 0..300 {
        let cropped = floats(&random_crop(images([8, 1, 4, 5]), [2, 2], 0, &mut random).unwrap());
        for (item, part) in cropped.chunks(4).enumerate() {
            let first = part[0] as usize - 1 - item * 20;
            counts[first / 5 * 4 + first % 5] += 1;
        }
    }
    // The 0.999 quantile of chi-square with 11 degrees of freedom.
    let chi: f64 = counts.iter().map(|&count| (count as f64 - 200.0).powi(2) / 200.0).sum();
    assert!(chi < 31.26, "{counts:?}");
}

#[test]
fn images_are_mirrored_one_by_one() {
    let shape = [64, 2, 1, 3];
    let original = floats(&images(shape));
    let flipped = floats(&random_flip(images(shape), 0.5, &mut Random::new(3)));
    let mut mirrored = 0;
    for (before, after) in original.chunks(6).zip(flipped.chunks(6)) {
        let mirror = [before[2], before[1], before[0], before[5], before[4], before[3]];
        assert!(after == before || after == mirror, "{before:?} {after:?}");
        mirrored += usize::from(after == mirror);
    }
    assert!((16..48).contains(&mirrored), "{mirrored}");
    assert_eq!(floats(&random_flip(images(shape), 0.0, &mut Random::new(3))), original);
    assert_ne!(floats(&random_flip(images(shape), 1.0, &mut Random::new(3)))[..3], original[..3]);
}

#[test]
fn noise_has_the_given_deviation_and_keeps_the_type() {
    let zeros = Tensor::<2>::zeros([100, 100], &Device::flex());
    let noise = floats(&gaussian_noise(zeros.clone(), 0.5, &mut Random::new(1)));
    let mean = noise.iter().sum::<f32>() / 1e4;
    let deviation = (noise.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e4).sqrt();
    assert!(mean.abs() < 0.02 && (deviation - 0.5).abs() < 0.02, "{mean} {deviation}");
    assert_eq!(gaussian_noise(zeros.cast(DType::BF16), 0.5, &mut Random::new(1)).dtype(), DType::BF16);
}

#[test]
fn labels_become_shares() {
    let labels = Tensor::<1, Int>::from_ints([2, 0, 3], &Device::flex());
    assert_eq!(floats(&soft_labels(labels, 3)), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn items_and_targets_are_mixed_with_one_share() {
    let values = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::flex());
    let mixed = mix(values.clone(), 0.75, ints([2, 1, 0], &Device::flex()));
    assert_eq!(floats(&mixed), [2.0, 3.0, 3.0, 4.0, 4.0, 5.0]);
    let targets = soft_labels(Tensor::from_ints([0, 1, 2], &Device::flex()), 3);
    for seed in 0..20 {
        let (mixed, mixed_targets) = mixup(values.clone(), targets.clone(), 1.0, &mut Random::new(seed)).unwrap();
        // The values are a function of the class, so the mixed values follow from the mixed targets.
        let expected = floats(&mixed_targets.clone().matmul(values.clone()));
        assert!(floats(&mixed).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(floats(&mixed_targets.sum_dim(1)).iter().all(|sum| (sum - 1.0).abs() < 1e-6));
    }
    let (unmixed, _) = mixup(values.clone(), targets, 0.0, &mut Random::new(1)).unwrap();
    assert_eq!(floats(&unmixed), floats(&values));
}

/// The values of `scipy.stats.beta(a, a).cdf` at six places.
#[test]
fn shares_have_a_beta_distribution() {
    let places = [0.01, 0.1, 0.3, 0.5, 0.8, 0.99];
    for (alpha, expected) in [
        (0.2, [0.209_777, 0.336_689, 0.433_204, 0.5, 0.607_277, 0.790_222]),
        (1.0, [0.01, 0.1, 0.3, 0.5, 0.8, 0.99]),
        (2.5, [0.000_053, 0.015_374, 0.186_966, 0.5, 0.922_811, 0.999_946]),
    ] {
        let mut random = Random::new(5);
        let shares: Vec<f64> = (0..20_000).map(|_| draw(1, alpha, &mut random).unwrap().0).collect();
        for (place, expected) in places.into_iter().zip(expected) {
            let below = shares.iter().filter(|&&share| share <= place).count() as f64 / 20_000.0;
            assert!((below - expected).abs() < 0.013, "alpha {alpha}: {below} at {place}, not {expected}");
        }
    }
}

/// `rand_bbox` of <https://github.com/clovaai/CutMix-PyTorch>, which calls rows W and columns H.
#[test]
fn rectangles_are_those_of_the_authors_program() {
    for (share, center, size, rows, columns) in [
        (0.5, [3, 4], [8, 10], 1..5, 1..7),
        (0.1, [0, 0], [8, 10], 0..3, 0..4),
        (0.9, [7, 9], [8, 10], 6..8, 8..10),
        (0.0, [4, 5], [8, 10], 0..8, 0..10),
        (1.0, [4, 5], [8, 10], 4..4, 5..5),
        (0.64, [5, 5], [32, 32], 0..14, 0..14),
        (0.97, [3, 3], [5, 5], 3..3, 3..3),
    ] {
        assert_eq!(rectangle(size, share, center), [rows, columns], "{share} {center:?} {size:?}");
    }
}

#[test]
fn a_rectangle_comes_from_another_image_and_counts_by_its_area() {
    let shape = [4, 2, 6, 7];
    // An image has one value.
    let of_items = Tensor::<1>::from_floats([0.0, 1.0, 2.0, 3.0], &Device::flex()).reshape([4, 1, 1, 1]).expand(shape);
    let targets = soft_labels(Tensor::from_ints([0, 1, 2, 3], &Device::flex()), 4);
    let mut cut = 0;
    for seed in 0..50 {
        let (images, targets) = cutmix(of_items.clone(), targets.clone(), 1.0, &mut Random::new(seed)).unwrap();
        let targets = floats(&targets);
        for (item, pixels) in floats(&images).chunks(84).enumerate() {
            for class in 0..4 {
                let part = pixels.iter().filter(|&&pixel| pixel as usize == class).count() as f32 / 84.0;
                assert!((part - targets[item * 4 + class]).abs() < 1e-6, "seed {seed}: item {item} has {part} of {class}");
            }
            cut += usize::from(pixels.iter().any(|&pixel| pixel as usize != item));
        }
    }
    assert!(cut > 50, "{cut}");
}

#[test]
fn wrong_arguments_are_reported() {
    let mut random = Random::new(1);
    let targets = || Tensor::<2>::zeros([2, 3], &Device::flex());
    let texts = [
        random_crop(images([1, 1, 4, 4]), [7, 4], 1, &mut random).unwrap_err(),
        random_crop(images([1, 1, 4, 4]), [0, 4], 1, &mut random).unwrap_err(),
        mixup(images([1, 1, 4, 4]), targets(), 1.0, &mut random).unwrap_err(),
        cutmix(images([2, 1, 4, 4]), targets(), -1.0, &mut random).unwrap_err(),
        mixup(images([2, 1, 4, 4]), targets(), f64::NAN, &mut random).unwrap_err(),
    ];
    insta::assert_snapshot!(texts.map(|error| error.to_string()).join("\n"), @r"
    the batch cannot be augmented: a part of [7, 4] cannot be cut out of images of [6, 6], padding included
    the batch cannot be augmented: a part of [0, 4] cannot be cut out of images of [6, 6], padding included
    the batch cannot be augmented: there are 2 rows of targets for 1 items
    the batch cannot be augmented: `alpha` cannot be -1: it must be a finite number from 0 on
    the batch cannot be augmented: `alpha` cannot be NaN: it must be a finite number from 0 on
    ");
}

#[test]
fn augmented_batches_do_not_depend_on_workers_resumes_and_ranks() {
    let collate = |items: Vec<usize>, device: &Device| {
        let mut random = random();
        let images = images([items.len(), 1, 4, 4]).to_device(device);
        let images = random_crop(images, [4, 4], 2, &mut random).unwrap();
        let images = random_flip(images, 0.5, &mut random);
        gaussian_noise(images, 0.1, &mut random)
    };
    let dataset = || burn::data::dataset::InMemDataset::new((0..20).collect());
    let loader = Loader::collate(dataset(), collate).batch_size(3).shuffle(true).try_map(|images| {
        let targets = soft_labels(ints(0..images.dims()[0], &images.device()), 3);
        let (images, targets) = cutmix(images, targets, 1.0, &mut random())?;
        let (images, targets) = mixup(images, targets, 0.2, &mut random())?;
        Ok((floats(&images), floats(&targets)))
    });
    let pass = |loader: &Loader<(Vec<f32>, Vec<f32>)>, start| -> Vec<_> {
        loader.batches(Position::new(1, start), &Device::flex()).unwrap().map(|batch| batch.unwrap().value).collect()
    };
    let whole = pass(&loader, 0);
    assert_ne!(whole[0], whole[1]);
    for workers in 0..4 {
        // `workers` is an option of the loader below the map.
        let loader = loader.clone().workers(workers);
        for start in 0..whole.len() {
            assert_eq!(pass(&loader, start), whole[start..], "{workers} workers, from {start}");
        }
        for rank in 0..2 {
            let own: Vec<_> = whole.iter().skip(rank).step_by(2).cloned().collect();
            assert_eq!(pass(&loader.for_rank(rank, 2).unwrap(), 0), own);
        }
    }
}

#[test]
fn extreme_alphas_give_shares_or_errors() {
    for alpha in [f64::INFINITY, f64::NAN, -0.5, f64::NEG_INFINITY] {
        assert!(draw(2, alpha, &mut Random::new(1)).is_err(), "{alpha}");
    }
    for alpha in [0.0, -0.0, 1e-320, 1e-9, 1e9, 1e200, f64::MAX] {
        let mut random = Random::new(1);
        for _ in 0..100 {
            let (share, _) = draw(2, alpha, &mut random).unwrap();
            assert!((0.0..=1.0).contains(&share), "{alpha}: {share}");
            assert!(alpha < 1e8 || (share - 0.5).abs() < 1e-3, "{alpha}: {share}");
        }
    }
}

#[test]
fn a_batch_of_one_is_mixed_with_itself() {
    let targets = soft_labels(Tensor::from_ints([1], &Device::flex()), 3);
    for seed in 0..20 {
        let (mixed, shares) = mixup(images([1, 2, 3, 3]), targets.clone(), 0.4, &mut Random::new(seed)).unwrap();
        let difference = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference(&floats(&mixed), &floats(&images([1, 2, 3, 3]))) < 1e-5);
        assert!(difference(&floats(&shares), &[0.0, 1.0, 0.0]) < 1e-6);
        let (mixed, shares) = cutmix(images([1, 2, 3, 3]), targets.clone(), 1.0, &mut Random::new(seed)).unwrap();
        assert_eq!(floats(&mixed), floats(&images([1, 2, 3, 3])));
        assert!(difference(&floats(&shares), &[0.0, 1.0, 0.0]) < 1e-6);
        // One pixel has no rectangle but itself.
        cutmix(images([1, 1, 1, 1]), targets.clone(), 1.0, &mut Random::new(seed)).unwrap();
    }
}
