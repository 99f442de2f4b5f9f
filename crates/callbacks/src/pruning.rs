//! Sets the smallest weights of a module to zero, and keeps them there.

mod choose;
mod weights;

use std::{collections::BTreeMap, fmt};

use burn::tensor::{Bool, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use stormfire_module::{
    Callback, Context, Error, LightningModule, Result, Stage, StepOutput,
    state::{self, Saved},
};
use stormfire_values::read::Tensors;

use self::{
    choose::{Layer, number, prune_all, prune_each, slices_of},
    weights::{Weight, apply, chosen},
};

/// How much a [`ModelPruning`] prunes at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PruningAmount {
    /// A share of the weights that are not pruned yet, from 0 to 1. Half an element is rounded to the even number.
    Share(f64),
    /// A number of weights, or of slices with [`ModelPruning::structured`].
    Count(usize),
}

impl PruningAmount {
    fn check(self) -> Result<()> {
        match self {
            Self::Share(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::config("ModelPruning", format!("{share} is not a share from 0 to 1"), "give a number of weights as an integer"))
            }
            _ => Ok(()),
        }
    }
}

impl From<f64> for PruningAmount {
    fn from(share: f64) -> Self {
        Self::Share(share)
    }
}

impl From<usize> for PruningAmount {
    fn from(count: usize) -> Self {
        Self::Count(count)
    }
}

/// The norm by which [`ModelPruning::structured`] compares slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruningNorm {
    /// The sum of the absolute values.
    L1,
    /// The square root of the sum of the squares.
    L2,
    /// The largest absolute value.
    Max,
}

/// The group in which weights are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    All,
    Layer,
    Slices { dim: usize, norm: PruningNorm },
}

/// The amount at the end of each epoch.
type Schedule = Box<dyn Fn(usize) -> Option<PruningAmount>>;

type Chooses = Box<dyn Fn(&str) -> bool>;

/// Prunes a module while it trains: at the end of an epoch, the weights of least magnitude become zero, and stay zero
/// after every step.
///
/// The masks are those of `torch.nn.utils.prune`: each amount is a share (or number) of the weights that are not pruned
/// yet, so `0.5` in each of two epochs leaves a quarter. If two weights are equal, the earlier one is pruned first.
///
/// | option | compares | as in torch |
/// |---|---|---|
/// | default | all chosen weights with each other | `global_unstructured(L1Unstructured)` |
/// | [`per_layer`](Self::per_layer) | the weights of one parameter | `l1_unstructured` |
/// | [`structured`](Self::structured) | slices of one parameter, such as rows | `ln_structured` |
///
/// Default weights: trained parameters with two or more dimensions, so no biases and norms. A parameter that is used in
/// two places counts once.
///
/// The zeros are in the weights themselves: every checkpoint, validation and export has them, and nothing has to be
/// removed at the end. The masks are in every checkpoint, too, so that a resumed fit keeps them. A mask holds in the
/// fit only: a fit that starts from such weights without this callback trains the zeros again. Optimizers keep their
/// moments of a pruned weight, and a callback that averages weights must be added after this one.
///
/// An epoch that is cut short (`max_steps`, `skip_epoch`) does not prune. The end of an epoch logs `sparsity`, the
/// share of the chosen weights that is pruned.
///
/// ```
/// use stormfire_callbacks::ModelPruning;
///
/// let a_fifth_of_the_rest_each_epoch = ModelPruning::new(0.2);
/// let once = ModelPruning::new(0.5).per_layer().schedule(|epoch| (epoch == 3).then_some(0.9.into()));
/// # let _ = (a_fifth_of_the_rest_each_epoch, once);
/// ```
///
/// It reads the chosen weights from the device when it prunes, and costs one operation per chosen parameter at each
/// step.
///
/// # Errors
/// [`Error::Config`] for a share outside of 0 to 1, a count that is larger than what is left, if no weight is chosen,
/// or for a module with gradient checkpointing, which a changed weight would lose.
pub struct ModelPruning {
    id: Option<String>,
    amount: PruningAmount,
    scope: Scope,
    schedule: Option<Schedule>,
    chooses: Option<Chooses>,
    masks: Masks,
    restored: bool,
}

