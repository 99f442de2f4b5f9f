//! Running statistics of a module, such as those of a batch normalization: burn's `RunningState`s. A step changes them,
//! and no optimizer does.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    tensor::{Tensor, TensorData},
};
use stormfire_checkpoint::Snapshot;
use stormfire_optim::float_params::{EachFloat, walk};

use crate::{
    error::Result,
    training_mode::{in_place_of, in_training, strategy_of},
};

/// The running statistics of a module, as long as it has the same parameters.
#[derive(Debug, Default)]
pub struct KnownStats {
    untrained: Vec<ParamId>,
    found: Arc<HashSet<ParamId>>,
}

impl KnownStats {
    /// Those of this module. A hook may have added or replaced some.
    pub fn of<M: Module>(&mut self, module: &M) -> Arc<HashSet<ParamId>> {
        let untrained = untrained(module);
        if self.untrained != untrained {
            *self = Self { untrained, found: Arc::new(of(module)) };
        }
        Arc::clone(&self.found)
    }
}

/// The running statistics of a module.
///
/// burn shows them to a visitor as if they were parameters. Only they refuse to require a gradient.
pub(crate) fn of<M: Module>(module: &M) -> HashSet<ParamId> {
    struct RequireGrad;
    impl ModuleMapper for RequireGrad {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.set_require_grad(true)
        }
    }
    untrained(&module.valid().train().map(&mut RequireGrad)).into_iter().collect()
}

/// The parameters without a gradient, the running statistics among them.
pub(crate) fn untrained<M: Module>(module: &M) -> Vec<ParamId> {
    struct Untrained(Vec<ParamId>);
    impl EachFloat for Untrained {
        fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
            if !param.val().is_require_grad() {
                self.0.push(param.id);
            }
        }
    }
    walk(module, Untrained(Vec::new())).0
}

/// The newest values of some running statistics, flat.
pub(crate) fn values<M: Module>(module: &M, of: &HashSet<ParamId>) -> HashMap<ParamId, Tensor<1>> {
    struct Collect<'a> {
        of: &'a HashSet<ParamId>,
        found: HashMap<ParamId, Tensor<1>>,
    }
    impl EachFloat for Collect<'_> {
        fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
            if self.of.contains(&param.id) {
                self.found.insert(param.id, param.val().flatten(0, D - 1));
            }
        }
    }
    if of.is_empty() {
        return HashMap::new();
    }
    // A step only notes what it has seen; burn adds that when a module leaves training.
    walk(&module.valid(), Collect { of, found: HashMap::new() }).found
}

/// The mean of values, with their shares in it, in this order.
pub(crate) fn mean(parts: Vec<(HashMap<ParamId, Tensor<1>>, f64)>) -> HashMap<ParamId, Tensor<1>> {
    let mut mean: HashMap<ParamId, Tensor<1>> = HashMap::new();
    for (id, value) in
        parts.into_iter().flat_map(|(values, share)| values.into_iter().map(move |(id, value)| (id, value.mul_scalar(share))))
    {
        let sum = match mean.remove(&id) {
            Some(sum) => sum + value,
            None => value,
        };
        mean.insert(id, sum);
    }
    mean
}

/// Gives running statistics new values.
pub(crate) fn set<M: Module>(module: &mut M, values: HashMap<ParamId, Tensor<1>>) {
    struct Set(HashMap<ParamId, Tensor<1>>);
    impl ModuleMapper for Set {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(value) = self.0.remove(&param.id) else { return param };
            param.map(|old| {
                let value = value.reshape(old.shape());
                in_place_of(&old, value)
            })
        }
    }
    if !values.is_empty() {
        *module = module.clone().map(&mut Set(values));
    }
}

