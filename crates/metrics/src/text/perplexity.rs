//! Perplexity.

use burn::tensor::{Int, Tensor, activation};
use stormfire_derive::Merge;
use stormfire_values::{ConfigError, Scalar};

use crate::{
    classification::{plain, plain_targets},
    metric::Metric,
    regression::sum,
};

/// The perplexity of a language model, `exp(-Σ log p(target) / n)`, over the tokens of all batches. The mean of the
/// perplexities of batches is another number. NaN without tokens, and if a target is outside of the vocabulary.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Perplexity {
    #[merge(sum)]
    loss: Scalar,
    #[merge(sum)]
    tokens: Scalar,
}

/// The perplexity of logits `[.., vocabulary]` for targets `[..]`. Tokens with the target `ignore_index`, such as
/// padding, do not count.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use stormfire_metrics::{Metric, text::perplexity};
///
/// // All of four tokens have the same probability. The last one is padding.
/// let logits = Tensor::<3>::zeros([1, 3, 4], &Device::flex());
/// let targets = Tensor::<2, Int>::from_ints([[0, 3, -1]], &Device::flex());
/// let value = perplexity(&logits, &targets, Some(-1))?.read()?;
/// assert!((value - 4.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The shapes do not fit together.
pub fn perplexity<const D: usize, const T: usize>(
    logits: &Tensor<D>,
    targets: &Tensor<T, Int>,
    ignore_index: Option<i64>,
) -> Result<Perplexity, ConfigError> {
    let (dims, of_targets) = (logits.dims(), targets.dims());
    let (tokens, vocabulary) = (dims.iter().rev().skip(1).product::<usize>(), dims.last().copied().unwrap_or(0));
    if vocabulary == 0 || dims[..D - 1] != of_targets[..] {
        let reason = format!("the logits have shape {dims:?}, the targets {of_targets:?}");
        return Err(ConfigError::new("perplexity", reason, "logits need the shape of the targets and a last dimension for the vocabulary"));
    }
    if tokens == 0 {
        return Ok(Perplexity { loss: 0.0.into(), tokens: 0.0.into() });
    }
    let targets = plain_targets(targets).reshape([tokens]);
    let logs = activation::log_softmax(plain(logits).reshape([tokens, vocabulary]), 1);
    let is_invalid = targets.clone().lower_elem(0).bool_or(targets.clone().greater_equal_elem(vocabulary as i64));
    let own = logs.gather(1, targets.clone().clamp(0, vocabulary as i64 - 1).reshape([tokens, 1])).reshape([tokens]);
    let own = own.mask_fill(is_invalid, f64::NAN);
    let Some(index) = ignore_index else {
        return Ok(Perplexity { loss: sum(own), tokens: tokens.into() });
    };
    let is_ignored = targets.equal_elem(index);
    let counted = is_ignored.clone().bool_not().int().sum();
    Ok(Perplexity { loss: sum(own.mask_fill(is_ignored, 0.0)), tokens: counted.into() })
}

impl Metric for Perplexity {
    type Value = f64;

    fn compute(&self) -> f64 {
        (-self.loss.value() / self.tokens.value()).exp()
    }
}
