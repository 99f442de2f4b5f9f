//! States as bytes, for other ranks and files.
//!
//! The bytes hold the numbers to the last bit, and no options: those come from the code that reads them.

use stormfire_values::{
    ReadError,
    read::{Array, Part, read_parts},
};

use crate::{merge::MergeError, metric::AnyMetric};

/// Each state starts with it: a letter, and the version of the format.
const MAGIC: [u8; 2] = [b'M', 1];
const NUMBER: u8 = 0;
const ARRAY: u8 = 1;

/// The state of a metric. Reads the device once.
///
/// ```
/// use stormfire_metrics::{Metric, aggregation::Sum, bytes};
///
/// // On each rank, with a value of the same kind.
/// let of_rank_1 = bytes::of(&Sum::new(2.0))?;
/// let mut sum = Sum::new(1.0);
/// bytes::merge(&mut sum, &of_rank_1)?;
/// assert_eq!(sum.read()?, 3.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`ReadError`] if the device fails.
pub fn of(metric: &dyn AnyMetric) -> Result<Vec<u8>, ReadError> {
    Ok(encode(&read_parts(&metric.parts_any())?))
}

/// Merges the state of another rank into a metric of the same kind.
///
/// # Errors
/// [`MergeError`] if the bytes are not the state of such a metric.
pub fn merge(metric: &mut dyn AnyMetric, bytes: &[u8]) -> Result<(), MergeError> {
    let other = decode(bytes).and_then(|parts| metric.with_parts_any(&parts));
    let other =
        other.ok_or_else(|| MergeError::new("state", "is not that of a metric of this kind: do all ranks run the same program?"))?;
    metric.merge_any(other.as_ref())
}

/// Parts on the host as bytes.
fn encode(parts: &[Part]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let length = |length: usize| (length as u64).to_le_bytes();
    bytes.extend(length(parts.len()));
    for part in parts {
        match part {
            Part::Number(number) => {
                bytes.push(NUMBER);
                bytes.extend(number.value().to_le_bytes());
            }
            Part::Array(array) => {
                bytes.push(ARRAY);
                bytes.extend(length(array.dims().len()));
                array.dims().iter().for_each(|dim| bytes.extend(length(*dim)));
                array.to_vec().iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            }
        }
    }
    bytes
}

/// The parts, unless the bytes are damaged.
fn decode(bytes: &[u8]) -> Option<Vec<Part>> {
    let mut rest = bytes.strip_prefix(&MAGIC)?;
    let count = length(&mut rest)?;
    let mut parts = Vec::new();
    for _ in 0..count {
        parts.push(match take(&mut rest, 1)? {
            [NUMBER] => Part::Number(f64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?).into()),
            [ARRAY] => {
                let rank = length(&mut rest)?;
                // Not more than there are bytes for.
                let dims = (0..rank).map(|_| length(&mut rest)).collect::<Option<Vec<usize>>>()?;
                let size = dims.iter().try_fold(8_usize, |size, dim| size.checked_mul(*dim))?;
                let values = take(&mut rest, size)?.chunks_exact(8).filter_map(|value| value.try_into().ok());
                Part::Array(Array::new(dims, values.map(f64::from_le_bytes).collect())?)
            }
            _ => return None,
        });
    }
    rest.is_empty().then_some(parts)
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn length(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?)).ok()
}