/// The masks by the path of the parameter.
#[derive(Default)]
struct Masks(BTreeMap<String, Mask>);

/// The elements of a parameter that are kept.
struct Mask {
    /// Its elements in their order.
    keeps: Vec<bool>,
    /// The elements that are not kept, on the device.
    pruned: Tensor<1, Bool>,
}

/// The state that survives a restart, next to the masks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    paths: Vec<String>,
}

impl ModelPruning {
    /// Prunes this amount at the end of every epoch.
    pub fn new(amount: impl Into<PruningAmount>) -> Self {
        let (amount, masks) = (amount.into(), Masks::default());
        Self { id: None, amount, scope: Scope::All, schedule: None, chooses: None, masks, restored: false }
    }

    /// A name for its state in checkpoints and for `Trainer::get_named`. Only needed for a second one in a Trainer.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// Prunes the amount of each parameter.
    pub fn per_layer(mut self) -> Self {
        self.scope = Scope::Layer;
        self
    }

    /// Prunes whole slices of each parameter, along this dimension. A `Linear` of burn has the shape `[inputs,
    /// outputs]`, a convolution `[outputs, inputs, ..]`: dimension 1 and 0 are the neurons.
    pub fn structured(mut self, dim: usize, norm: PruningNorm) -> Self {
        self.scope = Scope::Slices { dim, norm };
        self
    }

    /// The amount for the end of each epoch, by its 0-based number. `None` prunes nothing more. Default: the same
    /// amount in every epoch.
    pub fn schedule(mut self, amount: impl Fn(usize) -> Option<PruningAmount> + 'static) -> Self {
        self.schedule = Some(Box::new(amount));
        self
    }

    /// Chooses trained parameters by their path (`encoder.layers.0.weight`).
    pub fn parameters(mut self, chooses: impl Fn(&str) -> bool + 'static) -> Self {
        self.chooses = Some(Box::new(chooses));
        self
    }

    /// The number of pruned elements, and that of all elements, of each parameter with a mask.
    pub fn sparsity(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.masks.0.iter().map(|(path, mask)| (path.as_str(), mask.keeps.iter().filter(|keeps| !**keeps).count(), mask.keeps.len()))
    }

    fn chosen<M: LightningModule>(&self, module: &M) -> Result<Vec<Weight>> {
        let chosen = chosen(module, self.chooses.as_deref());
        if chosen.is_empty() {
            let hint = "choose trained parameters with `parameters`, by the paths in the summary of the module";
            return Err(Error::config("ModelPruning", "no weight is chosen", hint));
        }
        Ok(chosen)
    }

    /// Refuses an amount that the first epoch cannot prune.
    fn check_amount<M: LightningModule>(&self, module: &M) -> Result<()> {
        self.amount.check()?;
        let chosen = self.chosen(module)?;
        let elements = |weight: &Weight| weight.shape.iter().product::<usize>();
        if matches!(self.scope, Scope::All) {
            return number(self.amount, chosen.iter().map(elements).sum(), "the chosen weights").map(drop);
        }
        chosen.iter().try_for_each(|weight| {
            let left = match self.scope {
                Scope::Slices { dim, .. } => slices_of(&weight.path, &weight.shape, dim)?,
                Scope::All | Scope::Layer => elements(weight),
            };
            number(self.amount, left, &format!("`{}`", weight.path)).map(drop)
        })
    }

    fn prune<M: LightningModule>(&mut self, module: &mut M, amount: PruningAmount) -> Result<()> {
        let chosen = self.chosen(module)?;
        let mut tensors = Tensors::new();
        for weight in &chosen {
            tensors.add(weight.values.clone());
        }
        let mut layers = Vec::with_capacity(chosen.len());
        for (weight, data) in chosen.iter().zip(tensors.read()?) {
            let known = self.masks.0.get(&weight.path).map(|mask| mask.keeps.clone());
            let scores: Vec<f32> = data.iter::<f32>().collect();
            let keeps = known.filter(|keeps| keeps.len() == scores.len()).unwrap_or_else(|| vec![true; scores.len()]);
            layers.push(Layer { path: weight.path.clone(), shape: weight.shape.clone(), weights: scores, keeps });
        }
        match self.scope {
            Scope::All => prune_all(&mut layers, amount)?,
            Scope::Layer => prune_each(&mut layers, amount, None)?,
            Scope::Slices { dim, norm } => prune_each(&mut layers, amount, Some((dim, norm)))?,
        }
        for (layer, weight) in layers.into_iter().zip(chosen) {
            let pruned: Vec<bool> = layer.keeps.iter().map(|keeps| !keeps).collect();
            let pruned = Tensor::<1, Bool>::from_data(TensorData::from(pruned.as_slice()), &weight.values.device());
            self.masks.0.insert(layer.path, Mask { keeps: layer.keeps, pruned });
        }
        self.enforce(module);
        Ok(())
    }

