//! The weights in force: the trained ones, or others that replace them during a validation.
//!
//! A callback can provide others with [`Callback::weights`](stormfire_module::Callback::weights). The loop puts them
//! into the module for a validation, and then restores the trained ones. Hooks of a validation may also swap weights
//! themselves. In both cases a checkpoint contains the trained weights, and those in force next to them.

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    tensor::{Bool, DType, Int, Tensor, kind},
};
use stormfire_checkpoint::{Snapshot, tensor_names::IN_FORCE};
use stormfire_module::Result;
use stormfire_values::{Scalar, read::read};

/// The weights in the module, or in the validation that has just ended.
#[derive(Default)]
pub(crate) enum InForce<M> {
    /// The trained weights.
    #[default]
    Trained,
    /// A callback has provided the weights of the current validation. They replace `trained`.
    Given { trained: M },
    /// The hooks of the current validation may have swapped weights. The module before them, after the first of them,
    /// and when an error ended the validation.
    Validating { before: M, started: Option<M>, ended: Option<M> },
    /// The trained weights, after a validation. The module before the validation, and as it was validated.
    Validated { before: M, validated: M },
    /// The trained weights of a checkpoint in whose validation hooks had swapped them. The hooks must swap again.
    ToSwapAgain,
}

impl<M: Module> InForce<M> {
    /// Puts the weights for a validation into the module, in evaluation mode.
    pub(crate) fn enter(&mut self, module: &mut M, given: Option<M>) {
        if let Some(given) = given {
            *self = Self::Given { trained: std::mem::replace(module, given.valid()) };
        } else {
            *module = module.valid();
        }
    }

    /// Whether a resumed validation must call its earlier hooks again.
    pub(crate) fn is_to_swap_again(&self) -> bool {
        matches!(self, Self::ToSwapAgain)
    }

    /// Stores the module before the first hooks of a validation.
    pub(crate) fn note_before(&mut self, module: &M) {
        if !matches!(self, Self::Given { .. }) {
            *self = Self::Validating { before: module.clone(), started: None, ended: None };
        }
    }

    /// Stores the module after these hooks.
    pub(crate) fn note_started(&mut self, module: &M) {
        if let Self::Validating { started, .. } = self {
            *started = Some(module.clone());
        }
    }

    /// Stores the validated module, before the last hooks of a validation or before those of a failure.
    pub(crate) fn note_ended(&mut self, module: &M) {
        if let Self::Validating { ended, .. } = self {
            ended.get_or_insert_with(|| module.clone());
        }
    }

    /// Ends a validation, or the part before an error. Returns the trained weights if the module does not have them.
    pub(crate) fn leave(&mut self, module: &M, is_whole: bool) -> Result<Option<M>> {
        self.note_ended(module);
        if is_whole {
            self.be_over();
        }
        match std::mem::take(self) {
            Self::Given { trained } => Ok(Some(trained)),
            other => {
                *self = other;
                self.before_a_swap()
            }
        }
    }

    /// The trained weights, if hooks of a validation may have swapped them and will not restore them.
    fn before_a_swap(&self) -> Result<Option<M>> {
        let Self::Validating { before, started, .. } = self else { return Ok(None) };
        let has_swapped = started.as_ref().map_or(Ok(true), |started| differ(before, started))?;
        Ok(has_swapped.then(|| before.clone()))
    }

    /// The weights of this moment, for a checkpoint. `given` are those of a callback, which are requested only if
    /// nothing replaces the trained ones now.
    pub(crate) fn weights(&self, module: &M, given: Option<M>) -> Weights<M> {
        let (module, beside) = match self {
            Self::Given { trained } => (trained.valid(), Beside::Known(module.valid())),
            Self::Validating { before, started: None, .. } => (before.valid(), Beside::Nothing),
            Self::Validating { before, started: Some(started), ended } => {
                let hooks = Beside::Validating { before: before.clone(), started: started.clone() };
                (ended.as_ref().unwrap_or(module).valid(), hooks)
            }
            Self::Trained | Self::Validated { .. } | Self::ToSwapAgain => {
                let beside = match (given, self) {
                    (Some(given), _) => Beside::Known(given.valid()),
                    (None, Self::Validated { before, validated }) => {
                        Beside::Validated { before: before.clone(), validated: validated.clone() }
                    }
                    (None, _) => Beside::Nothing,
                };
                (module.valid(), beside)
            }
        };
        Weights { module, beside }
    }

    /// Whether the module may now have other weights than the trained ones.
    pub(crate) fn is_validating(&self) -> bool {
        matches!(self, Self::Given { .. } | Self::Validating { .. })
    }

