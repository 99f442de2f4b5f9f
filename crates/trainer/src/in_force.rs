//! Which weights are in force: the trained ones, or others that stand in for them while a validation runs.
//!
//! A callback gives others with [`Callback::weights`](stormfire_module::Callback::weights); the loop puts them into the module for a
//! validation, and the trained ones back. Hooks of a validation may also swap them on their own. Either way a checkpoint holds
//! the trained weights, and those in force beside them.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, Int, Tensor, kind},
};
use stormfire_checkpoint::{IN_FORCE, Snapshot};
use stormfire_module::{Error, LightningModule, Result, Scalar, read::read};

use crate::engine::Engine;

/// What the module holds, or held in the validation that has just ended.
#[derive(Default)]
pub(crate) enum InForce<M> {
    /// The trained weights.
    #[default]
    Trained,
    /// Those that a callback gave for the validation at hand, in place of these.
    Given { trained: M },
    /// What the hooks of the validation at hand have put there: the module before them and after the first of them, and as it was
    /// when an error ended the validation.
    Validating { before: M, started: Option<M>, ended: Option<M> },
    /// The trained weights, after a validation with these.
    Validated(M),
    /// The trained weights of a checkpoint in whose validation hooks had put others there: they have to do so again.
    ToSwapAgain,
}

impl<M: LightningModule> InForce<M> {
    /// Puts the weights for a validation into the module, in evaluation mode.
    pub(crate) fn enter(&mut self, module: &mut M, given: Option<M>) {
        if let Some(given) = given {
            *self = Self::Given { trained: std::mem::replace(module, given.valid()) };
        } else {
            *module = module.valid();
        }
    }

    /// Whether the hooks that a continued validation has behind it have to be called again.
    pub(crate) fn is_to_swap_again(&self) -> bool {
        matches!(self, Self::ToSwapAgain)
    }

    /// Notes the module before the first hooks of a validation.
    pub(crate) fn note_before(&mut self, module: &M) {
        if !matches!(self, Self::Given { .. }) {
            *self = Self::Validating { before: module.clone(), started: None, ended: None };
        }
    }

    /// Notes what these hooks have made of the module.
    pub(crate) fn note_started(&mut self, module: &M) {
        if let Self::Validating { started, .. } = self {
            *started = Some(module.clone());
        }
    }

    /// Notes what was validated, before the last hooks of a validation, or before those of a failure.
    pub(crate) fn note_ended(&mut self, module: &M) {
        if let Self::Validating { ended, .. } = self {
            ended.get_or_insert_with(|| module.clone());
        }
    }

    /// Gives the trained weights back, if they are not in the module.
    pub(crate) fn leave(&mut self, module: &M, is_whole: bool) -> Option<M> {
        self.note_ended(module);
        match std::mem::take(self) {
            Self::Given { trained } => return Some(trained),
            Self::Validating { ended: Some(validated), .. } if is_whole => *self = Self::Validated(validated),
            other => *self = other,
        }
        None
    }
}

impl<M: LightningModule> Engine<M> {
    /// The weights that a callback has for the place of the trained ones.
    pub(crate) fn given_weights(&mut self, module: &M) -> Result<Option<M>> {
        let mut given: Option<(M, String)> = None;
        for (callback, key) in self.callbacks_with_keys() {
            let Some(weights) = callback.weights(module)? else { continue };
            if let Some((_, first)) = &given {
                let reason = format!("`{first}` and `{key}` both give weights for the place of the trained ones");
                return Err(Error::config("callback", reason, "use one of them"));
            }
            given = Some((weights, key.to_owned()));
        }
        Ok(given.map(|(weights, _)| weights))
    }

