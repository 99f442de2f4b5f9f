//! What the loop keeps for the checkpoints of a run.

use stormfire_module::{Error, state::Saved};

use crate::{data_facts::DataFacts, fit_state::FitState, in_force::InForce, signals::Signal};

/// What the loop keeps for the checkpoints of a run, beside what they hold: each run begins with [`Books::default`].
pub(crate) struct Books<M> {
    pub(crate) in_force: InForce<M>,
    /// The state of the last boundary, if a callback saves on failures.
    pub(crate) kept: Option<FitState<M>>,
    /// The training data of this fit, as far as a place in it depends on it.
    pub(crate) data: DataFacts,
    /// The state of this fit's data module at the newest boundary at which somebody may save.
    pub(crate) data_module: Saved,
    /// How often the run was continued.
    pub(crate) restarts: u64,
    /// The signal that ranks have agreed on, where there are several.
    pub(crate) signal: Option<Signal>,
    /// The first failure of a logger that is still to be told: the checkpoints of its boundary come first.
    pub(crate) failed_log: Option<Error>,
}

impl<M> Default for Books<M> {
    fn default() -> Self {
        Self {
            in_force: InForce::Trained,
            kept: None,
            data: DataFacts::default(),
            data_module: Saved::default(),
            restarts: 0,
            signal: None,
            failed_log: None,
        }
    }
}

impl<M> Books<M> {
    /// What an evaluation begins with: a checkpoint that is asked for later is of the fit before it.
    pub(crate) fn of_evaluation(self) -> Self {
        let Self { in_force, data, data_module, restarts, .. } = self;
        Self { in_force, data, data_module, restarts, ..Self::default() }
    }
}
