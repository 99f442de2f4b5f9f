//! [`SplitBatch`]: batches that can be divided among the threads of a run.

use burn::tensor::{Bool, Float, Int, Tensor};

use crate::{Error, Result};

/// A batch that can be divided into parts with fewer items, for `Trainer::devices(n)`.
///
/// Implemented for tensors (along their first axis), and for `Option`, `Box`, `Vec` and tuples of batches. A `Vec` is a
/// list of batches: each of them is divided. Structs derive it (`stormfire::SplitBatch`).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_data::SplitBatch;
///
/// let batch = (Tensor::<2>::zeros([5, 3], &Device::flex()), Tensor::<1>::zeros([5], &Device::flex()));
/// let parts = batch.split(2)?;
/// assert_eq!(parts.iter().map(|part| part.items).collect::<Vec<_>>(), [3, 2]);
/// assert_eq!(parts[1].value.0.dims(), [2, 3]);
/// # Ok::<(), stormfire_data::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a batch of type `{Self}` cannot be divided among threads",
    label = "`SplitBatch` is not implemented for this type",
    note = "write `#[derive(Clone, stormfire::SplitBatch)]` above a struct; tensors, and `Option`, `Box`, `Vec` and tuples of batches have it",
    note = "a field that lists items, such as `Vec<String>`, needs `#[split(items)]`; one that is the same for all items `#[split(clone)]`",
    note = "`devices(1)`, the default, needs no `SplitBatch`"
)]
pub trait SplitBatch: Clone {
    /// The number of items. `None` for a value that is the same for every item.
    ///
    /// # Errors
    /// [`Error::UnevenBatch`] if two fields have different numbers of items.
    fn items(&self) -> Result<Option<usize>>;

    /// The items from `start` to before `end`, as a batch.
    fn slice(&self, start: usize, end: usize) -> Self;

    /// The batch in at most `parts` parts, in order. Their sizes differ by one item at most, and none is empty. A batch
    /// without items, or whose number of items is unknown, is one part.
    ///
    /// # Errors
    /// As [`SplitBatch::items`].
    fn split(&self, parts: usize) -> Result<Vec<Part<Self>>> {
        if parts <= 1 {
            // Nothing is divided, so that uneven fields do no harm.
            return Ok(vec![Part { items: self.items().ok().flatten().unwrap_or(1), value: self.clone() }]);
        }
        let Some(items) = self.items()?.filter(|&items| items > 1) else {
            return Ok(vec![Part { items: self.items()?.unwrap_or(1), value: self.clone() }]);
        };
        let parts = parts.clamp(1, items);
        let starts = (0..=parts).map(|part| part * (items / parts) + part.min(items % parts));
        let starts: Vec<_> = starts.collect();
        let part = |range: &[usize]| Part { value: self.slice(range[0], range[1]), items: range[1] - range[0] };
        Ok(starts.windows(2).map(part).collect())
    }
}

/// A part of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<B> {
    /// The part, itself a batch.
    pub value: B,
    /// Its number of items.
    pub items: usize,
}

/// [`SplitBatch::split`] of some type of batch, as a value.
pub type Splitter<B> = fn(&B, usize) -> Result<Vec<Part<B>>>;

/// The number of items of a batch with several fields, each with its name.
///
/// # Errors
/// [`Error::UnevenBatch`] if two of them differ.
pub fn common_items<'a>(fields: impl IntoIterator<Item = (&'a str, Option<usize>)>) -> Result<Option<usize>> {
    let mut known: Option<(&str, usize)> = None;
    for (name, items) in fields {
        match (known, items) {
            (Some((first, expected)), Some(items)) if items != expected => {
                return Err(Error::UnevenBatch { fields: [(first.into(), expected), (name.into(), items)] });
            }
            (None, Some(items)) => known = Some((name, items)),
            _ => {}
        }
    }
    Ok(known.map(|(_, items)| items))
}

/// A part of a list with one element per item, for fields with `#[split(items)]`.
pub fn items_of<T: Clone>(list: &[T], start: usize, end: usize) -> Vec<T> {
    list.get(start..end).map(<[T]>::to_vec).unwrap_or_default()
}

macro_rules! split_tensors {
    ($($kind:ty),*) => {$(
        impl<const D: usize> SplitBatch for Tensor<D, $kind> {
            fn items(&self) -> Result<Option<usize>> {
                Ok(self.dims().first().copied())
            }

            fn slice(&self, start: usize, end: usize) -> Self {
                self.clone().narrow(0, start, end - start)
            }
        }
    )*};
}

split_tensors!(Float, Int, Bool);

