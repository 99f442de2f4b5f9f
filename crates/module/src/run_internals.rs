//! The part of the state of a run that only the loop, the [`Context`](crate::Context) and Stormfire's callbacks use.

use std::path::Path;

use serde_json::Value;

use crate::secrets::Secrets;

/// What a [`Run`](crate::run::Run) notes for the loop, and not for hooks.
#[derive(Debug)]
pub struct RunInternals {
    /// Whether the user named the checkpoint that the fit was resumed from, so that it is never removed.
    /// `ckpt_path("last")` does not name a file: there a restart should leave no trace.
    pub spares_resumed: bool,
    /// Reads the id of the run that wrote a checkpoint. `None` if the path has no valid checkpoint.
    pub owner_of: fn(&Path) -> Option<String>,
    /// Why the next step of an optimizer is to be skipped ([`Context::skip_step`](crate::Context::skip_step)).
    pub skip_step: Option<String>,
    /// Whether a callback saves when the fit fails. The loop then keeps the state of its last boundary for such a
    /// checkpoint.
    pub keeps_state: bool,
    /// The hyperparameters of a module that returns none, such as the options of a command line.
    pub default_hparams: Value,
    /// What hyperparameters do not show, neither in logs nor in checkpoints.
    pub secrets: Secrets,
}

impl RunInternals {
    /// Those of a new run.
    pub fn new(owner_of: fn(&Path) -> Option<String>) -> Self {
        Self {
            spares_resumed: false,
            owner_of,
            skip_step: None,
            keeps_state: false,
            default_hparams: Value::Null,
            secrets: Secrets::default(),
        }
    }

    /// The hyperparameters for loggers and checkpoints, without secrets. `of_module`: those that the module returns.
    pub fn hparams(&self, of_module: Value) -> Value {
        let given = if of_module.is_null() { self.default_hparams.clone() } else { of_module };
        self.secrets.hidden(given)
    }
}
