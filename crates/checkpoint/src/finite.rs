//! Checks on the host whether the elements of a tensor are finite.

use burn::tensor::{DType, TensorData};

/// Number of elements that are checked before a branch, so that the compiler vectorizes the loop.
const BLOCK: usize = 4096;

/// Whether all elements of a float tensor are finite. True for integers, booleans and quantized elements.
///
/// ```
/// use burn::tensor::TensorData;
/// use stormfire_checkpoint::is_finite;
///
/// assert!(is_finite(&TensorData::from([0.0_f32, f32::MAX])));
/// assert!(!is_finite(&TensorData::from([0.0_f64, f64::NAN])));
/// assert!(is_finite(&TensorData::from([i32::MAX])));
/// ```
pub fn is_finite(data: &TensorData) -> bool {
    // An element is not finite if and only if all bits of its exponent are set.
    match data.dtype() {
        DType::F64 => none(data, |bytes| u64::from_ne_bytes(bytes) & F64 == F64),
        DType::F32 | DType::Flex32 => none(data, |bytes| u32::from_ne_bytes(bytes) & F32 == F32),
        DType::F16 => none(data, |bytes| u16::from_ne_bytes(bytes) & F16 == F16),
        DType::BF16 => none(data, |bytes| u16::from_ne_bytes(bytes) & BF16 == BF16),
        _ => true,
    }
}

const F64: u64 = 0x7FF0_0000_0000_0000;
const F32: u32 = 0x7F80_0000;
const F16: u16 = 0x7C00;
const BF16: u16 = 0x7F80;

fn none<const N: usize>(data: &TensorData, is_bad: impl Fn([u8; N]) -> bool) -> bool {
    let (numbers, _) = data.as_bytes().as_chunks::<N>();
    !numbers.chunks(BLOCK).any(|block| block.iter().fold(false, |any, number| any | is_bad(*number)))
}

#[cfg(test)]
mod tests {
    use burn::tensor::{bf16, f16};

    use super::*;

    #[test]
    fn one_bad_number_among_many_is_found() {
        let cases: [(DType, f32); 4] = [(DType::F64, 3e38), (DType::F32, 3e38), (DType::F16, 65504.0), (DType::BF16, 3e38)];
        for (dtype, largest) in cases {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut numbers = vec![0.5_f32; 10_000];
                numbers[..4].copy_from_slice(&[largest, -largest, 0.0, f32::MIN_POSITIVE]);
                assert!(is_finite(&TensorData::from(numbers.as_slice()).convert_dtype(dtype)), "{dtype:?}");
                numbers[9_999] = bad;
                assert!(!is_finite(&TensorData::from(numbers.as_slice()).convert_dtype(dtype)), "{dtype:?} {bad}");
            }
        }
        assert!(!is_finite(&TensorData::from([f16::NAN])) && !is_finite(&TensorData::from([bf16::INFINITY])));
        assert!(is_finite(&TensorData::from([u32::MAX])));
    }
}
