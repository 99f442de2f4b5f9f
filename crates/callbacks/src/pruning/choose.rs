//! Which weights go: on the host, as `torch.nn.utils.prune` chooses them.

use stormfire_module::{Error, Result};

use super::{PruningAmount, PruningNorm};

/// A parameter on the host.
pub(super) struct Layer {
    pub(super) path: String,
    pub(super) shape: Vec<usize>,
    pub(super) weights: Vec<f32>,
    pub(super) keeps: Vec<bool>,
}

/// Prunes the smallest weights of all layers together.
pub(super) fn prune_all(layers: &mut [Layer], amount: PruningAmount) -> Result<()> {
    let kept = |(number, layer): (usize, &Layer)| {
        let of_layer: Vec<_> = layer.kept().map(|index| ((number, index), f64::from(layer.weights[index].abs()))).collect();
        of_layer
    };
    let scores: Vec<_> = layers.iter().enumerate().flat_map(kept).collect();
    for (layer, index) in smallest(scores, amount, "the chosen weights")? {
        layers[layer].keeps[index] = false;
    }
    Ok(())
}

/// Prunes the smallest weights of each layer, or its smallest slices along a dimension.
pub(super) fn prune_each(layers: &mut [Layer], amount: PruningAmount, slices: Option<(usize, PruningNorm)>) -> Result<()> {
    for layer in layers {
        let what = format!("`{}`", layer.path);
        match slices {
            None => {
                let scores = layer.kept().map(|index| (index, f64::from(layer.weights[index].abs()))).collect();
                for index in smallest(scores, amount, &what)? {
                    layer.keeps[index] = false;
                }
            }
            Some((dim, norm)) => {
                let scores = layer.slices(dim, norm)?;
                for slice in smallest(scores, amount, &what)? {
                    layer.drop_slice(dim, slice);
                }
            }
        }
    }
    Ok(())
}

/// The keys of the smallest scores. The order decides between equal ones.
fn smallest<K>(mut scores: Vec<(K, f64)>, amount: PruningAmount, of: &str) -> Result<Vec<K>> {
    let count = number(amount, scores.len(), of)?;
    scores.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    scores.truncate(count);
    Ok(scores.into_iter().map(|(key, _)| key).collect())
}

/// The number of weights or slices to prune of those that are left.
pub(super) fn number(amount: PruningAmount, left: usize, of: &str) -> Result<usize> {
    amount.check()?;
    match amount {
        PruningAmount::Share(share) => Ok((share * left as f64).round_ties_even() as usize),
        PruningAmount::Count(count) if count > left => {
            let reason = format!("{count} are to be pruned of {of}, and {left} are left");
            Err(Error::config("ModelPruning", reason, "give a share, or end the schedule earlier"))
        }
        PruningAmount::Count(count) => Ok(count),
    }
}

/// The number of slices of a parameter along a dimension.
pub(super) fn slices_of(path: &str, shape: &[usize], dim: usize) -> Result<usize> {
    shape.get(dim).copied().ok_or_else(|| {
        let reason = format!("`{path}` has {} dimensions, and slices of dimension {dim} are to be pruned", shape.len());
        Error::config("ModelPruning", reason, "choose parameters that have it with `parameters`")
    })
}

impl Layer {
    /// The indices of the elements that are kept.
    fn kept(&self) -> impl Iterator<Item = usize> {
        self.keeps.iter().enumerate().filter(|(_, keeps)| **keeps).map(|(index, _)| index)
    }

    /// The slice along a dimension that an element belongs to.
    fn slice_of(&self, dim: usize, index: usize) -> usize {
        let inner: usize = self.shape.iter().skip(dim + 1).product();
        index / inner.max(1) % self.shape[dim].max(1)
    }

    /// The slices of which something is kept, with their norms.
    fn slices(&self, dim: usize, norm: PruningNorm) -> Result<Vec<(usize, f64)>> {
        let count = slices_of(&self.path, &self.shape, dim)?;
        let (mut norms, mut is_kept) = (vec![0.0_f64; count], vec![false; count]);
        for (index, (&weight, &keeps)) in self.weights.iter().zip(&self.keeps).enumerate() {
            let (slice, weight) = (self.slice_of(dim, index), f64::from(weight.abs()));
            is_kept[slice] |= keeps;
            norms[slice] = match norm {
                PruningNorm::L1 => norms[slice] + weight,
                // The square has the same order as its root.
                PruningNorm::L2 => norms[slice] + weight * weight,
                PruningNorm::Max => norms[slice].max(weight),
            };
        }
        Ok(norms.into_iter().enumerate().filter(|(slice, _)| is_kept[*slice]).collect())
    }

    fn drop_slice(&mut self, dim: usize, slice: usize) {
        for index in 0..self.keeps.len() {
            if self.slice_of(dim, index) == slice {
                self.keeps[index] = false;
            }
        }
    }
}
