//! Sums of the values of many batches, in a type with sufficient precision.

use burn::tensor::{Device, Tensor, TensorData};
use stormfire_values::{
    Scalar,
    read::{OnDevice, widen},
};

use crate::log_state::{Pending, SavedMean, SavedTotal};

/// Number of values that are collected before they are added. One device operation for all of them is cheaper than one
/// for each.
const CHUNK: usize = 16;

/// A sum `Σ value·factor`, with the precision of [`Scalar`]. Values that are at hand are added on the host at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Total {
    /// The sum of all values except the collected ones.
    done: Option<Scalar>,
    /// Collected device values, one or more per tensor.
    waiting: Vec<Tensor<1>>,
    /// The factor of each collected value.
    factors: Vec<f64>,
}

impl Total {
    pub(crate) fn add(&mut self, value: Scalar, factor: f64) {
        match value {
            Scalar::Host(value) => self.done = plus(self.done.take(), Some(Scalar::Host(value * factor))),
            Scalar::Device(value) => match value.into_single() {
                Ok(value) => {
                    self.waiting.push(value);
                    self.factors.push(factor);
                    if self.factors.len() >= CHUNK {
                        self.done = Some(self.compute());
                        self.waiting.clear();
                        self.factors.clear();
                    }
                }
                Err(sum) => self.done = plus(self.done.take(), Some(Scalar::Device(sum).times(factor))),
            },
        }
    }

    /// Adds the values of another sum, in order.
    pub(crate) fn append(&mut self, other: Self, factor: f64) {
        if let Some(done) = other.done {
            self.done = plus(self.done.take(), Some(done.times(factor)));
        }
        for (value, own) in other.waiting.into_iter().flat_map(apart).zip(other.factors) {
            self.add(value.into(), own * factor);
        }
    }

    /// The current sum.
    pub(crate) fn compute(&self) -> Scalar {
        plus(self.done.clone(), self.sum_of_waiting()).unwrap_or(Scalar::Host(0.0))
    }

    fn sum_of_waiting(&self) -> Option<Scalar> {
        let values = widen(joined(&self.waiting)?);
        let is_one = |factor: &f64| (factor - 1.0).abs() < f64::EPSILON;
        let values = if self.factors.iter().all(is_one) {
            values
        } else {
            let factors = TensorData::from(self.factors.as_slice()).convert_dtype(values.dtype());
            values.clone() * Tensor::from_data(factors, (&values.device(), values.dtype()))
        };
        Some(Scalar::Device(OnDevice::sum_of(values)))
    }

    pub(crate) fn state(&self, pending: &mut Pending) -> SavedTotal {
        SavedTotal {
            done: self.done.as_ref().map(|done| pending.save(done)),
            waiting: joined(&self.waiting).map(|waiting| pending.save_list(waiting)),
            factors: self.factors.clone(),
        }
    }

    pub(crate) fn restore(saved: &SavedTotal, device: &Device) -> Self {
        Self {
            done: saved.done.as_ref().map(|done| done.restore(device)),
            waiting: saved.waiting.iter().map(|waiting| waiting.restore(device)).collect(),
            factors: saved.factors.clone(),
        }
    }
}

fn plus(sum: Option<Scalar>, more: Option<Scalar>) -> Option<Scalar> {
    match (sum, more) {
        (Some(sum), Some(more)) => Some(sum.plus(more)),
        (one, None) | (None, one) => one,
    }
}

/// All values in one tensor. `None` if there are none.
fn joined(tensors: &[Tensor<1>]) -> Option<Tensor<1>> {
    let first = tensors.first()?;
    if tensors.len() == 1 {
        return Some(first.clone());
    }
    // Tensors of different types cannot be joined.
    let is_same = tensors.iter().all(|tensor| tensor.dtype() == first.dtype());
    let parts = tensors.iter().cloned().map(|tensor| if is_same { tensor } else { widen(tensor) });
    Some(Tensor::cat(parts.collect(), 0))
}

/// Splits a tensor into one tensor per value.
fn apart(tensor: Tensor<1>) -> Vec<Tensor<1>> {
    match tensor.dims() {
        [1] => vec![tensor],
        [_] => tensor.split(1, 0),
    }
}

/// A weighted mean. As long as all weights are equal, nothing is multiplied.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunningMean {
    /// `Σ value·weight / unit`.
    sum: Total,
    /// The first weight.
    unit: f64,
    /// `Σ weight`.
    weight: f64,
}

impl RunningMean {
    pub(crate) fn add(&mut self, value: Scalar, weight: f64) {
        if self.unit == 0.0 {
            self.unit = weight;
        }
        self.weight += weight;
        self.sum.add(value, if self.unit == 0.0 { 0.0 } else { weight / self.unit });
    }

    pub(crate) fn append(&mut self, other: Self) {
        if self.unit == 0.0 {
            self.unit = other.unit;
        }
        self.weight += other.weight;
        self.sum.append(other.sum, if self.unit == 0.0 { 0.0 } else { other.unit / self.unit });
    }

    pub(crate) fn compute(&self) -> Scalar {
        self.sum.compute().over(Scalar::Host(self.weight / self.unit))
    }

