//! State of the loop for checkpoints.

use std::time::Instant;

use stormfire_module::{Error, state::Saved};

use crate::{data_facts::DataFacts, fit_state::FitState, in_force::InForce, rank_state::OfRank, signals::Signal};

/// State of the loop for the checkpoints of a run, in addition to their contents. Each run starts with
/// [`Books::default`].
pub(crate) struct Books<M> {
    pub(crate) in_force: InForce<M>,
    /// The state at the last boundary, if a callback saves on failures.
    pub(crate) kept: Option<FitState<M>>,
    /// The properties of this fit's training data that a position in it depends on.
    pub(crate) data: DataFacts,
    /// The state of this fit's data module at the newest boundary where a checkpoint may be written.
    pub(crate) data_module: Saved,
    /// How often the run was resumed.
    pub(crate) restarts: u64,
    /// The parts of an unfinished epoch and window on the other ranks, for the next checkpoint.
    pub(crate) of_ranks: Vec<OfRank>,
    /// Whether a rank has requested a checkpoint, as the ranks have agreed.
    pub(crate) some_rank_saves: bool,
    /// Whether rank 0 has loggers.
    pub(crate) is_logged: bool,
    /// Whether the ranks have agreed that values that are not finite stop the fit.
    pub(crate) is_not_finite: bool,
    /// When the ranks last compared how long they had waited for each other, and the seconds of each.
    pub(crate) waits: Option<(Instant, Vec<f64>)>,
    /// The signal that the ranks have agreed on, with several ranks.
    pub(crate) signal: Option<Signal>,
    /// The first unreported failure of a logger. It is reported after the checkpoints of its boundary are written.
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
            of_ranks: Vec::new(),
            some_rank_saves: false,
            is_logged: false,
            waits: None,
            is_not_finite: false,
            signal: None,
            failed_log: None,
        }
    }
}

impl<M> Books<M> {
    /// The initial value for an evaluation. A checkpoint that is requested later belongs to the previous fit.
    pub(crate) fn of_evaluation(self) -> Self {
        let Self { in_force, data, data_module, restarts, .. } = self;
        Self { in_force, data, data_module, restarts, ..Self::default() }
    }
}
