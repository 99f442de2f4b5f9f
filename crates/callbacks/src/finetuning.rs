//! Freezes parts of a module, and unfreezes them at some epochs.

mod backbone;
mod norms;

pub use backbone::BackboneFinetuning;

use norms::Norms;
use serde_json::{Map, Value};
use stormfire_module::{
    Callback, Context, Error, LightningModule, Result, Stage,
    state::{self, Saved},
};
use stormfire_optim::{Patterns, freeze, trained::paths, unfreeze};

/// Freezes parts of the module, and unfreezes some of them at the start of an epoch. The parts are given by
/// [`Patterns`].
///
/// ```
/// use stormfire_callbacks::Finetuning;
///
/// let head_first = Finetuning::new("backbone").unfreeze_at(2, "backbone.blocks.11").unfreeze_at(4, "backbone");
/// # let _ = head_first;
/// ```
///
/// * Epochs count from 0. A frozen parameter gets no gradients, and no optimizer changes it.
/// * The learning rate of an unfrozen part is that of its optimizer, or of its parameter group:
///   [`Optimizer::group`](stormfire_optim::Optimizer::group).
/// * `BatchNorm` layers are trained in a frozen part, too, unless [`train_bn`](Self::train_bn) is off.
/// * A resumed fit has the frozen parameters of the checkpoint.
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) at the start of the fit for a pattern that matches no parameter.
#[derive(Debug)]
pub struct Finetuning {
    frozen: Patterns,
    stages: Vec<(usize, Patterns)>,
    train_bn: bool,
    /// Whether a checkpoint has decided what is frozen.
    is_loaded: bool,
}

impl Finetuning {
    /// Freezes these parameters from the start.
    pub fn new(frozen: impl Into<Patterns>) -> Self {
        Self { frozen: frozen.into(), stages: Vec::new(), train_bn: true, is_loaded: false }
    }

    /// Unfreezes parameters at the start of an epoch. Can be called several times.
    pub fn unfreeze_at(mut self, epoch: usize, part: impl Into<Patterns>) -> Self {
        self.stages.push((epoch, part.into()));
        self
    }

    /// Whether `BatchNorm` layers of a frozen part are trained and update their running statistics. Otherwise they use
    /// their statistics as they are. Default `true`, as in Lightning.
    pub fn train_bn(mut self, on: bool) -> Self {
        self.train_bn = on;
        self
    }

    fn freeze<M: LightningModule>(&self, module: &mut M) -> Result<()> {
        let norms = Norms::of(module, &self.frozen);
        *module = freeze(module.clone(), self.frozen.clone())?;
        norms.settle(module, self.train_bn);
        Ok(())
    }
}

impl<M: LightningModule> Callback<M> for Finetuning {
    fn setup(&mut self, _ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        if stage != Stage::Fit {
            return Ok(());
        }
        self.is_loaded = false;
        self.freeze(module)?;
        // Refuses a pattern without a match now, not at its epoch.
        let paths = paths(module);
        for (_, part) in &self.stages {
            part.select("unfreeze", paths.iter().map(String::as_str))?;
        }
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        if self.is_loaded || !ctx.progress().has_begun() {
            let norms = Norms::of(module, &self.frozen);
            norms.settle_as_frozen(module, self.train_bn);
            return Ok(());
        }
        // The checkpoint of a fit without this callback.
        self.freeze(module)?;
        let begun = ctx.current_epoch() + usize::from(ctx.progress().batch_in_epoch > 0);
        for (_, part) in self.stages.iter().filter(|(epoch, _)| *epoch < begun) {
            *module = unfreeze(module.clone(), part.clone())?;
        }
        Norms::of(module, &self.frozen).settle_as_frozen(module, self.train_bn);
        Ok(())
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        let epoch = ctx.current_epoch();
        for (_, part) in self.stages.iter().filter(|(at, _)| *at == epoch) {
            *module = unfreeze(module.clone(), part.clone())?;
            Norms::of(module, part).settle_as_frozen(module, self.train_bn);
            tracing::info!("epoch {epoch}: training includes {part} from now on");
        }
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        state::save(&Map::<String, Value>::new())
    }

    fn load_state(&mut self, _state: Saved) -> Result<()> {
        self.is_loaded = true;
        Ok(())
    }
}

/// Refuses an option that is not a number of at least 0.
fn require_rate(option: &str, number: f64) -> Result<()> {
    if number.is_finite() && number >= 0.0 {
        return Ok(());
    }
    Err(Error::config(option, format!("{number} is not a number of at least 0"), "use 0.1, for example"))
}

#[cfg(test)]
mod tests;