    /// Sets the pruned weights to zero.
    fn enforce<M: LightningModule>(&self, module: &mut M) {
        if !self.masks.0.is_empty() {
            apply(module, |path| self.masks.0.get(path).map(|mask| &mask.pruned));
        }
    }

    fn share(&self) -> f64 {
        let (pruned, all) = self.sparsity().fold((0, 0), |(pruned, all), (_, p, a)| (pruned + p, all + a));
        pruned as f64 / all.max(1) as f64
    }
}

impl<M: LightningModule> Callback<M> for ModelPruning {
    fn state_key(&self) -> String {
        self.id.as_ref().map_or_else(|| "ModelPruning".into(), |id| format!("ModelPruning{{{id}}}"))
    }

    fn state(&self) -> Result<Saved> {
        let known = Known { paths: self.masks.0.keys().cloned().collect() };
        let mut saved: Saved = state::save(&known)?;
        for (number, mask) in self.masks.0.values().enumerate() {
            saved = saved.with_plain_tensor(number.to_string(), &mask.pruned);
        }
        Ok(saved)
    }

    fn load_state(&mut self, mut saved: Saved) -> Result<()> {
        let mut known = Known::default();
        let json = saved.take_json();
        state::load(&mut known, json)?;
        self.masks = Masks::default();
        let mut tensors = Tensors::new();
        let mut masks = Vec::new();
        for (number, path) in known.paths.into_iter().enumerate() {
            if let Some(pruned) = saved.take_tensor::<1, Bool>(&number.to_string())? {
                tensors.add(pruned.clone().int());
                masks.push((path, pruned));
            }
        }
        for ((path, pruned), data) in masks.into_iter().zip(tensors.read()?) {
            let keeps = data.iter::<i64>().map(|pruned| pruned == 0).collect();
            self.masks.0.insert(path, Mask { keeps, pruned });
        }
        self.restored = true;
        Ok(())
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        if stage != Stage::Fit {
            return Ok(());
        }
        if weights::checkpoints_gradients(module) {
            let hint = "leave out one of them";
            return Err(Error::config("ModelPruning", "the module uses gradient checkpointing, which a changed weight would lose", hint));
        }
        // With a schedule, each of its amounts is checked at its epoch.
        if self.schedule.is_none() { self.check_amount(module) } else { Ok(()) }
    }

    fn on_fit_start(&mut self, _ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        if !std::mem::take(&mut self.restored) {
            self.masks = Masks::default();
        }
        self.enforce(module);
        Ok(())
    }

    fn on_exception(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        // The next fit is another one.
        self.restored = false;
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        // In an open window of gradients the weights have not changed.
        if ctx.run().place.window.batches == 0 {
            self.enforce(module);
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        // `skip_epoch` may have closed a window with a step that no batch has ended.
        self.enforce(module);
        let epoch = ctx.current_epoch();
        // A longer fit continues such an epoch, with weights that must not be pruned yet.
        let amount = match &self.schedule {
            _ if ctx.run().is_cut_short() => None,
            Some(schedule) => schedule(epoch),
            None => Some(self.amount),
        };
        if let Some(amount) = amount {
            self.prune(module, amount)?;
        }
        let share = self.share();
        ctx.log("sparsity", share);
        if amount.is_some() {
            tracing::info!("epoch {epoch}: {:.1} % of the chosen weights are pruned", share * 100.0);
        }
        Ok(())
    }
}

impl fmt::Debug for ModelPruning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelPruning").field("amount", &self.amount).field("scope", &self.scope).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
