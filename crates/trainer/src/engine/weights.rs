//! The weights in force that callbacks provide.

use stormfire_module::{Error, LightningModule, Result};

use super::Engine;
use crate::in_force::Weights;

impl<M: LightningModule> Engine<M> {
    /// The weights that a callback provides in place of the trained ones.
    pub(crate) fn given_weights(&mut self, module: &M) -> Result<Option<M>> {
        let mut given: Option<(M, String)> = None;
        for (callback, key) in self.callbacks_with_keys() {
            let Some(weights) = callback.weights(module)? else { continue };
            if let Some((_, first)) = &given {
                let reason = format!("`{first}` and `{key}` both provide weights to use instead of the trained ones");
                return Err(Error::config("callback", reason, "use one of them"));
            }
            given = Some((weights, key.to_owned()));
        }
        Ok(given.map(|(weights, _)| weights))
    }

    /// The weights of this moment, for a checkpoint.
    pub(crate) fn weights(&mut self, module: &M) -> Result<Weights<M>> {
        let given = if self.books.in_force.is_validating() { None } else { self.given_weights(module)? };
        Ok(self.books.in_force.weights(module, given))
    }
}
