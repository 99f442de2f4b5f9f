use std::sync::Arc;

use burn::data::dataset::Dataset;

use super::BatchSampler;
use crate::{Error, Random, Result};

/// Batches of items of similar lengths, so that little is padded: each item once in an epoch, the batches in a random
/// order.
///
/// Lengths are rounded up to a [multiple](Self::multiple_of) first. Items that have the same length then are in a
/// random order, so the batches of two epochs differ. The number of batches and their sizes are the same in each epoch,
/// as in fairseq's `batch_by_size`.
///
/// | limit | a batch has |
/// |---|---|
/// | [`batch_size`](Self::batch_size) | at most this number of items |
/// | [`max_tokens`](Self::max_tokens) | at most this number of tokens, with the padding: items × the largest rounded
/// length |
///
/// ```
/// use burn::{data::dataset::InMemDataset, tensor::Device};
/// use stormfire_data::{Length, LengthSampler, Loader};
///
/// let texts = ["a b c", "a", "a b c d e f", "a b", "a b c d"];
/// let lengths = texts.iter().map(|text| text.split(' ').count());
/// let sampler = LengthSampler::new(lengths).max_tokens(8).multiple_of(2);
/// let loader = Loader::collate(InMemDataset::new(texts.to_vec()), |texts, _| texts.join("|")).batch_sampler(sampler);
/// // Two items of two tokens and two of four, and one of six.
/// assert_eq!(loader.len(), Length::Batches(3));
/// ```
#[derive(Clone, Debug)]
pub struct LengthSampler {
    lengths: Arc<[usize]>,
    pub(super) multiple: usize,
    pub(super) batch_size: Option<usize>,
    pub(super) max_tokens: Option<usize>,
    drop_last: bool,
    longest_first: bool,
}

impl LengthSampler {
    /// The length of each item of the dataset.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let lengths = lengths.into_iter().collect();
        Self { lengths, multiple: 8, batch_size: None, max_tokens: None, drop_last: false, longest_first: false }
    }

    /// The length of each item, by a function of the item. It reads the whole dataset.
    ///
    /// # Errors
    /// The first item that cannot be read.
    pub fn of<I>(dataset: &(impl Dataset<I> + ?Sized), length: impl Fn(&I) -> usize) -> Result<Self> {
        let lengths = (0..dataset.len()).map(|index| Ok(length(&dataset.get(index)?)));
        Ok(Self::new(lengths.collect::<Result<Vec<_>>>()?))
    }

    /// The largest number of items of a batch.
    #[must_use]
    pub fn batch_size(mut self, items: usize) -> Self {
        self.batch_size = Some(items);
        self
    }

    /// The largest number of tokens of a batch, padding included. An item with more tokens is an error.
    #[must_use]
    pub fn max_tokens(mut self, tokens: usize) -> Self {
        self.max_tokens = Some(tokens);
        self
    }

    /// Lengths are rounded up to a multiple of this number (default 8). A larger number pads more and mixes better. It
    /// should be that of the padding.
    #[must_use]
    pub fn multiple_of(mut self, length: usize) -> Self {
        self.multiple = length;
        self
    }

    /// Whether all batches have exactly `batch_size` items (default false). The items that are left out are drawn in
    /// each epoch.
    #[must_use]
    pub fn drop_last(mut self, on: bool) -> Self {
        self.drop_last = on;
        self
    }

    /// Whether the batch with the most tokens comes first (default false), so that a lack of memory shows at once.
    #[must_use]
    pub fn longest_first(mut self, on: bool) -> Self {
        self.longest_first = on;
        self
    }

    fn padded(&self, item: usize) -> usize {
        self.lengths[item].max(1).checked_next_multiple_of(self.multiple.max(1)).unwrap_or(usize::MAX)
    }

    /// The ends of batches of items with these lengths, which ascend.
    fn cut(&self, lengths: impl Iterator<Item = usize>) -> Vec<usize> {
        let (batch_size, max_tokens) = (self.batch_size.unwrap_or(usize::MAX), self.max_tokens.unwrap_or(usize::MAX));
        let (mut ends, mut start, mut end) = (Vec::new(), 0, 0);
        for length in lengths {
            let items = end - start;
            if items > 0 && (items >= batch_size || (items + 1).saturating_mul(length) > max_tokens) {
                ends.push(end);
                start = end;
            }
            end += 1;
        }
        if end > start {
            ends.push(end);
        }
        ends
    }
}

impl BatchSampler for LengthSampler {
    fn batches(&self) -> usize {
        match self.batch_size {
            Some(batch_size) if self.drop_last => self.lengths.len() / batch_size.max(1),
            _ => {
                let mut lengths: Vec<usize> = (0..self.lengths.len()).map(|item| self.padded(item)).collect();
                lengths.sort_unstable();
                self.cut(lengths.into_iter()).len()
            }
        }
    }

    fn order(&self, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
        let mut random = Random::of_epoch(seed, epoch);
        let mut items: Vec<usize> = (0..self.lengths.len()).collect();
        random.shuffle(&mut items);
        if let Some(batch_size) = self.batch_size.filter(|_| self.drop_last) {
            items.truncate(items.len() / batch_size.max(1) * batch_size.max(1));
        }
        // Stable: items of one length stay in the random order.
        items.sort_by_key(|&item| self.padded(item));
        let mut start = 0;
        let ends = self.cut(items.iter().map(|&item| self.padded(item)));
        let mut batches: Vec<Vec<usize>> = ends.into_iter().map(|end| items[std::mem::replace(&mut start, end)..end].to_vec()).collect();
        random.shuffle(&mut batches);
        if self.longest_first {
            let tokens = |batch: &Vec<usize>| batch.len() * batch.iter().map(|&item| self.padded(item)).max().unwrap_or(0);
            if let Some(longest) = (0..batches.len()).max_by_key(|&index| tokens(&batches[index])) {
                batches.swap(0, longest);
            }
        }
        batches
    }

    fn check(&self, items: usize) -> Result<()> {
        if self.lengths.len() != items {
            return Err(Error::sampler(format!("there are {} lengths for {items} items", self.lengths.len())));
        }
        if self.batch_size.is_none() && self.max_tokens.is_none() {
            return Err(Error::sampler("a `LengthSampler` needs `batch_size` or `max_tokens`"));
        }
        for (option, value) in [("batch_size", self.batch_size), ("multiple_of", Some(self.multiple))] {
            if value == Some(0) {
                return Err(Error::InvalidOption { option, value: 0 });
            }
        }
        if self.drop_last && (self.batch_size.is_none() || self.max_tokens.is_some()) {
            return Err(Error::sampler("`drop_last` needs a fixed `batch_size`, without `max_tokens`"));
        }
        let Some(max_tokens) = self.max_tokens else { return Ok(()) };
        match (0..items).find(|&item| self.padded(item) > max_tokens) {
            Some(item) => Err(Error::sampler(format!(
                "item {item} has {} tokens, padded {}, which is more than `max_tokens`, {max_tokens}",
                self.lengths[item],
                self.padded(item)
            ))),
            None => Ok(()),
        }
    }
}
