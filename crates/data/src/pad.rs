//! Batches of sequences of different lengths.

use burn::tensor::{Bool, Device, Element, FloatDType, Int, Tensor, TensorData};

use crate::{CastBatch, Error, Result, SplitBatch, common_items, items_of};

/// Makes a tensor of sequences of different lengths: pads short ones, and truncates long ones if requested.
///
/// ```
/// use burn::{data::dataset::InMemDataset, prelude::*};
/// use stormfire_data::{Loader, Pad};
///
/// let texts = InMemDataset::new(vec![vec![5_u32, 6, 7], vec![8]]);
/// let pad = |texts: Vec<Vec<u32>>, device: &Device| Pad::right().multiple_of(4).ints(&texts, 0, device);
/// let loader = Loader::collate(texts, pad).batch_size(2);
/// let batch = loader.batches(Default::default(), &Device::flex())?.next().unwrap()?.value;
/// let padded = Tensor::<2, Int>::from_ints([[5, 6, 7, 0], [8, 0, 0, 0]], &Device::flex());
/// assert_eq!(batch.values.into_data(), padded.into_data());
/// assert_eq!(batch.lengths, [3, 1]);
/// # Ok::<(), stormfire_data::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Pad {
    is_left: bool,
    multiple: usize,
    kept: Kept,
    at_least: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    All,
    First(usize),
    Last(usize),
}

/// A padded batch, made by [`Pad`].
#[derive(Clone, Debug)]
pub struct Padded<T> {
    /// The sequences, `[items, time]` or `[items, time, features]`.
    pub values: T,
    /// True where a value belongs to a sequence, `[items, time]`: the `attention_mask` of Hugging Face.
    pub mask: Tensor<2, Bool>,
    /// The length of each sequence, after truncation.
    pub lengths: Vec<usize>,
}

impl<T> Padded<T> {
    /// True where there is padding: the `mask_pad` of burn's attention, `PyTorch`'s `key_padding_mask`.
    pub fn padding(&self) -> Tensor<2, Bool> {
        self.mask.clone().bool_not()
    }

    /// The mean over time, `[items, features]`, of the states that a network makes of the values, `[items, time,
    /// features]`. States of padding do not count, even if they are NaN. The mean of an empty sequence is 0.
    pub fn mean_of(&self, states: Tensor<3>) -> Tensor<2> {
        let sums = states.mask_fill(self.padding().unsqueeze_dim::<3>(2), 0.0).sum_dim(1).squeeze_dim::<2>(1);
        let lengths = self.mask.clone().int().sum_dim(1).clamp_min(1).cast(FloatDType::F32).cast(sums.dtype());
        sums / lengths
    }

    /// The number of values that belong to a sequence: the weight of a sum over them (`StepOutput::weight`).
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }
}

impl Pad {
    /// The padding comes after a sequence.
    pub fn right() -> Self {
        Self { is_left: false, multiple: 1, kept: Kept::All, at_least: 0 }
    }

    /// The padding comes before a sequence, as for the generation of text.
    pub fn left() -> Self {
        Self { is_left: true, ..Self::right() }
    }

    /// Rounds the length of the tensor up to a multiple of this number. It is rounded after truncation.
    #[must_use]
    pub fn multiple_of(mut self, length: usize) -> Self {
        self.multiple = length.max(1);
        self
    }

    /// The tensor is at least this long. With [`keep_first`](Self::keep_first), each batch has the same length.
    #[must_use]
    pub fn at_least(mut self, length: usize) -> Self {
        self.at_least = length;
        self
    }

    /// Truncates sequences: keeps their first values.
    #[must_use]
    pub fn keep_first(mut self, length: usize) -> Self {
        self.kept = Kept::First(length);
        self
    }

    /// Truncates sequences: keeps their last values.
    #[must_use]
    pub fn keep_last(mut self, length: usize) -> Self {
        self.kept = Kept::Last(length);
        self
    }

    /// Sequences of integers, such as tokens, as `[items, time]`.
    pub fn ints<E: Element, S: AsRef<[E]>>(&self, sequences: &[S], padding: E, device: &Device) -> Padded<Tensor<2, Int>> {
        let kept: Vec<&[E]> = sequences.iter().map(|sequence| self.keep(sequence.as_ref(), 1)).collect();
        let lengths: Vec<usize> = kept.iter().map(|sequence| sequence.len()).collect();
        let time = self.time(&lengths);
        let mut flat = vec![padding.elem::<i64>(); kept.len() * time];
        for (item, sequence) in kept.iter().enumerate() {
            let start = item * time + self.offset(sequence.len(), time);
            for (place, value) in flat[start..].iter_mut().zip(*sequence) {
                *place = value.elem();
            }
        }
        let values = Tensor::from_data(TensorData::new(flat, [kept.len(), time]), device);
        Padded { values, mask: self.mask(&lengths, time, device), lengths }
    }

