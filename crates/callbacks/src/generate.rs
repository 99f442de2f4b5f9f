//! Logs texts that a function makes from the module.

use std::{fmt, time::Instant};

use stormfire_loggers::{Logger, Text};
use stormfire_module::{Callback, Context, LightningModule, Result, Stage, StepOutput};
use stormfire_values::{
    Every, clock,
    text::{Misread, TextError},
};

use crate::{period, to_loggers::log_later};

/// The option of the period in errors.
const EVERY: &str = "Generate::every";

/// Makes texts from a module.
type Make<M> = Box<dyn FnMut(&M) -> Result<Vec<String>>>;

/// Calls a function with the module in evaluation mode, and logs the texts that it returns: samples of a language
/// model, translations of fixed sentences.
///
/// One text is logged under the tag, several under `TAG/0`, `TAG/1`, …. Training waits for the function, and for the
/// device as often as it reads it. Loggers that cannot store texts skip them.
///
/// The function may draw random numbers: a run draws new ones for each batch from its seed and its position. So the
/// training is the same with and without this callback, and a resumed fit generates the same texts. Only hooks that
/// draw later in the same `on_train_batch_end` get other numbers.
///
/// ```
/// use burn::{module::Module, nn::Linear, tensor::Tensor};
/// use stormfire_callbacks::Generate;
/// use stormfire_module::LightningModule;
///
/// #[derive(Module, Debug)]
/// struct Model { layer: Linear }
///
/// impl LightningModule for Model {
///     type Batch = Tensor<2>;
/// }
///
/// let generate = Generate::new("samples", |module: &Model| Ok(vec![format!("{module:?}")])).every("200 steps");
/// # let _ = generate;
/// ```
///
/// # Errors
/// [`Error::Config`](stormfire_module::Error::Config) if a fit starts without a logger, or with an empty period. Also
/// errors of the function.
pub struct Generate<M> {
    tag: String,
    make: Make<M>,
    every: Every,
    misread: Misread,
    since: Instant,
}

impl<M: LightningModule> Generate<M> {
    /// Logs texts under this name after each epoch.
    pub fn new(tag: impl Into<String>, make: impl FnMut(&M) -> Result<Vec<String>> + 'static) -> Self {
        Self { tag: tag.into(), make: Box::new(make), every: Every::Epochs(1), misread: Misread::default(), since: clock::now() }
    }

    /// The period, as an [`Every`] or a string (`"500 steps"`). Default: every epoch, after its last batch.
    pub fn every(mut self, every: impl TryInto<Every, Error: Into<TextError>>) -> Self {
        self.misread.set(EVERY, &mut self.every, every);
        self
    }

    fn is_due(&self, ctx: &Context<'_>) -> bool {
        let has_stepped = ctx.run().place.window.batches == 0 && !ctx.run().step_skipped;
        self.every.is_due(&ctx.run().tick_after_batch(has_stepped, clock::since(self.since)))
    }
}

impl<M: LightningModule> Callback<M> for Generate<M> {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn needs_logger(&self, stage: Stage) -> bool {
        stage == Stage::Fit
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, stage: Stage) -> Result<()> {
        period::check(EVERY, self.every, &self.misread, stage)
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        period::needs_length(EVERY, self.every, ctx)?;
        self.since = clock::now();
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.loggers().is_empty() || !self.is_due(ctx) {
            return Ok(());
        }
        self.since = clock::now();
        let texts = (self.make)(&module.valid())?;
        let tags: Vec<String> = match texts.len() {
            1 => vec![self.tag.clone()],
            count => (0..count).map(|number| format!("{}/{number}", self.tag)).collect(),
        };
        let named: Vec<(String, Text)> = tags.into_iter().zip(texts.into_iter().map(Text::new)).collect();
        log_later(
            ctx,
            move || Ok(named),
            |logger: &mut dyn Logger, named: &Vec<(String, Text)>, step| {
                named.iter().try_for_each(|(tag, text)| logger.log_text(tag, text, step))
            },
        )
    }
}

impl<M> fmt::Debug for Generate<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generate").field("tag", &self.tag).field("every", &self.every).finish_non_exhaustive()
    }
}