/// Makes the running statistics of a module that trains the mean of those of the ranks that had a batch: `with_batch`
/// of them, and this one if `has_batch`. `sum` adds numbers up over all ranks.
///
/// # Errors
/// Those of `sum`, and if the device fails.
#[expect(clippy::implicit_hasher, reason = "the set is that of `KnownStats`")]
pub fn average<M: Module>(
    module: &mut M,
    known: &HashSet<ParamId>,
    (has_batch, with_batch): (bool, usize),
    sum: impl FnOnce(&mut [f64]) -> Result<()>,
) -> Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    // Takes what the newest step has noted.
    *module = in_training(module.valid(), strategy_of(module));
    let values = values(module, known);
    // The ids differ from rank to rank, but not their order in the module.
    let mut seen = HashSet::new();
    let ids: Vec<ParamId> = untrained(module).into_iter().filter(|id| known.contains(id) && seen.insert(*id)).collect();
    let mut snapshot = Snapshot::default();
    ids.iter().filter_map(|id| values.get(id)).for_each(|value| snapshot.add(String::new(), value.clone()));
    let read: Vec<TensorData> = snapshot.read()?.into_iter().map(|(_, data)| data).collect();
    let mut sums: Vec<f64> = read.iter().flat_map(|data| data.iter::<f64>()).collect();
    if !has_batch {
        sums.fill(0.0);
    }
    sum(&mut sums)?;
    let mut means = sums.into_iter().map(|sum| sum / with_batch as f64);
    let device = module.devices().into_iter().next().unwrap_or_default().inner();
    let mean = |(id, data): (ParamId, TensorData)| {
        let mean: Vec<f64> = means.by_ref().take(data.num_elements()).collect();
        (id, Tensor::<1>::from_data(TensorData::from(mean.as_slice()).convert_dtype(data.dtype()), (&device, data.dtype())))
    };
    let means = ids.into_iter().zip(read).map(mean).collect();
    set(module, means);
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::{
        nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
        tensor::Device,
    };

    use super::*;

    #[derive(Module, Debug)]
    struct Net {
        frozen: Linear,
        norm: BatchNorm,
        body: Linear,
    }

    fn net() -> Net {
        let device = Device::flex().autodiff();
        let linear = || LinearConfig::new(2, 2).init(&device);
        Net { frozen: linear().no_grad(), norm: BatchNormConfig::new(2).init(&device), body: linear() }
    }

    /// Returns the id of the statistic at a path.
    fn id(net: &Net, path: &'static str) -> ParamId {
        struct Find(&'static str, Option<ParamId>);
        impl EachFloat for Find {
            fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
                if path == self.0 {
                    self.1 = Some(param.id);
                }
            }
        }
        walk(net, Find(path, None)).1.unwrap()
    }

    fn read(values: &HashMap<ParamId, Tensor<1>>, id: ParamId) -> Vec<f32> {
        values[&id].clone().into_data().iter::<f32>().collect()
    }

    #[test]
    fn they_are_distinguished_from_frozen_parameters() {
        let net = net();
        let found = of(&net);
        assert_eq!(found, HashSet::from(["norm.running_mean", "norm.running_var"].map(|path| id(&net, path))));
        assert!(!net.frozen.weight.val().is_require_grad(), "the module is left as it is");
    }

    #[test]
    fn running_statistics_of_parts_are_averaged() {
        let mut net = net();
        let ids = of(&net);
        let before = values(&net, &ids);
        let parts: Vec<_> = [1.0, 3.0]
            .map(|all| {
                let net = net.valid().train();
                net.norm.forward(Tensor::<2>::full([4, 2], all, &Device::flex().autodiff()));
                (values(&net, &ids), 0.5)
            })
            .into();
        let mean_id = id(&net, "norm.running_mean");
        assert_eq!(read(&values(&net, &ids), mean_id), read(&before, mean_id), "each copy has its own");
        set(&mut net, mean(parts));
        let expected = 0.1 * (1.0 + 3.0) / 2.0;
        assert!(read(&values(&net, &ids), mean_id).iter().all(|value| (value - expected).abs() < 1e-6));
    }
}
