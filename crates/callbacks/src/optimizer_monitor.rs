//! Logs how far the optimizer moves the parameters, and the size of its state.

use std::collections::{BTreeMap, HashSet};

use burn::{
    module::{Module, Param, ParamId},
    optim::GradientsParams,
    tensor::{DType, Tensor},
};
use stormfire_checkpoint::Snapshot;
use stormfire_module::{Callback, Context, LightningModule, Result, StepOutput};
use stormfire_optim::float_params::{EachFloat, walk};

/// The parameters that share one norm in an [`OptimizerMonitor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdatesOf {
    /// All parameters.
    Total,
    /// The parameters of each layer: those whose paths differ in the last name only.
    Layer,
    /// Each parameter.
    Parameter,
}

/// Logs the L2 norms of the parameters, of their updates and of the optimizer's moments at logging steps
/// (`log_every_n_steps`), and the ratio of the first two: how far a step of the optimizer moves the weights. A ratio
/// around 0.001 is common; one far above it is a sign of a learning rate that is too high, one far below it of layers
/// that hardly learn.
///
/// | name | value |
/// |---|---|
/// | `weight_2.0_norm/encoder`, `weight_2.0_norm_total` | after the step |
/// | `update_2.0_norm/encoder`, `update_2.0_norm_total` | of the difference that the step made |
/// | `update_ratio/encoder`, `update_ratio_total` | the second divided by the first |
/// | `moment_1_2.0_norm/encoder`, `moment_1_2.0_norm_total`, … | of each tensor of the optimizer's state, after the step |
///
/// The state of Adam is `moment_1` and `moment_2`, that of SGD with momentum `velocity`: the last part of the field's
/// name in a checkpoint. The state of a custom optimizer is logged if it is
/// [`Transparent`](stormfire_checkpoint::optimizer_state::Transparent).
///
/// Only parameters with a gradient count, and a parameter that is used in two places counts once. The update is what
/// the optimizer did, including weight decay and clipping. With accumulated gradients it is logged at the end of a
/// window, a skipped step (`on_non_finite`) is not logged.
///
/// The device computes the norms. They are read together with the other metrics of the step. During a logging step the
/// device keeps the old parameters next to the new ones.
///
/// ```
/// use stormfire_callbacks::{OptimizerMonitor, UpdatesOf};
///
/// let layers_and_total = OptimizerMonitor::new();
/// let only_total = OptimizerMonitor::new().of(UpdatesOf::Total);
/// # let _ = (layers_and_total, only_total);
/// ```
#[derive(Debug)]
pub struct OptimizerMonitor {
    of: UpdatesOf,
    before: BTreeMap<String, Tensor<1>>,
    /// The sums of squares of the optimizer's state, by the name of the metric.
    state: BTreeMap<String, Tensor<1>>,
}

impl Default for OptimizerMonitor {
    fn default() -> Self {
        Self { of: UpdatesOf::Layer, before: BTreeMap::new(), state: BTreeMap::new() }
    }
}

impl OptimizerMonitor {
    /// Logs each layer and the total.
    pub fn new() -> Self {
        Self::default()
    }

    /// The norms to log besides the total. Default: each layer.
    pub fn of(mut self, of: UpdatesOf) -> Self {
        self.of = of;
        self
    }

    fn group(&self, path: &str) -> Option<String> {
        match self.of {
            UpdatesOf::Total => None,
            UpdatesOf::Parameter => Some(path.to_owned()),
            UpdatesOf::Layer => Some(path.rsplit_once('.').map_or(path, |(layer, _)| layer).to_owned()),
        }
    }

