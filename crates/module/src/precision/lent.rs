//! The cast copy for one training batch, and its masters.

use std::{
    any::Any,
    collections::{HashMap, HashSet},
};

use burn::{
    module::{Module, ModuleMapper, Param, ParamId},
    optim::GradientsParams,
    tensor::{DType, FloatDType, Tensor},
};
use stormfire_optim::{
    Optimizer,
    float_params::{EachFloat, walk},
    for_trainer::DriveOptimizer as _,
    gradients,
    window::StepGradients,
};

use super::{cast, nodes::Nodes, params::with_parameters_of};
use crate::{
    error::{Error, Result},
    running_stats,
    stepper::StepHooks,
    training_mode::{in_place_of, in_training, strategy_of},
};

/// Lends a cast copy of a module to a training batch.
///
/// It is the [`StepHooks`] of the batch. Hooks see the masters, with the skipped fields of the copy, and the gradients
/// with the type of the masters. An optimizer updates the masters, and then the parameters of the copy that it has
/// stepped with.
pub struct Lent<'a, M> {
    hooks: &'a mut dyn StepHooks<M>,
    master: &'a mut M,
    dtype: FloatDType,
    /// The copy with the parameters as they were given. Another tensor in their place is a change by the module itself.
    original: M,
    running: HashMap<ParamId, Tensor<1>>,
    /// Whether the batch changes the module only through the optimizer.
    is_automatic: bool,
}

impl<'a, M: Module> Lent<'a, M> {
    /// The copy, and what belongs to it. `stats` are the running statistics of the module.
    pub fn new(hooks: &'a mut dyn StepHooks<M>, master: &'a mut M, dtype: FloatDType, stats: &HashSet<ParamId>) -> (Self, M) {
        let copy = in_training(cast(master, dtype), strategy_of(master));
        let (original, running) = (copy.clone(), running_stats::values(&copy, stats));
        (Self { hooks, master, dtype, original, running, is_automatic: false }, copy)
    }

    /// Ends the batch: the masters get what the copy has learnt outside of the optimizers, which are its running
    /// statistics and its skipped fields.
    ///
    /// # Errors
    /// The module has changed a parameter of the copy itself.
    pub fn take_back(self, copy: &M) -> Result<()> {
        let Self { master, dtype, original, running, is_automatic, .. } = self;
        if !is_automatic {
            if let Some(path) = Nodes::of(&original).others_in(copy).into_iter().find(|path| !is_running(&original, &running, path)) {
                let reason = format!(
                    "`training_batch` has changed the parameter `{path}`, which is a copy in {} that lives for one batch",
                    DType::from(dtype).name()
                );
                let hint = "change parameters in a hook, such as `on_train_batch_end`, which gets those in f32";
                return Err(Error::config("precision", reason, hint));
            }
            *master = with_parameters_of(&*master, copy)?;
        }
        if !running.is_empty() {
            let stats: HashSet<_> = running.keys().copied().collect();
            let after = running_stats::values(copy, &stats);
            let mut own = running_stats::values(master, &stats);
            // Only the change is added: the copy lacks digits, and a frozen statistic must stay as it is.
            for (id, value) in &mut own {
                if let (Some(before), Some(after)) = (running.get(id), after.get(id)) {
                    let dtype = value.dtype();
                    *value = value.clone() + (after.clone().cast(dtype) - before.clone().cast(dtype));
                }
            }
            running_stats::set(master, own);
        }
        Ok(())
    }

    /// Calls a hook with the masters.
    fn call(&mut self, copy: &mut M, hook: impl FnOnce(&mut dyn StepHooks<M>, &mut M) -> Result<()>) -> Result<()> {
        if self.is_automatic {
            return hook(self.hooks, self.master);
        }
        *self.master = with_parameters_of(&*self.master, copy)?;
        hook(self.hooks, self.master)?;
        *copy = with_parameters_of(copy, &*self.master)?;
        Ok(())
    }
}

