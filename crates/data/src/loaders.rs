use crate::Loader;

/// The loaders of an evaluation, each with its index (`dataloader_idx`). May be empty.
///
/// Convert `from` one loader, a `Vec`, an array or an `Option` of a loader.
///
/// ```
/// use stormfire_data::{Loader, Loaders};
///
/// let [seen, unseen] = [vec![1, 2], vec![3]].map(Loader::from_batches);
/// let loaders: Loaders<i32> = [seen, unseen].into();
/// assert_eq!(loaders.len(), 2);
/// ```
#[derive(Debug)]
pub struct Loaders<B>(Vec<Loader<B>>);

impl<B> Loaders<B> {
    /// No loaders: nothing is evaluated.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The number of loaders.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The loaders in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Loader<B>> {
        self.0.iter()
    }

    /// The loader with this index.
    pub fn get(&self, index: usize) -> Option<&Loader<B>> {
        self.0.get(index)
    }
}

impl<B> Clone for Loaders<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<B> Default for Loaders<B> {
    fn default() -> Self {
        Self::none()
    }
}

impl<B> From<Loader<B>> for Loaders<B> {
    fn from(loader: Loader<B>) -> Self {
        Self(vec![loader])
    }
}

impl<B> From<Vec<Loader<B>>> for Loaders<B> {
    fn from(loaders: Vec<Loader<B>>) -> Self {
        Self(loaders)
    }
}

impl<B, const N: usize> From<[Loader<B>; N]> for Loaders<B> {
    fn from(loaders: [Loader<B>; N]) -> Self {
        Self(loaders.into())
    }
}

impl<B> From<Option<Loader<B>>> for Loaders<B> {
    fn from(loader: Option<Loader<B>>) -> Self {
        loader.into_iter().collect()
    }
}

impl<B> FromIterator<Loader<B>> for Loaders<B> {
    fn from_iter<T: IntoIterator<Item = Loader<B>>>(loaders: T) -> Self {
        Self(loaders.into_iter().collect())
    }
}

impl<B> IntoIterator for Loaders<B> {
    type Item = Loader<B>;
    type IntoIter = std::vec::IntoIter<Loader<B>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, B> IntoIterator for &'a Loaders<B> {
    type Item = &'a Loader<B>;
    type IntoIter = std::slice::Iter<'a, Loader<B>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
