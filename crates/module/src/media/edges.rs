//! Histograms that are counted on the device.

use burn::tensor::{DType, Int, Tensor};
use stormfire_loggers::{Error as LoggerError, Histogram, HistogramStats};

use crate::{
    error::{Error, Result},
    read::Tensors,
};

/// So many comparisons are in the memory of the device at once.
const AT_ONCE: usize = 1 << 22;

/// A histogram of all elements in buckets of your own, counted on the device: a few operations for every 4 million
/// comparisons of an element with an edge, and one read of some numbers.
///
/// As in `numpy.histogram`, a bucket holds its left edge, and the last one both. Elements outside are in no bucket; they
/// are in minimum, maximum and sums, unless they are not finite. Half floats are counted as `f32`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_module::media;
///
/// let tensor = Tensor::<1>::from_floats([0.0, 0.5, 1.0, 2.0, 7.0], &Device::flex());
/// let histogram = media::histogram_with_edges(tensor, &[0.0, 1.0, 2.0])?;
/// // The first limit is the left edge of the first bucket.
/// assert_eq!(histogram.limits(), [0.0, 1.0, 2.0]);
/// assert_eq!(histogram.counts(), [0.0, 2.0, 2.0]);
/// assert_eq!(histogram.stats().max, 7.0);
/// # Ok::<(), stormfire_module::Error>(())
/// ```
///
/// # Errors
/// [`LoggerError::InvalidMedia`] if there are fewer than two edges, they do not ascend, or no element is finite;
/// [`Error::Read`].
pub fn histogram_with_edges<const D: usize>(tensor: Tensor<D>, edges: &[f64]) -> Result<Histogram> {
    let Some(last) = check(edges)? else { return Err(no_histogram("a bucket needs two edges".into()).into()) };
    let count = tensor.shape().num_elements();
    if count == 0 {
        return Err(no_histogram("there is no finite sample".into()).into());
    }
    let tensor = tensor.inner().reshape([count]);
    let tensor = if matches!(tensor.dtype(), DType::F16 | DType::BF16) { tensor.cast(DType::F32) } else { tensor };
    let finite = tensor.clone().is_finite();
    let filled = |value: f64| tensor.clone().mask_fill(finite.clone().bool_not(), value);
    // No comparison with infinity counts it.
    let below = below(&filled(f64::INFINITY), edges, last);
    let zeroed = filled(0.0);
    let mut tensors = Tensors::new();
    tensors.add(below);
    tensors.add(finite.clone().int().sum());
    for value in [filled(f64::INFINITY).min(), filled(f64::NEG_INFINITY).max(), zeroed.clone().sum(), zeroed.powi_scalar(2).sum()] {
        tensors.add(value);
    }
    let read: Vec<Vec<f64>> = tensors.read()?.into_iter().map(|data| data.iter::<f64>().collect()).collect();
    let [below, finite, numbers @ ..] = &read[..] else { return Err(incomplete()) };
    let &[min, max, sum, sum_squares] = &numbers.concat()[..] else { return Err(incomplete()) };
    if finite.iter().all(|count| *count < 1.0) {
        return Err(no_histogram("there is no finite sample".into()).into());
    }
    // A limit is a bucket's right bound, so only an empty bucket can carry the first one's left edge.
    let counts = std::iter::once(0.0).chain(below.windows(2).map(|pair| pair[1] - pair[0])).collect();
    Ok(Histogram::from_counts(edges.to_vec(), counts, HistogramStats { min, max, sum, sum_squares })?)
}

/// How many elements lie below each edge; for the last one also those on it. As integers: a float of 32 bits stops
/// counting at 16 million.
fn below(tensor: &Tensor<1>, edges: &[f64], last: f64) -> Tensor<1, Int> {
    let (device, [count], rows) = (tensor.device(), tensor.dims(), edges.len() - 1);
    let inner = Tensor::<1>::from_data(&edges[..rows], (&device, tensor.dtype())).reshape([rows, 1]);
    let step = (AT_ONCE / rows).max(1);
    let parts = (0..count).step_by(step).map(|start| {
        let part = tensor.clone().slice([start..(start + step).min(count)]);
        part.unsqueeze::<2>().lower(inner.clone()).int().sum_dim(1).reshape([rows])
    });
    let up_to_last = tensor.clone().lower_equal_elem(last).int().sum();
    match parts.reduce(|a, b| a + b) {
        Some(below) => Tensor::cat(vec![below, up_to_last], 0),
        None => up_to_last,
    }
}

/// The last edge, if there are enough.
fn check(edges: &[f64]) -> Result<Option<f64>, LoggerError> {
    if let Some(edge) = edges.iter().find(|edge| !edge.is_finite()) {
        return Err(no_histogram(format!("an edge is {edge}")));
    }
    if let Some(pair) = edges.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(no_histogram(format!("the edges do not ascend after {}", pair[0])));
    }
    Ok(if edges.len() < 2 { None } else { edges.last().copied() })
}

fn no_histogram(reason: String) -> LoggerError {
    LoggerError::InvalidMedia { what: "histogram", reason }
}

fn incomplete() -> Error {
    Error::Read { count: 6, reason: "the device returned less".into() }
}
