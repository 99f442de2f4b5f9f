use super::*;

fn ints(tensor: Tensor<2, Int>) -> Vec<Vec<i64>> {
    let [items, time] = tensor.dims();
    let flat: Vec<i64> = tensor.into_data().iter::<i64>().collect();
    assert_eq!(flat.len(), items * time);
    flat.chunks(time).map(<[i64]>::to_vec).collect()
}

fn mask(padded: &Tensor<2, Bool>) -> Vec<String> {
    let time = padded.dims()[1];
    let flat: Vec<bool> = padded.to_data().iter::<bool>().collect();
    flat.chunks(time).map(|row| row.iter().map(|&is_real| if is_real { '1' } else { '0' }).collect()).collect()
}

const TEXTS: [&[u16]; 3] = [&[1, 2, 3], &[4], &[5, 6, 7, 8, 9]];

#[test]
fn texts_are_padded_on_either_side() {
    let device = Device::flex();
    let right = Pad::right().ints(&TEXTS, 0, &device);
    assert_eq!(ints(right.values.clone()), [[1, 2, 3, 0, 0], [4, 0, 0, 0, 0], [5, 6, 7, 8, 9]]);
    assert_eq!(mask(&right.mask), ["11100", "10000", "11111"]);
    assert_eq!(mask(&right.padding()), ["00011", "01111", "00000"]);
    assert_eq!((right.lengths.as_slice(), right.tokens()), ([3, 1, 5].as_slice(), 9));
    let left = Pad::left().multiple_of(4).ints(&TEXTS, 7, &device);
    assert_eq!(ints(left.values), [[7, 7, 7, 7, 7, 1, 2, 3], [7, 7, 7, 7, 7, 7, 7, 4], [7, 7, 7, 5, 6, 7, 8, 9]]);
    assert_eq!(mask(&left.mask), ["00000111", "00000001", "00011111"]);
}

#[test]
fn long_texts_are_truncated_at_either_end() {
    let device = Device::flex();
    let first = Pad::right().keep_first(2).at_least(3).ints(&TEXTS, 0, &device);
    assert_eq!(ints(first.values), [[1, 2, 0], [4, 0, 0], [5, 6, 0]]);
    assert_eq!(first.lengths, [2, 1, 2]);
    let last = Pad::left().keep_last(2).ints(&TEXTS, 0, &device);
    assert_eq!(ints(last.values), [[2, 3], [0, 4], [8, 9]]);
}

/// `torch.nn.utils.rnn.pad_sequence` of `PyTorch` 1.13 on these series.
#[test]
fn series_are_padded_as_in_pytorch() {
    let series = [vec![1.0, 2.0, 3.0, 4.0], vec![5.0, 6.0], vec![7.0, 8.0, 9.0, 10.0, 11.0, 12.0]];
    let padded = Pad::right().floats(&series, 2, -1.0, &Device::flex()).unwrap();
    let expected = [1.0, 2.0, 3.0, 4.0, -1.0, -1.0, 5.0, 6.0, -1.0, -1.0, -1.0, -1.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
    assert_eq!(padded.values.dims(), [3, 3, 2]);
    assert_eq!(padded.values.into_data().try_to_vec::<f32>().unwrap(), expected);
    assert_eq!(mask(&padded.mask), ["110", "100", "111"]);
    let left = Pad::left().keep_last(1).at_least(2).floats(&series, 2, 0.0, &Device::flex()).unwrap();
    assert_eq!(left.values.into_data().try_to_vec::<f32>().unwrap(), [0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0, 11.0, 12.0]);
    let error = Pad::right().floats(&[vec![1.0, 2.0], vec![3.0]], 2, 0.0, &Device::flex()).unwrap_err();
    assert_eq!(error.to_string(), "series 1 of the batch has 1 numbers, which is not a multiple of 2 features");
    assert!(Pad::right().floats(&[vec![1.0]], 0, 0.0, &Device::flex()).is_err());
}

#[test]
fn moments_are_padded_like_flat_series() {
    let moments: [&[[f32; 2]]; 3] = [&[[1.0, 2.0], [3.0, 4.0]], &[[5.0, 6.0]], &[[7.0, 8.0], [9.0, 10.0], [11.0, 12.0]]];
    let flat = moments.map(<[[f32; 2]]>::as_flattened);
    let pad = Pad::left().multiple_of(4).keep_last(2);
    let (ours, theirs) = (pad.moments(&moments, -1.0, &Device::flex()), pad.floats(&flat, 2, -1.0, &Device::flex()).unwrap());
    assert_eq!(ours.values.to_data(), theirs.values.into_data());
    assert_eq!((ours.lengths.as_slice(), mask(&ours.mask)), ([2, 1, 2].as_slice(), mask(&theirs.mask)));
}

#[test]
fn a_mean_over_time_ignores_padding_even_if_it_is_nan() {
    let series: [&[[f32; 1]]; 3] = [&[[1.0], [3.0]], &[[5.0]], &[]];
    for pad in [Pad::right(), Pad::left().at_least(5)] {
        let padded = pad.moments(&series, f32::NAN, &Device::flex());
        let means = padded.mean_of(padded.values.clone() * 2.0);
        assert_eq!(means.dims(), [3, 1]);
        assert_eq!(means.into_data().try_to_vec::<f32>().unwrap(), [4.0, 10.0, 0.0]);
    }
}

#[test]
fn empty_texts_are_all_padding() {
    let empty: [&[u8]; 2] = [&[], &[]];
    let padded = Pad::left().ints(&empty, 3, &Device::flex());
    assert_eq!(
        (ints(padded.values.clone()), mask(&padded.mask), padded.tokens()),
        (vec![vec![3], vec![3]], vec!["0".into(), "0".into()], 0)
    );
}

#[test]
fn the_longest_come_first_and_equals_keep_their_order() {
    let mut texts = vec!["bb", "a", "dddd", "cc", ""];
    sort_by_length(&mut texts, |text| text.len());
    assert_eq!(texts, ["dddd", "bb", "cc", "a", ""]);
}

#[test]
fn a_padded_batch_is_divided_and_cast() {
    let padded = Pad::right().ints(&TEXTS, 0, &Device::flex());
    let parts = padded.split(2).unwrap();
    assert_eq!((parts[1].items, ints(parts[1].value.values.clone())), (1, vec![vec![5, 6, 7, 8, 9]]));
    assert_eq!(
        (parts[0].value.lengths.as_slice(), mask(&parts[0].value.mask)),
        ([3, 1].as_slice(), vec!["11100".to_owned(), "10000".to_owned()])
    );
    let series = Pad::right().floats(&[vec![1.0]], 1, 0.0, &Device::flex()).unwrap().cast_floats(FloatDType::BF16);
    assert_eq!(series.values.dtype(), burn::tensor::DType::BF16);
}
