//! Cross-validation.

use std::{hash::Hash, sync::Arc};

use burn::data::dataset::Dataset;

use crate::{
    Error, Random, Result, Subset,
    classes::{Classes, classes},
};

/// Splits the items of a dataset into `k` folds for cross-validation: scikit-learn's `KFold`, `StratifiedKFold` and
/// `GroupKFold`.
///
/// The folds are drawn with a seed. The number of items of each class in each fold is that of scikit-learn.
///
/// ```
/// use stormfire_data::KFold;
///
/// let labels = ["cat", "cat", "dog", "cat", "dog", "cat"];
/// for fold in KFold::stratified(2, labels).seed(1).folds()? {
///     assert_eq!((fold.train.len(), fold.val.len()), (3, 3));
///     assert_eq!(fold.val.iter().filter(|&&item| labels[item] == "dog").count(), 1);
/// }
/// # Ok::<(), stormfire_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KFold {
    k: usize,
    seed: u64,
    by: By,
}

#[derive(Clone, Debug)]
enum By {
    Items(usize),
    Classes(Arc<Classes>),
    Groups(Arc<Classes>),
}

/// One fold: the indices of its items, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fold {
    /// The items to train with.
    pub train: Vec<usize>,
    /// The items to validate with. Each item of the dataset is in those of exactly one fold.
    pub val: Vec<usize>,
}

impl Fold {
    /// The two parts of a dataset. [`Error::Split`] if it has another number of items.
    pub fn of<I>(&self, dataset: &Arc<dyn Dataset<I>>) -> Result<(Subset<I>, Subset<I>)> {
        let (items, expected) = (dataset.len(), self.train.len() + self.val.len());
        if items != expected {
            return Err(Error::split(format!("it has {items} items, but the fold was made for {expected}")));
        }
        Ok((Subset::new(dataset.clone(), self.train.clone())?, Subset::new(dataset.clone(), self.val.clone())?))
    }
}

impl KFold {
    /// Folds of the same size, up to one item, for a dataset of `items` items.
    pub fn new(k: usize, items: usize) -> Self {
        Self { k, seed: 0, by: By::Items(items) }
    }

    /// Folds in which each class has its share of items. One label for each item.
    pub fn stratified<L: Eq + Hash>(k: usize, labels: impl IntoIterator<Item = L>) -> Self {
        Self { k, seed: 0, by: By::Classes(Arc::new(classes(labels))) }
    }

    /// Folds of about the same size, each with whole groups: no group is in two folds. One name of a group for each
    /// item, such as the patient of a picture.
    pub fn grouped<G: Eq + Hash>(k: usize, groups: impl IntoIterator<Item = G>) -> Self {
        Self { k, seed: 0, by: By::Groups(Arc::new(classes(groups))) }
    }

    /// The seed of the folds (default 0).
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The number of folds.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The `k` folds. [`Error::Split`] if there are too few items, members of each class, or groups.
    pub fn folds(&self) -> Result<Vec<Fold>> {
        if self.k < 2 {
            return Err(Error::split(format!("{} folds were requested, but at least 2 are needed", self.k)));
        }
        let mut random = Random::new(self.seed);
        let of_items = match &self.by {
            By::Items(items) => self.plain(*items, &mut random)?,
            By::Classes(classes) => self.by_class(classes, &mut random)?,
            By::Groups(groups) => self.by_group(groups, &mut random)?,
        };
        let part = |is_in: &dyn Fn(usize) -> bool| (0..of_items.len()).filter(|&item| is_in(of_items[item])).collect();
        Ok((0..self.k).map(|n| Fold { train: part(&|fold| fold != n), val: part(&|fold| fold == n) }).collect())
    }

    fn plain(&self, items: usize, random: &mut Random) -> Result<Vec<usize>> {
        self.enough(items, "items")?;
        let mut of_items: Vec<usize> = (0..items).map(|item| item % self.k).collect();
        random.shuffle(&mut of_items);
        Ok(of_items)
    }

    /// scikit-learn's allocation: the labels in order, dealt to the folds in turn.
    fn by_class(&self, classes: &Classes, random: &mut Random) -> Result<Vec<usize>> {
        let members = classes.members();
        self.enough(members.iter().map(Vec::len).max().unwrap_or(0), "items in the largest class")?;
        let mut of_items = vec![0; classes.of_items.len()];
        let mut dealt = 0;
        for (class, items) in members.iter().enumerate() {
            if items.len() < self.k {
                tracing::warn!(
                    class,
                    items = items.len(),
                    folds = self.k,
                    "a class has fewer items than there are folds: some folds lack it"
                );
            }
            let mut folds: Vec<usize> = (0..items.len()).map(|item| (dealt + item) % self.k).collect();
            dealt += items.len();
            random.shuffle(&mut folds);
            for (&item, fold) in items.iter().zip(folds) {
                of_items[item] = fold;
            }
        }
        Ok(of_items)
    }

    /// scikit-learn's allocation: the largest group first, each to the smallest fold.
    fn by_group(&self, groups: &Classes, random: &mut Random) -> Result<Vec<usize>> {
        self.enough(groups.count, "groups")?;
        let mut members = groups.members();
        random.shuffle(&mut members);
        members.sort_by_key(|items| std::cmp::Reverse(items.len()));
        let (mut of_items, mut sizes) = (vec![0; groups.of_items.len()], vec![0; self.k]);
        for items in members {
            let fold = (0..self.k).min_by_key(|&fold| sizes[fold]).unwrap_or(0);
            sizes[fold] += items.len();
            for item in items {
                of_items[item] = fold;
            }
        }
        Ok(of_items)
    }

    fn enough(&self, got: usize, of: &str) -> Result<()> {
        let k = self.k;
        if got < k { Err(Error::split(format!("{k} folds need at least {k} {of}, and there are {got}"))) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