    fn log<M: LightningModule>(&mut self, ctx: &mut Context<'_>, module: &M) {
        let (before, state) = (std::mem::take(&mut self.before), std::mem::take(&mut self.state));
        if before.is_empty() || ctx.run().step_skipped {
            return;
        }
        let mut groups: BTreeMap<String, [Tensor<1>; 2]> = BTreeMap::new();
        let mut total: Option<[Tensor<1>; 2]> = None;
        for (path, after) in values(module, |path, _| before.contains_key(path)) {
            let Some(before) = before.get(&path) else { continue };
            let squares = |tensor: Tensor<1>| tensor.powi_scalar(2).sum();
            let both = [squares(after.clone()), squares(after - before.clone())];
            if let Some(group) = self.group(&path) {
                let sum = groups.remove(&group);
                groups.insert(group, plus(sum, both.clone()));
            }
            total = Some(plus(total, both));
        }
        let named = groups.into_iter().map(|(group, sums)| (format!("/{group}"), sums));
        for (suffix, [weight, update]) in named.chain(total.map(|sums| ("_total".to_owned(), sums))) {
            let (weight, update) = (weight.sqrt(), update.sqrt());
            ctx.log(format!("update_ratio{suffix}"), update.clone() / weight.clone());
            ctx.log(format!("weight_2.0_norm{suffix}"), weight);
            ctx.log(format!("update_2.0_norm{suffix}"), update);
        }
        for (name, sum) in state {
            ctx.log(name, sum.sqrt());
        }
    }
}

fn plus(sum: Option<[Tensor<1>; 2]>, more: [Tensor<1>; 2]) -> [Tensor<1>; 2] {
    match (sum, more) {
        (Some([a, b]), [c, d]) => [a + c, b + d],
        (None, more) => more,
    }
}

/// The flat values of the parameters that a function selects by path, as `f32`.
fn values<M: Module>(module: &M, selects: impl Fn(&str, ParamId) -> bool) -> Vec<(String, Tensor<1>)> {
    struct Collect<F> {
        selects: F,
        seen: HashSet<ParamId>,
        found: Vec<(String, Tensor<1>)>,
    }
    impl<F: Fn(&str, ParamId) -> bool> EachFloat for Collect<F> {
        fn call<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
            if (self.selects)(path, param.id) && self.seen.insert(param.id) {
                let value = param.val().inner();
                let value = if value.dtype() == DType::F32 { value } else { value.cast(DType::F32) };
                let elements = value.dims().iter().product::<usize>();
                self.found.push((path.to_owned(), value.reshape([elements])));
            }
        }
    }
    walk(module, Collect { selects, seen: HashSet::new(), found: Vec::new() }).found
}

impl<M: LightningModule> Callback<M> for OptimizerMonitor {
    fn on_train_batch_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _batch_idx: usize) -> Result<()> {
        self.before.clear();
        self.state.clear();
        Ok(())
    }

    fn takes_optimizer_state(&self) -> bool {
        true
    }

    fn take_optimizer_state(&mut self, state: &Snapshot) -> Result<()> {
        self.state.clear();
        // burn keeps the states in a random order, and a sum in another order has other bits.
        let mut all: Vec<_> = state.squares().collect();
        all.sort_by_key(|(name, _)| *name);
        for (name, squares) in all {
            // `optimizer/NAME/PATH/FIELD`: a name may contain a slash, a path and a field do not.
            let mut parts = name.rsplitn(3, '/');
            let (Some(field), Some(path)) = (parts.next(), parts.next()) else { continue };
            let field = field.rsplit('.').next().unwrap_or(field);
            let group = self.group(path).map(|group| format!("{field}_2.0_norm/{group}"));
            for name in group.into_iter().chain([format!("{field}_2.0_norm_total")]) {
                let sum = match self.state.remove(&name) {
                    Some(sum) => sum + squares.clone(),
                    None => squares.clone(),
                };
                self.state.insert(name, sum);
            }
        }
        Ok(())
    }

    fn on_before_optimizer_step(&mut self, ctx: &mut Context<'_>, module: &mut M, _: &str, gradients: &mut GradientsParams) -> Result<()> {
        if ctx.run().place.logs_this_step {
            let has_gradient = ids_with_gradients(gradients, module);
            for (path, value) in values(module, |_, id| has_gradient.contains(&id)) {
                // An optimizer may step twice in a batch.
                self.before.entry(path).or_insert(value);
            }
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.log(ctx, module);
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        // `skip_epoch` may have closed a window with a step that no batch has ended.
        self.log(ctx, module);
        Ok(())
    }
}

fn ids_with_gradients<M: Module>(gradients: &GradientsParams, module: &M) -> HashSet<ParamId> {
    struct Collect<'a> {
        gradients: &'a GradientsParams,
        found: HashSet<ParamId>,
    }
    impl EachFloat for Collect<'_> {
        fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
            if self.gradients.get::<D>(param.id).is_some() {
                self.found.insert(param.id);
            }
        }
    }
    walk(module, Collect { gradients, found: HashSet::new() }).found
}
