//! Which weights are in force: the trained ones, or others that stand in for them while a validation runs.
//!
//! A callback gives others with [`Callback::weights`](stormfire_module::Callback::weights); the loop puts them into the module for a
//! validation, and the trained ones back. Hooks of a validation may also swap them on their own. Either way a checkpoint holds
//! the trained weights, and those in force beside them.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, DType, Int, Tensor, kind},
};
use stormfire_checkpoint::{Snapshot, tensor_names::IN_FORCE};
use stormfire_module::Result;
use stormfire_values::{Scalar, read::read};

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
    /// The trained weights, after a validation: the module before it, and as it was validated.
    Validated { before: M, validated: M },
    /// The trained weights of a checkpoint in whose validation hooks had put others there: they have to do so again.
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

    /// The end of a validation, or of the part before an error. Gives the trained weights back, if they are not in the module.
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

    /// The trained weights, while hooks of a validation may have others in the module that they never get to put back.
    fn before_a_swap(&self) -> Result<Option<M>> {
        let Self::Validating { before, started, .. } = self else { return Ok(None) };
        let has_swapped = started.as_ref().map_or(Ok(true), |started| differ(before, started))?;
        Ok(has_swapped.then(|| before.clone()))
    }

    /// The weights of this moment, for a checkpoint; `given` are those of a callback, asked for where nothing stands in for the
    /// trained ones now.
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

    /// Whether others than the trained weights may be in the module now.
    pub(crate) fn is_validating(&self) -> bool {
        matches!(self, Self::Given { .. } | Self::Validating { .. })
    }

    /// The validation is over, and everything that is to be saved in its middle has been.
    pub(crate) fn be_over(&mut self) {
        *self = match std::mem::take(self) {
            Self::Validating { before, ended: Some(validated), .. } => Self::Validated { before, validated },
            Self::Validating { .. } => Self::Trained,
            other => other,
        };
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
    Validated { before: M, validated: M },
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
            // Weights that have changed since the validation are others than those that were validated, however these came about.
            Beside::Validated { before, validated } => {
                let has_stood_in = differ(&before, &validated)? && !differ(&module, &before)?;
                (module, has_stood_in.then_some(validated))
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

/// Whether two modules hold different numbers.
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
    Scalar::Device(flags.any().float())
}

/// All parameters, flat.
#[derive(Default)]
struct Parameters {
    /// Shapes and types.
    forms: Vec<(Vec<usize>, DType)>,
    floats: Vec<Tensor<1>>,
    ints: Vec<Tensor<1, Int>>,
    bools: Vec<Tensor<1, Bool>>,
}

impl ModuleVisitor for Parameters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
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
