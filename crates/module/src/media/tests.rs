use burn::tensor::{Device, FloatDType, Int};

use super::*;
use stormfire_values::read::device_reads;

fn floats<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|n| n as f32 / 255.0).collect();
    Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape(shape)
}

fn ints<const D: usize>(shape: [usize; D]) -> Tensor<D, Int> {
    let count = i64::try_from(shape.iter().product::<usize>()).unwrap();
    Tensor::arange(0..count, &Device::flex()).reshape(shape)
}

fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn every_layout_and_type_is_the_same_image() {
    // Two pixels of three channels: red 0 and 1, green 2 and 3, blue 4 and 5.
    let expected = [0, 2, 4, 1, 3, 5];
    let before = device_reads();
    let made = [
        image(floats([3, 1, 2]), Layout::ChannelsFirst),
        image(floats([3, 1, 2]).permute([1, 2, 0]), Layout::ChannelsLast),
        image(floats([3, 1, 2]).cast(FloatDType::F64), Layout::ChannelsFirst),
        image(ints([3, 1, 2]), Layout::ChannelsFirst),
        image(ints([3, 1, 2]).cast(burn::tensor::IntDType::U8), Layout::ChannelsFirst),
        image(ints([3, 1, 2]).permute([1, 2, 0]), Layout::ChannelsLast),
        image(Tensor::from_inner(floats([3, 1, 2])).require_grad() * 1.0, Layout::ChannelsFirst),
    ];
    assert_eq!(device_reads() - before, made.len() as u64);
    for (number, image) in made.into_iter().enumerate() {
        let image = image.unwrap();
        assert_eq!((image.width(), image.height(), image.channels(), image.pixels()), (2, 1, 3, &expected[..]), "{number}");
    }
}

#[test]
fn values_outside_are_cut_off() {
    let device = Device::flex();
    let floats = Tensor::<3>::from_floats([[[-1.0, 0.5, 2.0, f32::NAN]]], &device);
    assert_eq!(image(floats, Layout::ChannelsFirst).unwrap().pixels(), [0, 128, 255, 0]);
    let ints = Tensor::<3, Int>::from_ints([[[-1, 127, 256, 255]]], &device);
    assert_eq!(image(ints, Layout::ChannelsFirst).unwrap().pixels(), [0, 127, 255, 255]);
    let mask = Tensor::<3>::from_floats([[[0.0, 1.0]]], &device).greater_elem(0.5);
    assert_eq!(image(mask, Layout::ChannelsFirst).unwrap().pixels(), [0, 255]);
}

#[test]
fn a_batch_is_its_images_in_one_read() {
    let before = device_reads();
    let batch = images(ints([3, 1, 2, 2]), Layout::ChannelsFirst).unwrap();
    assert_eq!(device_reads() - before, 1);
    let pixels: Vec<_> = batch.iter().map(|image| image.pixels().to_vec()).collect();
    assert_eq!(pixels, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]);
    assert!(images(Tensor::<4>::zeros([0, 1, 2, 2], &Device::flex()), Layout::ChannelsFirst).unwrap().is_empty());
}

#[test]
fn a_grid_is_that_of_torchvision() {
    let tensor = ints([9, 3, 1, 2]);
    let made = grid(tensor.clone(), Layout::ChannelsFirst).unwrap();
    // Rows of 8 images of 2x1 pixels, with 2 pixels around each.
    assert_eq!((made.width(), made.height(), made.channels()), (8 * 4 + 2, 2 * 3 + 2, 3));
    assert_eq!(made.pixels()[3 * (34 * 2 + 2)..][..6], [0, 2, 4, 1, 3, 5]);
    assert_eq!(made, Image::grid(&images(tensor, Layout::ChannelsFirst).unwrap(), 8, 2, 0).unwrap());
    insta::assert_snapshot!(text(grid(Tensor::<4>::zeros([0, 1, 2, 2], &Device::flex()), Layout::ChannelsFirst)), @"invalid image: a tensor of shape [0, 1, 2, 2]: there are no images for a grid");
}

#[test]
fn an_error_names_a_shape_that_is_not_an_image() {
    assert_eq!(
        text(image(floats([2, 4, 5]), Layout::ChannelsFirst)),
        "invalid image: a tensor of shape [2, 4, 5]: found 2 channels, expected 1, 3 or 4 channels in `[channels, height, width]`; \
         for channels last use `Layout::ChannelsLast`"
    );
    assert_eq!(
        text(images(floats([1, 3, 4, 5]), Layout::ChannelsLast)),
        "invalid image: a tensor of shape [1, 3, 4, 5]: found 5 channels, expected 1, 3 or 4 channels in `[height, width, channels]`; \
         for channels first use `Layout::ChannelsFirst`"
    );
    assert_eq!(
        text(image(Tensor::<3>::zeros([1, 0, 5], &Device::flex()), Layout::ChannelsFirst)),
        "invalid image: a tensor of shape [1, 0, 5]: the size is 5x0"
    );
}

