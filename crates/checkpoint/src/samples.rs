//! Checkpoints for the tests.

use burn::tensor::{BoolStore, Bytes, DType, TensorData, bf16, f16};
use xxhash_rust::xxh3::xxh3_128;

use crate::{Encoder, Manifest};

/// A weight and another tensor.
pub(crate) fn small() -> Vec<(String, TensorData)> {
    let weight = TensorData::new(vec![1.5_f32, -2.0, 0.25], [3, 1]);
    vec![("layer.weight".to_owned(), weight), ("optimizer/Sgd/layer.weight/time".to_owned(), TensorData::from([7_i64]))]
}

/// A tensor of each dtype, a scalar, and empty tensors, in an order that differs from that of the file.
pub(crate) fn every_dtype() -> Vec<(String, TensorData)> {
    let bools = |store, bytes: &[u8]| TensorData::from_bytes(Bytes::from_bytes_vec(bytes.to_vec()), [3], DType::Bool(store));
    let tensors = [
        ("u8", TensorData::from([0_u8, 255, 3])),
        ("bool", TensorData::from([true, false, true])),
        ("bool_u8", bools(BoolStore::U8, &[1, 0, 1])),
        ("bool_u32", bools(BoolStore::U32, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])),
        ("f16", TensorData::from([f16::from_f32(1.5), f16::NAN, f16::MIN])),
        ("bf16", TensorData::from([bf16::from_f32(-0.0), bf16::MAX, bf16::INFINITY])),
        ("i8", TensorData::from([i8::MIN, 0, i8::MAX])),
        ("i16", TensorData::from([i16::MIN, 0, i16::MAX])),
        ("i32", TensorData::from([i32::MIN, 0, i32::MAX])),
        ("i64", TensorData::from([i64::MIN, 0, i64::MAX])),
        ("u16", TensorData::from([0, u16::MAX])),
        ("u32", TensorData::from([0, u32::MAX])),
        ("u64", TensorData::from([0, u64::MAX])),
        ("f64", TensorData::from([[f64::MIN_POSITIVE, f64::NAN], [f64::NEG_INFINITY, 0.1]])),
        ("f32", TensorData::new((0..24_u8).map(f32::from).collect(), [2, 3, 4])),
        ("scalar", TensorData::new(vec![3.5_f32], Vec::<usize>::new())),
        ("empty", TensorData::new(Vec::<f32>::new(), [0])),
        ("empty_rows", TensorData::new(Vec::<u8>::new(), [0, 5])),
    ];
    tensors.map(|(name, data)| (name.to_owned(), data)).to_vec()
}

pub(crate) fn bytes_of(manifest: &Manifest, tensors: &[(String, TensorData)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(manifest, tensors).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

/// A file with this header and these tensor bytes, and a correct checksum.
pub(crate) fn forged(header: &str, tensors: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(tensors);
    let checksum = xxh3_128(&bytes).to_be_bytes();
    bytes.extend_from_slice(&checksum);
    bytes
}