    /// The validation has ended, and everything that was to be saved within it is saved.
    pub(crate) fn be_over(&mut self) {
        *self = match std::mem::take(self) {
            Self::Validating { before, ended: Some(validated), .. } => Self::Validated { before, validated },
            Self::Validating { .. } => Self::Trained,
            other => other,
        };
    }
}

/// The weights of one moment, in evaluation mode. Such copies share no running statistics with the module.
#[derive(Clone, Debug)]
pub(crate) struct Weights<M> {
    module: M,
    beside: Beside<M>,
}

/// The weights in force, as far as known.
#[derive(Clone, Debug)]
enum Beside<M> {
    Nothing,
    Known(M),
    Validated { before: M, validated: M },
    Validating { before: M, started: M },
}

/// Adds weights to a snapshot.
pub(crate) type LaterWeights = Box<dyn FnOnce(&mut Snapshot) -> Result<()> + Send>;

impl<M: Module + 'static> Weights<M> {
    /// The trained module, for everything except the numbers: frozen parameters, hyperparameters.
    pub(crate) fn trained(&self) -> &M {
        match &self.beside {
            Beside::Validating { before, .. } => before,
            _ => &self.module,
        }
    }

    /// The module as the hooks of this moment see it.
    pub(crate) fn module_mut(&mut self) -> &mut M {
        &mut self.module
    }

    /// The same for the thread that writes checkpoints. Only a device read shows whether hooks have swapped weights.
    pub(crate) fn later(self) -> LaterWeights {
        Box::new(|snapshot| self.add_to(snapshot))
    }

    /// Adds the trained weights, and those in force if they differ. May read the device.
    fn add_to(self, snapshot: &mut Snapshot) -> Result<()> {
        let Self { module, beside } = self;
        let (trained, in_force) = match beside {
            Beside::Known(given) => (module, Some(given)),
            // If the weights have changed since the validation, the validated weights are no longer in force.
            Beside::Validated { before, validated } => {
                let has_stood_in = differ(&before, &validated)? && !differ(&module, &before)?;
                (module, has_stood_in.then_some(validated))
            }
            // A change by later hooks of a validation is not undone at its end.
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

/// Whether two modules are the same: the same parameters, with the same numbers. May read the device.
pub(crate) fn is_same<M: Module>(a: &M, b: &M) -> Result<bool> {
    let ids = |module: &M| {
        let mut all = Parameters::default();
        module.visit(&mut all);
        all.ids
    };
    Ok(ids(a) == ids(b) && !differ(a, b)?)
}

/// Whether two modules have different numbers.
fn differ<M: Module>(a: &M, b: &M) -> Result<bool> {
    let (mut left, mut right) = (Parameters::default(), Parameters::default());
    a.visit(&mut left);
    b.visit(&mut right);
    if left.forms != right.forms {
        return Ok(true);
    }
    let mut differences = Vec::new();
    let both_nan = |a: &Tensor<1>, b: &Tensor<1>| a.clone().is_nan().bool_and(b.clone().is_nan());
    differences.extend(left.floats.into_iter().zip(right.floats).map(|(a, b)| {
        let nan = both_nan(&a, &b);
        any(a.not_equal(b).bool_and(nan.bool_not()))
    }));
    differences.extend(left.ints.into_iter().zip(right.ints).map(differing));
    differences.extend(left.bools.into_iter().zip(right.bools).map(differing));
    Ok(read(&differences)?.into_iter().any(|count| count > 0.0))
}

fn differing<K: kind::Basic>((a, b): (Tensor<1, K>, Tensor<1, K>)) -> Scalar {
    any(a.not_equal(b))
}

fn any(flags: Tensor<1, Bool>) -> Scalar {
    flags.any().float().into()
}

/// All parameters, flattened.
#[derive(Default)]
struct Parameters {
    /// Those of floats.
    ids: Vec<ParamId>,
    /// Shapes and types.
    forms: Vec<(Vec<usize>, DType)>,
    floats: Vec<Tensor<1>>,
    ints: Vec<Tensor<1, Int>>,
    bools: Vec<Tensor<1, Bool>>,
}

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        self.ids.push(param.id);
        self.forms.push((tensor.dims().to_vec(), tensor.dtype()));
        self.floats.push(if tensor.is_autodiff() { tensor.inner() } else { tensor }.flatten(0, D - 1));
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.forms.push((param.val().dims().to_vec(), param.val().dtype()));
        self.ints.push(param.val().flatten(0, D - 1));
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.forms.push((param.val().dims().to_vec(), param.val().dtype()));
        self.bools.push(param.val().flatten(0, D - 1));
    }
}
