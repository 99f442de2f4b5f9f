//! Random parts of a dataset.

use std::sync::Arc;

use burn::data::dataset::Dataset;

use crate::{Error, Random, Result, Subset};

/// The size of a part for [`random_split`]: a number of items (`usize`) or a fraction (`f64`).
pub trait Portion: Copy {
    /// The sizes of parts of `items` items.
    ///
    /// # Errors
    /// [`Error::Split`] if they do not add up to all items.
    fn sizes(parts: &[Self], items: usize) -> Result<Vec<usize>>;
}

impl Portion for usize {
    fn sizes(parts: &[Self], items: usize) -> Result<Vec<usize>> {
        match parts.iter().sum::<usize>() {
            sum if sum == items => Ok(parts.to_vec()),
            sum => Err(Error::split(format!("the parts have {sum} items together, and the dataset has {items}"))),
        }
    }
}

/// As in `PyTorch`, a part is rounded down, and the items that are left go to the first parts, one each.
impl Portion for f64 {
    fn sizes(parts: &[Self], items: usize) -> Result<Vec<usize>> {
        let sum: f64 = parts.iter().sum();
        if parts.iter().any(|part| !(0.0..=1.0).contains(part)) || (sum - 1.0).abs() > 1e-6 {
            return Err(Error::split(format!("the fractions {parts:?} add up to {sum}, not to 1")));
        }
        let mut sizes: Vec<usize> = parts.iter().map(|part| (part * items as f64).floor() as usize).collect();
        let left = items.saturating_sub(sizes.iter().sum());
        let parts = sizes.len();
        (0..left).for_each(|part| sizes[part % parts] += 1);
        Ok(sizes)
    }
}

/// Divides a dataset into random parts: `PyTorch`'s `random_split`.
///
/// ```
/// use burn::data::dataset::{Dataset, InMemDataset};
/// use stormfire_data::random_split;
///
/// let [train, val] = random_split(InMemDataset::new((0..10).collect::<Vec<u32>>()), [0.8, 0.2], 42)?;
/// assert_eq!((train.len(), val.len()), (8, 2));
/// # Ok::<(), stormfire_data::Error>(())
/// ```
///
/// # Errors
/// [`Error::Split`] if the parts do not add up to all items.
pub fn random_split<I, P: Portion, const N: usize>(dataset: impl Dataset<I> + 'static, parts: [P; N], seed: u64) -> Result<[Subset<I>; N]> {
    let dataset: Arc<dyn Dataset<I>> = Arc::new(dataset);
    let sizes = P::sizes(&parts, dataset.len())?;
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    Random::new(seed).shuffle(&mut order);
    let mut rest = order.into_iter();
    let parts = sizes.into_iter().map(|size| Subset::new(dataset.clone(), rest.by_ref().take(size).collect::<Vec<_>>()));
    let parts = parts.collect::<Result<Vec<_>>>()?;
    parts.try_into().map_err(|_| Error::split("there are other parts than sizes"))
}

#[cfg(test)]
mod tests {
    use burn::data::dataset::InMemDataset;

    use super::*;

    /// `torch.utils.data.random_split` of `PyTorch` 1.13 has these lengths: `xtask/python/data/samplers.py`.
    #[test]
    fn fractions_are_rounded_as_in_pytorch() {
        let sizes = |items, parts: &[f64]| f64::sizes(parts, items).unwrap();
        assert_eq!(sizes(10, &[0.8, 0.2]), [8, 2]);
        assert_eq!(sizes(11, &[0.3, 0.3, 0.4]), [4, 3, 4]);
        assert_eq!(sizes(7, &[0.5, 0.25, 0.25]), [4, 2, 1]);
        assert_eq!(sizes(2, &[0.1, 0.2, 0.7]), [1, 0, 1]);
        assert_eq!(sizes(0, &[0.5, 0.5]), [0, 0]);
    }

    #[test]
    fn parts_have_every_item_once_and_depend_on_the_seed() {
        let all = |seed| {
            let parts = random_split(InMemDataset::new((0..20).collect::<Vec<usize>>()), [13_usize, 0, 7], seed).unwrap();
            parts.map(|part| part.iter().map(std::result::Result::unwrap).collect::<Vec<usize>>())
        };
        assert_eq!(all(1).each_ref().map(Vec::len), [13, 0, 7]);
        let mut items = all(1).concat();
        items.sort_unstable();
        assert_eq!(items, (0..20).collect::<Vec<_>>());
        assert_eq!(all(1), all(1));
        assert_ne!(all(1), all(2));
    }

    #[test]
    fn parts_that_do_not_add_up_are_refused() {
        let dataset = || InMemDataset::new(vec![0; 10]);
        let error = random_split(dataset(), [4_usize, 5], 0).err().unwrap();
        assert_eq!(error.to_string(), "the dataset cannot be split: the parts have 9 items together, and the dataset has 10");
        for parts in [[0.5, 0.6], [1.5, -0.5], [f64::NAN, 1.0]] {
            assert!(random_split(dataset(), parts, 0).is_err(), "{parts:?}");
        }
    }
}