    /// The weights of this moment, for a checkpoint.
    pub(crate) fn weights(&mut self, module: &M) -> Result<Weights<M>> {
        let (module, beside) = match &self.books.in_force {
            InForce::Given { trained } => (trained.valid(), Beside::Known(module.valid())),
            InForce::Validating { before, started: None, .. } => (before.valid(), Beside::Nothing),
            InForce::Validating { before, started: Some(started), ended } => {
                let hooks = Beside::Validating { before: before.clone(), started: started.clone() };
                (ended.as_ref().unwrap_or(module).valid(), hooks)
            }
            InForce::Trained | InForce::Validated(_) | InForce::ToSwapAgain => {
                let beside = match (self.given_weights(module)?, &self.books.in_force) {
                    (Some(given), _) => Beside::Known(given.valid()),
                    (None, InForce::Validated(validated)) => Beside::Validated(validated.clone()),
                    (None, _) => Beside::Nothing,
                };
                (module.valid(), beside)
            }
        };
        Ok(Weights { module, beside })
    }
}

/// The weights of one moment, in evaluation mode: such copies share no running statistics with the module.
#[derive(Clone, Debug)]
pub(crate) struct Weights<M> {
    module: M,
    beside: Beside<M>,
}

/// What is known of the weights in force.
#[derive(Clone, Debug)]
enum Beside<M> {
    Nothing,
    Known(M),
    Validated(M),
    Validating { before: M, started: M },
}

/// Adds weights to a snapshot.
pub(crate) type LaterWeights = Box<dyn FnOnce(&mut Snapshot) -> Result<()> + Send>;

impl<M: Module + 'static> Weights<M> {
    /// The module that trains, for everything but the numbers: what is frozen, its hyperparameters.
    pub(crate) fn trained(&self) -> &M {
        match &self.beside {
            Beside::Validating { before, .. } => before,
            _ => &self.module,
        }
    }

    /// The module as hooks of this moment see it.
    pub(crate) fn module_mut(&mut self) -> &mut M {
        &mut self.module
    }

    /// The same for the thread that writes checkpoints: whether hooks have swapped weights shows when the device is read.
    pub(crate) fn later(self) -> LaterWeights {
        Box::new(|snapshot| self.add_to(snapshot))
    }

    /// Adds the trained weights, and those in force where they are others. May read the device.
    fn add_to(self, snapshot: &mut Snapshot) -> Result<()> {
        let Self { module, beside } = self;
        let (trained, in_force) = match beside {
            Beside::Known(given) => (module, Some(given)),
            Beside::Validated(validated) => {
                let is_other = differ(&module, &validated)?;
                (module, is_other.then_some(validated))
            }
            // What changes later in a validation is not undone at its end.
            Beside::Validating { before, started } if differ(&before, &started)? => (before, Some(module)),
            Beside::Nothing | Beside::Validating { .. } => (module, None),
        };
        snapshot.add_module("", &trained)?;
        if let Some(in_force) = in_force {
            snapshot.add_module(IN_FORCE, &in_force)?;
        }
        Ok(())
    }
}

/// Whether two modules hold different numbers. NaN differs from NaN.
fn differ<M: Module>(a: &M, b: &M) -> Result<bool> {
    let (mut left, mut right) = (Parameters::default(), Parameters::default());
    a.visit(&mut left);
    b.visit(&mut right);
    if left.shapes != right.shapes {
        return Ok(true);
    }
    let mut differences = Vec::new();
    differences.extend(left.floats.into_iter().zip(right.floats).map(count_different));
    differences.extend(left.ints.into_iter().zip(right.ints).map(count_different));
    differences.extend(left.bools.into_iter().zip(right.bools).map(count_different));
    Ok(read(&differences)?.into_iter().any(|count| count > 0.0))
}

fn count_different<K: kind::Basic>((a, b): (Tensor<1, K>, Tensor<1, K>)) -> Scalar {
    Scalar::Device(a.not_equal(b).any().float())
}

/// All parameters, flat.
#[derive(Default)]
struct Parameters {
    shapes: Vec<Vec<usize>>,
    floats: Vec<Tensor<1>>,
    ints: Vec<Tensor<1, Int>>,
    bools: Vec<Tensor<1, Bool>>,
}

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        self.shapes.push(tensor.dims().to_vec());
        self.floats.push(if tensor.is_autodiff() { tensor.inner() } else { tensor }.flatten(0, D - 1));
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.shapes.push(param.val().dims().to_vec());
        self.ints.push(param.val().flatten(0, D - 1));
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.shapes.push(param.val().dims().to_vec());
        self.bools.push(param.val().flatten(0, D - 1));
    }
}