    pub(crate) fn state(&self, pending: &mut Pending) -> SavedMean {
        SavedMean { sum: self.sum.state(pending), unit: self.unit, weight: self.weight }
    }

    pub(crate) fn restore(saved: &SavedMean, device: &Device) -> Self {
        Self { sum: Total::restore(&saved.sum, device), unit: saved.unit, weight: saved.weight }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use stormfire_checkpoint::Snapshot;
    use stormfire_values::read::{DistantCpu, device_reads, read};

    use super::*;

    fn of(value: f64, dtype: DType) -> Scalar {
        Tensor::<1>::from_data(TensorData::from([value]).convert_dtype(dtype), (&Device::flex(), dtype)).into()
    }

    fn value(scalar: Scalar) -> f64 {
        read(&[scalar]).unwrap()[0]
    }

    /// At hand, and on a device.
    #[test]
    fn a_sum_has_the_digits_of_f64_for_each_type() {
        sums_have_the_digits_of_f64();
        let _distant = DistantCpu::new();
        sums_have_the_digits_of_f64();
    }

    fn sums_have_the_digits_of_f64() {
        for (dtype, large) in [(DType::F32, 16_777_216.0), (DType::F16, 2048.0), (DType::BF16, 256.0)] {
            let mut total = Total::default();
            total.add(of(large, dtype), 1.0);
            for _ in 0..100 {
                total.add(of(1.0, dtype), 1.0);
            }
            assert_eq!(read(&[total.compute()]).unwrap(), [large + 100.0], "{dtype:?}");
            total.add(Scalar::Host(0.5), 1.0);
            total.add(of(3.0, DType::F32), 0.5);
            assert_eq!(read(&[total.compute()]).unwrap(), [large + 102.0], "{dtype:?}");
        }
    }

    #[test]
    fn a_mean_of_equal_values_is_that_value() {
        means_of_equal_values_are_that_value();
        let _distant = DistantCpu::new();
        means_of_equal_values_are_that_value();
    }

    fn means_of_equal_values_are_that_value() {
        for dtype in [DType::F32, DType::BF16] {
            let tenth = value(of(0.1, dtype));
            let mut mean = RunningMean::default();
            for batch in 0..1000 {
                mean.add(of(0.1, dtype), 7.0);
                if batch % 10 == 0 {
                    assert_eq!(read(&[mean.compute()]).unwrap(), [tenth], "{dtype:?}, batch {batch}");
                }
            }
            mean.add(of(0.1, dtype), 3.0);
            assert!((value(mean.compute()) - tenth).abs() < 1e-12);
        }
        let nothing = RunningMean { unit: 0.0, ..RunningMean::default() };
        assert!(value(nothing.compute()).is_nan());
    }

    /// Two joined means equal the mean of all values.
    #[test]
    fn means_join() {
        joined_means_are_the_whole();
        let _distant = DistantCpu::new();
        joined_means_are_the_whole();
    }

    fn joined_means_are_the_whole() {
        let items = |i: usize| if i % 5 == 4 { 3.0 } else { 8.0 };
        for split in 0..40 {
            let (mut first, mut second, mut all) = (RunningMean::default(), RunningMean::default(), RunningMean::default());
            for i in 0..40 {
                let value = || if i % 7 == 0 { Scalar::Host(i as f64) } else { of(1.0 / (i as f64 + 1.0), DType::F32) };
                if i < split { &mut first } else { &mut second }.add(value(), items(i));
                all.add(value(), items(i));
            }
            first.append(second);
            let (joined, right) = (value(first.compute()), value(all.compute()));
            assert!((joined - right).abs() < 1e-12, "{split}: {joined} instead of {right}");
        }
    }

    #[test]
    fn adding_reads_nothing() {
        let _distant = DistantCpu::new();
        let before = device_reads();
        let mut mean = RunningMean::default();
        for i in 0..50 {
            mean.add(of(1.0, DType::F32), f64::from(i));
        }
        let _ = mean.compute();
        assert_eq!(device_reads(), before);
    }

    /// Counts of at most 4096, as those of batches are, with `2^24` of them and one more.
    fn count(saved_at: usize) -> f64 {
        let mut total = Total::default();
        total.add(of(1.0, DType::F32), 1.0);
        for batch in 0..4096 {
            if batch == saved_at {
                total = revived(&total);
            }
            total.add(of(2048.0, DType::F32), 2.0);
        }
        value(total.compute())
    }

    /// As it is after a checkpoint.
    fn revived(total: &Total) -> Total {
        let mut pending = Pending::default();
        let mut saved = total.state(&mut pending);
        let mut snapshot = Snapshot::default();
        pending.add_to(&mut snapshot);
        saved.fill(&snapshot.read().unwrap().into_iter().map(|(_, data)| data).collect::<Vec<_>>()).unwrap();
        let text = serde_json::to_string(&saved).unwrap();
        Total::restore(&serde_json::from_str(&text).unwrap(), &Device::flex())
    }

    #[test]
    fn counts_are_exact_on_a_device_without_f64() {
        let _distant = DistantCpu::without_f64();
        for saved_at in [5000, 0, 100, 3000] {
            assert!((count(saved_at) - 16_777_217.0).abs() < 0.1, "saved at {saved_at}");
        }
    }
}
