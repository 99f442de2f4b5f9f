//! The statistics of batch normalizations over a whole data set: the mean of those of its batches.

use std::collections::{HashMap, HashSet};

use burn::{
    module::{Module, ParamId},
    tensor::{Device, Tensor},
};

use crate::{
    error::Result,
    running_stats::{average, of, set, values},
    training_mode::device_of,
};

/// Replaces the running statistics of a module in a pass over batches. As PyTorch's `update_bn`: each batch has the
/// same weight.
///
/// A batch normalization computes `(1 - momentum) · old + momentum · batch`. burn does not expose the momentum of a
/// layer inside of a module. One batch is therefore passed twice, with different old values.
#[derive(Debug)]
pub struct RenewedStats<M> {
    module: M,
    known: HashSet<ParamId>,
    /// What the first batch makes of [`PROBE`].
    probed: HashMap<ParamId, Tensor<1>>,
    momentum: HashMap<ParamId, Tensor<1>>,
    sums: HashMap<ParamId, Tensor<1>>,
    batches: usize,
}

/// Large, so that the difference to a pass from 0 has all digits.
const PROBE: f64 = 1e6;

impl<M: Module> RenewedStats<M> {
    /// For a module with these weights. `None` if it has no running statistics.
    pub fn of(module: &M) -> Option<Self> {
        let module = module.valid().train();
        let known = of(&module);
        let empty = HashMap::new;
        (!known.is_empty()).then(|| Self { module, known, probed: empty(), momentum: empty(), sums: empty(), batches: 0 })
    }

    /// The device for the batches: that of the module, with its tape.
    pub fn device(&self) -> Option<Device> {
        device_of(&self.module)
    }

    /// The statistics after a forward pass that starts with `old`.
    fn pass(&mut self, old: f64, forward: impl FnOnce(&mut M) -> Result<()>) -> Result<HashMap<ParamId, Tensor<1>>> {
        // Only a new copy forgets what the last pass has noted.
        self.module = self.module.valid().train();
        let start = values(&self.module, &self.known).into_iter().map(|(id, value)| (id, value.full_like(old))).collect();
        set(&mut self.module, start);
        forward(&mut self.module)?;
        Ok(values(&self.module, &self.known))
    }

    /// Passes the first batch, before all batches are added.
    ///
    /// # Errors
    /// Those of `forward`.
    pub fn probe(&mut self, forward: impl FnOnce(&mut M) -> Result<()>) -> Result<()> {
        self.probed = self.pass(PROBE, forward)?;
        Ok(())
    }

    /// Adds a batch.
    ///
    /// # Errors
    /// Those of `forward`.
    pub fn add(&mut self, forward: impl FnOnce(&mut M) -> Result<()>) -> Result<()> {
        let found = self.pass(0.0, forward)?;
        for (id, value) in found {
            if let Some(probed) = self.probed.remove(&id) {
                let kept = probed.sub(value.clone()).div_scalar(PROBE);
                self.momentum.insert(id, kept.neg().add_scalar(1.0));
            }
            let sum = match self.sums.remove(&id) {
                Some(sum) => sum + value,
                None => value,
            };
            self.sums.insert(id, sum);
        }
        self.batches += 1;
        Ok(())
    }

    /// The module with the means. `ranks` is the number of ranks that share `batches`, and `sum` adds up over them.
    ///
    /// # Errors
    /// Those of `sum`, and if the device fails.
    pub fn finish(self, (ranks, batches): (usize, usize), sum: impl FnOnce(&mut [f64]) -> Result<()>) -> Result<M> {
        let Self { mut module, known, momentum, sums, .. } = self;
        module = module.valid().train();
        // The mean over ranks follows.
        let share = ranks as f64 / batches as f64;
        let mean = |(id, value): (ParamId, Tensor<1>)| Some((id, value.mul_scalar(share).div(momentum.get(&id)?.clone())));
        let means = sums.into_iter().filter_map(mean).collect();
        set(&mut module, means);
        if ranks > 1 {
            average(&mut module, &known, (self.batches > 0, ranks), sum)?;
        }
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig};

    use super::*;

    #[derive(Module, Debug)]
    struct Net {
        first: BatchNorm,
        second: BatchNorm,
    }

    fn batch(index: u8) -> Tensor<2> {
        let x = f32::from(index);
        Tensor::from_floats([[x, 30.0 - x], [2.0 * x, x * x], [1.0, 100.0 * x]], &Device::flex().autodiff())
    }

    fn forward(net: &Net, index: u8) {
        net.second.forward(net.first.forward(batch(index)));
    }

    fn numbers(norm: &BatchNorm) -> Vec<f32> {
        let of = |state: Tensor<1>| state.into_data().iter::<f32>().collect::<Vec<_>>();
        [of(norm.running_mean.value_sync()), of(norm.running_var.value_sync())].concat()
    }

    /// The momentum of 1 keeps the statistics of one batch.
    #[test]
    fn statistics_are_the_mean_of_those_of_the_batches() {
        let make = |momentums: [f64; 2]| {
            let norm = |momentum| BatchNormConfig::new(2).with_momentum(momentum).init(&Device::flex());
            Net { first: norm(momentums[0]), second: norm(momentums[1]) }.train()
        };
        let mut expected = [vec![0.0; 4], vec![0.0; 4]];
        for index in 1..4 {
            let net = make([1.0, 1.0]);
            forward(&net, index);
            for (sums, norm) in expected.iter_mut().zip([&net.first, &net.second]) {
                sums.iter_mut().zip(numbers(norm)).for_each(|(sum, value)| *sum += value / 3.0);
            }
        }
        let trained = make([0.1, 0.7]);
        forward(&trained, 9);
        let before = numbers(&trained.first);
        let mut stats = RenewedStats::of(&trained).unwrap();
        let on = |index| {
            move |net: &mut Net| -> Result<()> {
                forward(net, index);
                Ok(())
            }
        };
        stats.probe(on(1)).unwrap();
        for index in 1..4 {
            stats.add(on(index)).unwrap();
        }
        let renewed = stats.finish((1, 3), |_| Ok(())).unwrap();
        for (norm, expected) in [&renewed.first, &renewed.second].into_iter().zip(expected) {
            let found = numbers(norm);
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs())), "{found:?} {expected:?}");
        }
        assert_eq!(numbers(&trained.first), before, "the given module keeps its own");
    }
}