    /// Series of floats as `[items, time, features]`. A series is a list of all its numbers, the features of the first
    /// moment first.
    ///
    /// # Errors
    /// [`Error::Series`] if a series is not a whole number of moments.
    pub fn floats<S: AsRef<[f32]>>(&self, series: &[S], features: usize, padding: f32, device: &Device) -> Result<Padded<Tensor<3>>> {
        let uneven = series.iter().position(|series| features == 0 || series.as_ref().len() % features != 0);
        if let Some(item) = uneven {
            return Err(Error::Series { item, numbers: series[item].as_ref().len(), features });
        }
        Ok(self.series(series.iter().map(AsRef::as_ref), features, padding, device))
    }

    /// Series of floats as `[items, time, features]`. A series is a list of moments, each with its `F` features.
    ///
    /// ```
    /// use burn::tensor::Device;
    /// use stormfire_data::Pad;
    ///
    /// let series = [vec![[1.0, 2.0], [3.0, 4.0]], vec![[5.0, 6.0]]];
    /// let padded = Pad::right().moments(&series, 0.0, &Device::flex());
    /// assert_eq!((padded.values.dims(), padded.lengths), ([2, 2, 2], vec![2, 1]));
    /// ```
    pub fn moments<const F: usize, S: AsRef<[[f32; F]]>>(&self, series: &[S], padding: f32, device: &Device) -> Padded<Tensor<3>> {
        self.series(series.iter().map(|series| series.as_ref().as_flattened()), F, padding, device)
    }

    fn series<'a>(&self, series: impl Iterator<Item = &'a [f32]>, features: usize, padding: f32, device: &Device) -> Padded<Tensor<3>> {
        let kept: Vec<&[f32]> = series.map(|series| self.keep(series, features)).collect();
        let lengths: Vec<usize> = kept.iter().map(|series| series.len() / features).collect();
        let time = self.time(&lengths);
        let mut flat = vec![padding; kept.len() * time * features];
        for (item, series) in kept.iter().enumerate() {
            let start = (item * time + self.offset(lengths[item], time)) * features;
            flat[start..start + series.len()].copy_from_slice(series);
        }
        let values = Tensor::from_data(TensorData::new(flat, [kept.len(), time, features]), device);
        Padded { values, mask: self.mask(&lengths, time, device), lengths }
    }

    fn keep<'a, E>(&self, sequence: &'a [E], width: usize) -> &'a [E] {
        match self.kept {
            Kept::First(length) => &sequence[..sequence.len().min(length * width)],
            Kept::Last(length) => &sequence[sequence.len().saturating_sub(length * width)..],
            Kept::All => sequence,
        }
    }

    /// At least one, because some backends have no empty tensors.
    fn time(&self, lengths: &[usize]) -> usize {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        longest.max(self.at_least).max(1).next_multiple_of(self.multiple)
    }

    fn offset(&self, length: usize, time: usize) -> usize {
        if self.is_left { time - length } else { 0 }
    }

    fn mask(&self, lengths: &[usize], time: usize, device: &Device) -> Tensor<2, Bool> {
        let of_item = |&length: &usize| {
            let start = self.offset(length, time);
            (0..time).map(move |place| (start..start + length).contains(&place))
        };
        let flat: Vec<bool> = lengths.iter().flat_map(of_item).collect();
        Tensor::from_data(TensorData::new(flat, [lengths.len(), time]), device)
    }
}

/// Sorts the items of a batch, the longest first, as packed sequences require. Items of the same length keep their
/// order.
pub fn sort_by_length<I>(items: &mut [I], length: impl Fn(&I) -> usize) {
    items.sort_by_key(|item| std::cmp::Reverse(length(item)));
}

impl<T: SplitBatch> SplitBatch for Padded<T> {
    fn items(&self) -> Result<Option<usize>> {
        common_items([("values", self.values.items()?), ("mask", self.mask.items()?), ("lengths", Some(self.lengths.len()))])
    }

    fn slice(&self, start: usize, end: usize) -> Self {
        Self {
            values: self.values.slice(start, end),
            mask: SplitBatch::slice(&self.mask, start, end),
            lengths: items_of(&self.lengths, start, end),
        }
    }
}

impl<T: CastBatch> CastBatch for Padded<T> {
    fn cast_floats(self, dtype: FloatDType) -> Self {
        Self { values: self.values.cast_floats(dtype), ..self }
    }
}

#[cfg(test)]
mod tests;