#[test]
fn a_sound_is_interleaved() {
    let before = device_reads();
    let stereo = Tensor::<2>::from_floats([[0.0, 0.1, 0.2], [-0.0, -0.1, -0.2]], &Device::flex());
    let sound = audio(stereo, 8000).unwrap();
    assert_eq!(device_reads() - before, 1);
    assert_eq!((sound.sample_rate(), sound.channels()), (8000, 2));
    assert_eq!(sound.samples(), [0.0, -0.0, 0.1, -0.1, 0.2, -0.2]);
    assert_eq!(text(audio(Tensor::zeros([1, 0], &Device::flex()), 8000)), "invalid audio: a tensor of shape [1, 0]: there are no samples");
    assert_eq!(text(audio(floats([1, 3]), 0)), "invalid audio: a tensor of shape [1, 3]: the sample rate is 0");
    insta::assert_snapshot!(text(audio(floats([100_000, 1]), 8000)), @"invalid audio: a tensor of shape [100000, 1]: there are too many channels; is it `[samples, channels]`?");
}

#[test]
fn a_histogram_is_that_of_its_samples() {
    let values = [-3.0, 0.0, 1.0, 1.0, f32::NAN, 1e-3];
    let before = device_reads();
    let made = histogram(Tensor::<1>::from_floats(values, &Device::flex()).reshape([2, 3])).unwrap();
    assert_eq!(device_reads() - before, 1);
    assert_eq!(made, Histogram::from_samples(values).unwrap());
    assert_eq!(text(histogram(Tensor::<1>::zeros([0], &Device::flex()))), "invalid histogram: there is no finite sample");
}

#[test]
fn counting_on_the_device_is_counting() {
    // More than one round of comparisons, samples on every edge, some outside, and edges that no `f32` equals.
    let samples: Vec<f32> = (0_i64..300_000).map(|n| ((n * 7919) % 1000) as f32 / 100.0 - 5.0).collect();
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let all: Vec<f32> = samples.into_iter().chain(bad).collect();
    let quarters: Vec<f64> = (-20..=19).map(|n| f64::from(n) / 4.0).collect();
    let tenths: Vec<f64> = (-20..=20).map(|n| f64::from(n) / 10.0).collect();
    for edges in [quarters, tenths, vec![-1.0, 1.0], vec![0.1, 0.2, 100.0]] {
        let expected = Histogram::with_edges(all.iter().copied(), &edges).unwrap();
        let tensor = Tensor::<1>::from_floats(all.as_slice(), &Device::flex());
        for tensor in [tensor.clone(), tensor.cast(FloatDType::F64)] {
            let before = device_reads();
            let made = histogram_with_edges(tensor, &edges).unwrap();
            assert_eq!(device_reads() - before, 1);
            assert_eq!((made.limits(), made.counts(), made.num()), (expected.limits(), expected.counts(), expected.num()));
            let (made, expected) = (made.stats(), expected.stats());
            assert_eq!((made.min, made.max), (expected.min, expected.max));
            let close = |a: f64, b: f64| (a - b).abs() < 1e-4 * expected.sum_squares;
            assert!(close(made.sum, expected.sum) && close(made.sum_squares, expected.sum_squares), "{made:?} instead of {expected:?}");
        }
    }
}

#[test]
fn edges_that_make_no_buckets_are_refused() {
    let text = |edges: &[f64]| text(histogram_with_edges(floats([4]), edges));
    assert_eq!(text(&[1.0]), "invalid histogram: the edges are [1.0], expected two or more finite ones");
    assert_eq!(text(&[0.0, f64::NAN]), "invalid histogram: the edges are [0.0, NaN], expected two or more finite ones");
    assert_eq!(text(&[0.0, 2.0, 2.0]), "invalid histogram: the edges do not ascend after 2");
    assert_eq!(text(&[5.0, 6.0]), "invalid histogram: no sample is in 5..=6");
    let nothing = Tensor::<1>::zeros([0], &Device::flex());
    let error = histogram_with_edges(nothing, &[0.0, 1.0]).unwrap_err();
    assert_eq!(error.to_string(), "invalid histogram: no sample is in 0..=1");
}
