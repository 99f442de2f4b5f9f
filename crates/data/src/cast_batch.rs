//! [`CastBatch`]: batches whose float tensors can be cast, for `Trainer::precision`.

use std::{path::PathBuf, sync::Arc};

use burn::tensor::{Bool, DType, Float, FloatDType, Int, Tensor};

/// A batch whose float tensors can be cast to the type in which the steps compute, for `Trainer::precision`.
///
/// Implemented for tensors, for `Option`, `Box`, `Vec`, arrays and tuples of batches, and for what has nothing to cast:
/// numbers, strings, paths. Integer and bool tensors stay as they are, and so do numbers. Structs derive it
/// (`stormfire::CastBatch`).
///
/// ```
/// use burn::tensor::{DType, Device, FloatDType, Int, Tensor};
/// use stormfire_data::CastBatch;
///
/// let device = Device::flex();
/// let batch = (Tensor::<2>::zeros([5, 3], &device), Tensor::<1, Int>::zeros([5], &device), "a name".to_owned());
/// let (images, labels, _) = batch.cast_floats(FloatDType::BF16);
/// assert_eq!(images.dtype(), DType::BF16);
/// assert!(labels.dtype().is_int());
/// ```
#[diagnostic::on_unimplemented(
    message = "the float tensors of a batch of type `{Self}` cannot be cast",
    label = "`CastBatch` is not implemented for this type",
    note = "write `#[derive(stormfire::CastBatch)]` above a struct; tensors, and `Option`, `Box`, `Vec` and tuples of batches have it",
    note = "a field of another type without float tensors needs `#[cast(skip)]`"
)]
pub trait CastBatch: Sized {
    /// The same batch, with all of its float tensors of this type.
    fn cast_floats(self, dtype: FloatDType) -> Self;
}

/// [`CastBatch::cast_floats`] of some type of batch, as a value.
pub type Caster<B> = fn(B, FloatDType) -> B;

impl<const D: usize> CastBatch for Tensor<D, Float> {
    fn cast_floats(self, dtype: FloatDType) -> Self {
        let own = self.dtype();
        if own == DType::from(dtype) || matches!(own, DType::QFloat(_)) { self } else { self.cast(dtype) }
    }
}

macro_rules! nothing_to_cast {
    ($($(<$($generics:tt),+>)? $ty:ty),* $(,)?) => {$(
        impl$(<$($generics)+>)? CastBatch for $ty {
            fn cast_floats(self, _dtype: FloatDType) -> Self {
                self
            }
        }
    )*};
}

nothing_to_cast!((), bool, char, f32, f64, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, String, &'static str, PathBuf, Arc<str>,);

macro_rules! no_floats {
    ($($kind:ty),*) => {$(
        impl<const D: usize> CastBatch for Tensor<D, $kind> {
            fn cast_floats(self, _dtype: FloatDType) -> Self {
                self
            }
        }
    )*};
}

no_floats!(Int, Bool);

impl<T: CastBatch> CastBatch for Vec<T> {
    fn cast_floats(self, dtype: FloatDType) -> Self {
        self.into_iter().map(|batch| batch.cast_floats(dtype)).collect()
    }
}

impl<T: CastBatch, const N: usize> CastBatch for [T; N] {
    fn cast_floats(self, dtype: FloatDType) -> Self {
        self.map(|batch| batch.cast_floats(dtype))
    }
}

impl<T: CastBatch> CastBatch for Option<T> {
    fn cast_floats(self, dtype: FloatDType) -> Self {
        self.map(|batch| batch.cast_floats(dtype))
    }
}

impl<T: CastBatch> CastBatch for Box<T> {
    fn cast_floats(self, dtype: FloatDType) -> Self {
        Box::new((*self).cast_floats(dtype))
    }
}

macro_rules! cast_tuples {
    ($(($($field:tt $ty:ident),+);)*) => {$(
        impl<$($ty: CastBatch),+> CastBatch for ($($ty,)+) {
            fn cast_floats(self, dtype: FloatDType) -> Self {
                ($(self.$field.cast_floats(dtype),)+)
            }
        }
    )*};
}

cast_tuples! {
    (0 A);
    (0 A, 1 B);
    (0 A, 1 B, 2 C);
    (0 A, 1 B, 2 C, 3 D);
    (0 A, 1 B, 2 C, 3 D, 4 E);
    (0 A, 1 B, 2 C, 3 D, 4 E, 5 F);
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn float_tensors_are_cast_wherever_they_are_and_nothing_else() {
        let device = Device::flex();
        let floats = || Tensor::<1>::ones([2], &device);
        let ints = Tensor::<1, Int>::ones([2], &device);
        let bools: Tensor<1, Bool> = ints.clone().equal_elem(1);
        let batch = (floats(), (ints.clone(), bools.clone()), Some(floats()), Box::new(vec![floats()]), [floats(), floats()], 0.1_f32);
        let (first, (cast_ints, cast_bools), option, list, array, number) = batch.cast_floats(FloatDType::F16);
        let all = [first, option.unwrap(), list[0].clone(), array[0].clone(), array[1].clone()];
        assert!(all.iter().all(|tensor| tensor.dtype() == DType::F16));
        assert_eq!((cast_ints.dtype(), cast_bools.dtype()), (ints.dtype(), bools.dtype()));
        assert_eq!(number.to_bits(), 0.1_f32.to_bits(), "a number of the host has no need of it");
    }

    #[test]
    fn a_tape_is_kept() {
        let with_tape = Tensor::<1>::ones([2], &Device::flex().autodiff());
        assert!(with_tape.cast_floats(FloatDType::BF16).is_autodiff());
    }
}