fn is_running<M: Module>(module: &M, running: &HashMap<ParamId, Tensor<1>>, path: &str) -> bool {
    struct Find<'a>(&'a str, Option<ParamId>);
    impl EachFloat for Find<'_> {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            if path == self.0 {
                self.1 = Some(param.id);
            }
        }
    }
    !running.is_empty() && walk(module, Find(path, None)).1.is_some_and(|id| running.contains_key(&id))
}

impl<M: Module> StepHooks<M> for Lent<'_, M> {
    fn is_automatic(&mut self) {
        self.is_automatic = true;
        self.hooks.is_automatic();
    }

    fn on_before_zero_grad(&mut self, module: &mut M, optimizer: &str) -> Result<()> {
        self.call(module, |hooks, master| hooks.on_before_zero_grad(master, optimizer))
    }

    fn on_before_backward(&mut self, module: &mut M, loss: &Tensor<1>) -> Result<()> {
        self.call(module, |hooks, master| hooks.on_before_backward(master, loss))
    }

    fn as_parameters(&self, gradients: &mut GradientsParams) {
        gradients::as_parameters(gradients, &*self.master);
    }

    fn on_after_backward(&mut self, module: &mut M, gradients: &mut GradientsParams) -> Result<()> {
        self.call(module, |hooks, master| hooks.on_after_backward(master, gradients))
    }

    fn on_before_optimizer_step(&mut self, module: &mut M, optimizer: &str, gradients: &mut GradientsParams) -> Result<()> {
        self.call(module, |hooks, master| hooks.on_before_optimizer_step(master, optimizer, gradients))
    }

    fn update(&mut self, module: &mut M, optimizer: &mut Optimizer, gradients: StepGradients) {
        if self.is_automatic {
            // The copy is no longer needed.
            return optimizer.update(self.master, gradients);
        }
        let own = walk(&*self.master, Own { gradients: &gradients.params, ids: HashSet::new() }).ids;
        optimizer.update(self.master, gradients);
        let updated = walk(&*self.master, Updated { ids: own, tensors: HashMap::new() }).tensors;
        // Only what the optimizer has stepped with: a loss that was computed before still needs the other tensors.
        let mut renew = Renew { updated, renewed: HashMap::new() };
        *module = module.clone().map(&mut renew);
        let mut renew = Renew { updated: renew.renewed, renewed: HashMap::new() };
        self.original = self.original.clone().map(&mut renew);
    }

    fn asked_to_skip(&mut self) -> Result<Option<String>> {
        self.hooks.asked_to_skip()
    }

    fn learning_rates(&mut self, rates: Vec<(String, f64)>) {
        self.hooks.learning_rates(rates);
    }
}

/// The parameters that have a gradient.
struct Own<'a> {
    gradients: &'a GradientsParams,
    ids: HashSet<ParamId>,
}

impl EachFloat for Own<'_> {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        if self.gradients.get::<D>(param.id).is_some() {
            self.ids.insert(param.id);
        }
    }
}

struct Updated {
    ids: HashSet<ParamId>,
    tensors: HashMap<ParamId, Box<dyn Any>>,
}

impl EachFloat for Updated {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        if self.ids.contains(&param.id) {
            self.tensors.insert(param.id, Box::new(param.val()));
        }
    }
}

/// Gives parameters of the copy new values, as new leaves with the copy's own type.
struct Renew {
    updated: HashMap<ParamId, Box<dyn Any>>,
    renewed: HashMap<ParamId, Box<dyn Any>>,
}

impl ModuleMapper for Renew {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(new) = self.updated.get(&param.id).and_then(|new| new.downcast_ref::<Tensor<D>>()).cloned() else { return param };
        let id = param.id;
        let param = param.map(|old| {
            if new.dtype() == old.dtype() && new.is_require_grad() {
                return new;
            }
            in_place_of(&old, new.inner().cast(old.dtype()))
        });
        self.renewed.insert(id, Box::new(param.val()));
        param
    }
}