/// A list of batches, as a combined loader makes it. Each is divided.
impl<T: SplitBatch> SplitBatch for Vec<T> {
    fn items(&self) -> Result<Option<usize>> {
        let items = self.iter().map(SplitBatch::items).collect::<Result<Vec<_>>>()?;
        let names: Vec<String> = (0..items.len()).map(|index| index.to_string()).collect();
        common_items(names.iter().map(String::as_str).zip(items))
    }

    fn slice(&self, start: usize, end: usize) -> Self {
        self.iter().map(|batch| batch.slice(start, end)).collect()
    }
}

impl<T: SplitBatch> SplitBatch for Option<T> {
    fn items(&self) -> Result<Option<usize>> {
        self.as_ref().map_or(Ok(None), SplitBatch::items)
    }

    fn slice(&self, start: usize, end: usize) -> Self {
        self.as_ref().map(|value| value.slice(start, end))
    }
}

impl<T: SplitBatch> SplitBatch for Box<T> {
    fn items(&self) -> Result<Option<usize>> {
        self.as_ref().items()
    }

    fn slice(&self, start: usize, end: usize) -> Self {
        Box::new(self.as_ref().slice(start, end))
    }
}

macro_rules! split_tuples {
    ($(($($field:tt $name:literal $ty:ident),+);)*) => {$(
        impl<$($ty: SplitBatch),+> SplitBatch for ($($ty,)+) {
            fn items(&self) -> Result<Option<usize>> {
                common_items([$(($name, self.$field.items()?)),+])
            }

            fn slice(&self, start: usize, end: usize) -> Self {
                ($(self.$field.slice(start, end),)+)
            }
        }
    )*};
}

split_tuples! {
    (0 "0" A);
    (0 "0" A, 1 "1" B);
    (0 "0" A, 1 "1" B, 2 "2" C);
    (0 "0" A, 1 "1" B, 2 "2" C, 3 "3" D);
    (0 "0" A, 1 "1" B, 2 "2" C, 3 "3" D, 4 "4" E);
    (0 "0" A, 1 "1" B, 2 "2" C, 3 "3" D, 4 "4" E, 5 "5" F);
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Bool, Device, Int};

    use super::*;

    fn sizes<B: SplitBatch>(batch: &B, parts: usize) -> Vec<usize> {
        SplitBatch::split(batch, parts).unwrap().into_iter().map(|part| part.items).collect()
    }

    fn numbers(items: usize) -> Tensor<1, Int> {
        Tensor::<1, Int>::ones([items.max(1)], &Device::flex()).cumsum(0).narrow(0, 0, items)
    }

    fn list(tensor: &Tensor<1, Int>) -> Vec<i64> {
        tensor.to_data().iter::<i64>().collect()
    }

    #[test]
    fn parts_are_even_and_none_is_empty() {
        let batch = numbers;
        assert_eq!(sizes(&batch(8), 2), [4, 4]);
        assert_eq!(sizes(&batch(8), 3), [3, 3, 2]);
        assert_eq!(sizes(&batch(2), 3), [1, 1]);
        assert_eq!(sizes(&batch(1), 3), [1]);
        let parts = SplitBatch::split(&batch(7), 3).unwrap();
        assert_eq!(parts.iter().flat_map(|part| list(&part.value)).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7], "in order, each item once");
    }

    #[test]
    fn every_kind_of_field_is_split_alike() {
        let device = Device::flex();
        let floats = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
        let ints = Tensor::<1, Int>::from_ints([1, 2, 3], &device);
        let bools: Tensor<1, Bool> = ints.clone().equal_elem(3);
        let none: Option<Tensor<1>> = None;
        let batch = (floats, ints.clone(), bools, none, Box::new(vec![ints.clone(), ints]));
        let parts = batch.split(2).unwrap();
        let (floats, ints, bools, none, several) = parts[1].value.clone();
        assert_eq!(floats.into_data().try_to_vec::<f32>().unwrap(), [5.0, 6.0]);
        assert_eq!(ints.into_data().iter::<i64>().collect::<Vec<_>>(), [3]);
        assert!(bools.into_data().iter::<bool>().all(|yes| yes));
        assert!(none.is_none());
        assert_eq!(several.iter().map(list).collect::<Vec<_>>(), [[3], [3]], "each batch of a list is divided, not the list");
    }

    #[test]
    fn fields_of_different_lengths_are_named() {
        let uneven = (numbers(3), (numbers(1), numbers(1)));
        let error = uneven.split(2).unwrap_err();
        assert_eq!(error.to_string(), "a batch cannot be split: its field `0` has 3 items, and `1` has 1");
        assert!(error.hint().is_some());
        assert!(vec![numbers(3), numbers(2)].split(2).is_err(), "batches of a list");
        assert_eq!(uneven.split(1).unwrap().len(), 1, "nothing is divided");
    }
}
