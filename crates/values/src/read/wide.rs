//! The types for sums of the values of many batches on a device.

use burn::tensor::{DType, Device, FloatDType, IntDType, Tensor};

use super::{CPU, Cpu};

/// `f64`, or `f32` if the device does not support `f64`. In a type with low precision a sum stops growing: a sum of
/// ones in `bf16` stops at 256.
pub fn sum_dtype(device: &Device) -> FloatDType {
    if CPU.get() != Cpu::DistantWithoutF64 && device.supports_dtype(FloatDType::F64) { FloatDType::F64 } else { FloatDType::F32 }
}

/// Integers of 64 bits, or of 32 bits if the device does not support them.
pub(super) fn count_dtype(device: &Device) -> IntDType {
    let is_wide = CPU.get() != Cpu::DistantWithoutF64 && device.supports_dtype(DType::I64);
    if is_wide { IntDType::I64 } else { IntDType::I32 }
}

/// Whether it is a float type with few digits, in which sums must not be made.
pub fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

/// Half floats become `f32`. Others stay what they are.
#[must_use]
pub fn without_halves<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    if is_half(tensor.dtype()) { tensor.cast(FloatDType::F32) } else { tensor }
}

/// Converts the values to that type.
#[must_use]
pub fn widen(tensor: Tensor<1>) -> Tensor<1> {
    if tensor.dtype() == FloatDType::F64.into() {
        return tensor;
    }
    let dtype = sum_dtype(&tensor.device());
    if tensor.dtype() == dtype.into() { tensor } else { tensor.cast(dtype) }
}
