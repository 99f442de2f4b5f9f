//! Histograms that are counted on the device.

use burn::tensor::{DType, Int, Tensor};
use stormfire_loggers::{Error as LoggerError, Histogram, HistogramStats};

use stormfire_values::{
    ReadError,
    read::{Tensors, without_halves},
};

use crate::error::Result;

/// Maximum number of comparisons in device memory at the same time.
const AT_ONCE: usize = 1 << 22;

/// A histogram of the elements in custom buckets, counted on the device. It takes a few operations for every 4 million
/// comparisons of an element with an edge, and one read of some numbers.
///
/// The counts equal those of [`Histogram::with_edges`]: a bucket includes its left edge, the last one includes both
/// edges, and elements outside of all buckets are skipped. The sums have the precision of the device. Half floats are
/// counted as `f32`.
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
/// # Ok::<(), stormfire_module::Error>(())
/// ```
///
/// # Errors
/// [`LoggerError::InvalidMedia`] if there are fewer than two edges, they do not ascend, or no element is between them.
/// Otherwise [`ReadError`].
pub fn histogram_with_edges<const D: usize>(tensor: Tensor<D>, edges: &[f64]) -> Result<Histogram> {
    let (first, last) = check(edges)?;
    let nothing = || no_histogram(format!("no sample is in {first}..={last}"));
    let count = tensor.shape().num_elements();
    if count == 0 {
        return Err(nothing().into());
    }
    let tensor = without_halves(tensor.inner().reshape([count]));
    let round = |edge: f64| if tensor.dtype() == DType::F64 { edge } else { at_least(edge) };
    let edges_here: Vec<f64> = edges.iter().copied().map(round).collect();
    let last_here = -round(-last);
    let inside = tensor.clone().greater_equal_elem(round(first)).bool_and(tensor.clone().lower_equal_elem(last_here));
    let outside = inside.clone().bool_not();
    let filled = |value: f64| tensor.clone().mask_fill(outside.clone(), value);
    // Infinity is never counted as below an edge.
    let below = below(&filled(f64::INFINITY), &edges_here[1..edges.len() - 1]);
    let zeroed = filled(0.0);
    let mut tensors = Tensors::new();
    tensors.add(inside.int().sum());
    for value in [filled(f64::INFINITY).min(), filled(f64::NEG_INFINITY).max(), zeroed.clone().sum(), zeroed.powi_scalar(2).sum()] {
        tensors.add(value);
    }
    if let Some(below) = below {
        tensors.add(below);
    }
    let read: Vec<f64> = tensors.read()?.into_iter().flat_map(|data| data.iter::<f64>().collect::<Vec<_>>()).collect();
    let &[all, min, max, sum, sum_squares, ref below @ ..] = &read[..] else {
        return Err(ReadError { count: 5, reason: "the device returned less".into() }.into());
    };
    if all < 1.0 {
        return Err(nothing().into());
    }
    let up_to: Vec<f64> = std::iter::once(0.0).chain(below.iter().copied()).chain([all]).collect();
    // A limit is a bucket's right edge, so the left edge of the first bucket needs an empty bucket before it.
    let counts = std::iter::once(0.0).chain(up_to.windows(2).map(|pair| pair[1] - pair[0])).collect();
    Ok(Histogram::from_counts(edges.to_vec(), counts, HistogramStats { min, max, sum, sum_squares })?)
}

/// The number of elements below each edge, as integers. An `f32` cannot count beyond 16 million.
fn below(tensor: &Tensor<1>, edges: &[f64]) -> Option<Tensor<1, Int>> {
    let (device, [count], rows) = (tensor.device(), tensor.dims(), edges.len());
    if rows == 0 {
        return None;
    }
    let edges = Tensor::<1>::from_data(edges, (&device, tensor.dtype())).reshape([rows, 1]);
    let step = (AT_ONCE / rows).max(1);
    let parts = (0..count).step_by(step).map(|start| {
        let part = tensor.clone().narrow(0, start, step.min(count - start));
        part.unsqueeze::<2>().lower(edges.clone()).int().sum_dim(1).reshape([rows])
    });
    parts.reduce(|a, b| a + b)
}

/// The smallest `f32` that is not below the edge. Comparing an `f32` with it equals comparing with the edge itself.
fn at_least(edge: f64) -> f64 {
    let nearest = edge as f32;
    f64::from(if f64::from(nearest) < edge { nearest.next_up() } else { nearest })
}

/// The outermost edges.
fn check(edges: &[f64]) -> Result<(f64, f64), LoggerError> {
    let (&[first, .., last], true) = (edges, edges.iter().all(|edge| edge.is_finite())) else {
        return Err(no_histogram(format!("the edges are {edges:?}, expected two or more finite ones")));
    };
    match edges.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(no_histogram(format!("the edges do not ascend after {}", pair[0]))),
        None => Ok((first, last)),
    }
}

fn no_histogram(reason: String) -> LoggerError {
    LoggerError::InvalidMedia { what: "histogram", reason }
}
