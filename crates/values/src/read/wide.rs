//! The type in which a device adds up the values of many batches.

use burn::tensor::{Device, FloatDType, Tensor};

/// `f64`, or `f32` where the device has no `f64`: what is added up in the few digits of the values themselves stops growing,
/// a sum of ones in `bf16` at 256.
pub fn sum_dtype(device: &Device) -> FloatDType {
    if device.supports_dtype(FloatDType::F64) { FloatDType::F64 } else { FloatDType::F32 }
}

/// The same values in that type.
#[must_use]
pub fn widen(tensor: Tensor<1>) -> Tensor<1> {
    if tensor.dtype() == FloatDType::F64.into() {
        return tensor;
    }
    let dtype = sum_dtype(&tensor.device());
    if tensor.dtype() == dtype.into() { tensor } else { tensor.cast(dtype) }
}
