//! The statistics of batch normalizations over a whole data set: the mean of those of its batches.

use std::collections::{HashMap, HashSet};

use burn::{
    module::{Flag, Module, ModuleVisitor, Param, ParamId},
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
///
/// A frozen layer uses its statistics and keeps them. So does a layer that the first batch does not pass through.
#[derive(Debug)]
pub struct RenewedStats<M> {
    module: M,
    known: HashSet<ParamId>,
    /// The statistics before.
    before: HashMap<ParamId, Tensor<1>>,
    /// The statistics after the first batch, if they were [`PROBE`] before.
    probed: HashMap<ParamId, Tensor<1>>,
    momentum: HashMap<ParamId, Tensor<1>>,
    sums: HashMap<ParamId, Tensor<1>>,
    batches: usize,
}

/// Large, so that the difference to a pass from 0 has all digits.
const PROBE: f64 = 1e6;

impl<M: Module> RenewedStats<M> {
    /// For a module with these weights. `None` if it has no running statistics that are trained.
    pub fn of(module: &M) -> Option<Self> {
        let module = module.valid().train();
        let mut known = of(&module);
        for id in of_frozen_layers(&module) {
            known.remove(&id);
        }
        let before = values(&module, &known);
        let empty = HashMap::new;
        (!known.is_empty()).then(|| Self { module, known, before, probed: empty(), momentum: empty(), sums: empty(), batches: 0 })
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
        let Self { mut module, known, before, momentum, sums, .. } = self;
        module = module.valid().train();
        // The mean over ranks follows.
        let share = ranks as f64 / batches as f64;
        let mean = |(id, value): (ParamId, Tensor<1>)| {
            let (momentum, before) = (momentum.get(&id)?.clone(), before.get(&id)?.clone());
            // The first batch did not pass through this layer.
            let is_unknown = momentum.clone().equal_elem(0.0);
            Some((id, value.mul_scalar(share).div(momentum).mask_where(is_unknown, before)))
        };
        let means = sums.into_iter().filter_map(mean).collect();
        set(&mut module, means);
        if ranks > 1 {
            average(&mut module, &known, (self.batches > 0, ranks), sum)?;
        }
        Ok(module)
    }
}

/// The float parameters of layers that are switched to inference, as a frozen batch normalization is.
fn of_frozen_layers<M: Module>(module: &M) -> Vec<ParamId> {
    #[derive(Default)]
    struct Find {
        path: Vec<String>,
        floats: Vec<(String, ParamId)>,
        frozen: HashSet<String>,
    }
    impl Find {
        fn layer(&self) -> String {
            self.path.get(..self.path.len().saturating_sub(1)).unwrap_or_default().join(".")
        }
    }
    impl ModuleVisitor for Find {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.path.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.floats.push((self.layer(), param.id));
        }
        fn visit_flag(&mut self, flag: &Param<Flag>) {
            if !flag.is_enabled() {
                self.frozen.insert(self.layer());
            }
        }
    }
    let mut find = Find::default();
    module.visit(&mut find);
    let Find { floats, frozen, .. } = find;
    floats.into_iter().filter(|(layer, _)| frozen.contains(layer)).map(|(_, id)| id).collect()
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

    /// A frozen layer normalizes with its statistics, so the layer after it must see them, too.
    #[test]
    fn frozen_layers_and_layers_that_do_not_run_keep_their_statistics() {
        let norm = || BatchNormConfig::new(2).init(&Device::flex());
        let net = Net { first: norm(), second: norm() }.train();
        forward(&net, 9);
        let trained = net.valid();
        let (before, frozen) = (numbers(&trained.first), trained.first.clone().freeze());
        let expected = {
            let batch_norm = BatchNormConfig::new(2).with_momentum(1.0).init(&Device::flex());
            let net = Net { first: frozen.clone(), second: batch_norm }.train();
            let net = Net { first: net.first.freeze(), ..net };
            forward(&net, 1);
            numbers(&net.second)
        };
        let renewed = |net: Net, run: fn(&Net)| {
            let mut stats = RenewedStats::of(&net).unwrap();
            let pass = |net: &mut Net| -> Result<()> {
                run(net);
                Ok(())
            };
            stats.probe(pass).unwrap();
            stats.add(pass).unwrap();
            stats.finish((1, 1), |_| Ok(())).unwrap()
        };
        let of_frozen = renewed(Net { first: frozen, second: trained.second.clone() }, |net| forward(net, 1));
        assert_eq!(numbers(&of_frozen.first), before);
        let found = numbers(&of_frozen.second);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5 * (1.0 + b.abs())), "{found:?} {expected:?}");
        let of_idle = renewed(trained, |net| drop(net.second.forward(batch(1))));
        assert_eq!(numbers(&of_idle.first), before);
    }
}
