//! Logs images that show what a module does with the validation data.

use std::fmt;

use serde::{Deserialize, Serialize};
use stormfire_loggers::Image;
use stormfire_module::{
    Callback, Context, Error, LightningModule, Result, RunningStage, Stage,
    state::{self, Saved},
};

use crate::to_loggers::log_later;

/// Makes images of a batch.
type Draw<M> = Box<dyn FnMut(&M, &<M as LightningModule>::Batch) -> Result<Vec<Image>>>;

/// Logs a grid of images for one batch of every validation. A function makes the images from the module and the batch.
///
/// The grid is arranged like `torchvision.utils.make_grid`: rows of [`columns`](Self::columns) images with
/// [`padding`](Self::padding) around each. A single image is logged unchanged. Without images, nothing is logged.
///
/// The function is called before the batch goes to `validation_step`, with the module in evaluation mode (no autodiff
/// tape, no dropout). It can run the module and show its output. [`media::images`](stormfire_module::media::images)
/// turns tensors into images. Each call of it waits for the device once. Training loses that time at every n-th
/// validation, and none in between.
///
/// The sanity check before a fit logs nothing. Loggers that cannot store images skip them.
///
/// ```
/// use burn::{module::Module, nn::Linear, tensor::Tensor};
/// use stormfire_callbacks::ImageGridMonitor;
/// use stormfire_module::{LightningModule, media::{self, Layout}};
///
/// #[derive(Module, Debug)]
/// struct Decoder { layer: Linear }
///
/// impl LightningModule for Decoder {
///     type Batch = Tensor<2>;
/// }
///
/// let drawn = ImageGridMonitor::new("decoded", |module: &Decoder, codes: &Tensor<2>| {
///     let pixels = module.layer.forward(codes.clone()).reshape([-1, 1, 28, 28]);
///     media::images(pixels, Layout::ChannelsFirst)
/// })
/// .every_n_validations(5);
/// # let _ = drawn;
/// ```
///
/// Its state is in every checkpoint: the number of validations.
///
/// # Errors
/// [`Error::Config`] if a run starts without a logger, with every 0th validation, or with 0 columns. Also errors of the
/// function, and images of different sizes.
pub struct ImageGridMonitor<M: LightningModule> {
    id: Option<String>,
    tag: String,
    draw: Draw<M>,
    every: u64,
    batch_idx: usize,
    dataloader_idx: usize,
    columns: usize,
    padding: (u32, u8),
    seen: Seen,
    /// The state comes from a checkpoint.
    restored: bool,
}

/// The state that survives a restart.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Seen {
    validations: u64,
}

impl<M: LightningModule> ImageGridMonitor<M> {
    /// Logs the images of the first batch of each validation under this name.
    pub fn new(tag: impl Into<String>, draw: impl FnMut(&M, &M::Batch) -> Result<Vec<Image>> + 'static) -> Self {
        let seen = Seen::default();
        Self {
            id: None,
            tag: tag.into(),
            draw: Box::new(draw),
            every: 1,
            batch_idx: 0,
            dataloader_idx: 0,
            columns: 8,
            padding: (2, 0),
            seen,
            restored: false,
        }
    }

    /// A name for its state in checkpoints and for `Trainer::get_named`. Only needed if two have the same tag.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// Logs only every n-th validation of a fit. At least 1. Default 1.
    pub fn every_n_validations(mut self, n: u64) -> Self {
        self.every = n;
        self
    }

    /// The 0-based index of the batch. Default 0.
    pub fn batch_idx(mut self, batch_idx: usize) -> Self {
        self.batch_idx = batch_idx;
        self
    }

    /// The 0-based index of the validation loader. Default 0.
    pub fn dataloader_idx(mut self, dataloader_idx: usize) -> Self {
        self.dataloader_idx = dataloader_idx;
        self
    }

    /// The number of images per row. Default 8.
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns;
        self
    }

    /// The number of pixels around each image, and their brightness in 0..=255. Default: 2 pixels of 0.
    pub fn padding(mut self, pixels: u32, value: u8) -> Self {
        self.padding = (pixels, value);
        self
    }

    fn is_due(&self, ctx: &Context<'_>) -> bool {
        ctx.running() != RunningStage::SanityCheck && (ctx.stage() != Stage::Fit || self.seen.validations.is_multiple_of(self.every))
    }
}

impl<M: LightningModule> Callback<M> for ImageGridMonitor<M> {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn needs_logger(&self, stage: Stage) -> bool {
        matches!(stage, Stage::Fit | Stage::Validate)
    }

    fn state_key(&self) -> String {
        self.id.as_ref().map_or_else(|| format!("ImageGridMonitor/{}", self.tag), |id| format!("ImageGridMonitor{{{id}}}"))
    }

    fn state(&self) -> Result<Saved> {
        state::save(&self.seen)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        self.restored = !state.is_empty();
        state::load(&mut self.seen, state)
    }

    fn on_fit_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if !std::mem::take(&mut self.restored) {
            self.seen = Seen::default();
        }
        Ok(())
    }

    fn on_exception(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        // The next fit is another one.
        self.restored = false;
        Ok(())
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
        if self.every == 0 {
            return Err(Error::config("ImageGridMonitor::every_n_validations", "the number must be at least 1", "use 1 or more"));
        }
        if self.columns == 0 {
            return Err(Error::config("ImageGridMonitor::columns", "a row needs an image", "use 1 or more"));
        }
        Ok(())
    }

    fn on_validation_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if ctx.stage() == Stage::Fit && ctx.running() != RunningStage::SanityCheck {
            self.seen.validations += 1;
        }
        Ok(())
    }

    fn on_validation_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        batch: &M::Batch,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        if (batch_idx, dataloader_idx) != (self.batch_idx, self.dataloader_idx) || !self.is_due(ctx) || ctx.loggers().is_empty() {
            return Ok(());
        }
        let images = (self.draw)(module, batch)?;
        if images.is_empty() {
            return Ok(());
        }
        let grid = Image::grid(&images, self.columns, self.padding.0, self.padding.1)?;
        let tag = self.tag.clone();
        log_later(ctx, move || Ok(grid), move |logger, grid, step| logger.log_image(&tag, grid, step))
    }
}

impl<M: LightningModule> fmt::Debug for ImageGridMonitor<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageGridMonitor").field("tag", &self.tag).field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};
    use stormfire_module::Event;

    use super::*;
    use crate::testing::{Bench, Line, text};

    fn monitor() -> ImageGridMonitor<Line> {
        let black = || Image::new(1, 1, 1, vec![0]);
        ImageGridMonitor::new("black", move |_: &Line, _: &Tensor<2>| Ok(vec![black()?, black()?])).every_n_validations(2)
    }

    /// The number of grids logged for a number of validations.
    fn shown(monitor: &mut ImageGridMonitor<Line>, validations: usize) -> usize {
        let (mut bench, logger) = Bench::new().with_logger();
        bench.start(monitor).unwrap();
        for _ in 0..validations {
            bench.run.moment.stage = RunningStage::Validate;
            let batch = Tensor::zeros([1, 1], &Device::flex());
            bench.fire(monitor, Event::ValidationStart).unwrap();
            bench.fire(monitor, Event::ValidationBatchStart { batch: &batch, batch_idx: 0, dataloader_idx: 0 }).unwrap();
        }
        bench.run.loggers[0].flush().unwrap();
        logger.calls().iter().filter(|call| matches!(call, stormfire_loggers::Call::Image { tag, .. } if tag == "black")).count()
    }

    #[test]
    fn a_restart_continues_to_count_validations() {
        let mut killed = monitor();
        assert_eq!(shown(&mut killed, 3), 1);
        let mut continued = monitor();
        continued.load_state(killed.state().unwrap()).unwrap();
        assert_eq!(shown(&mut continued, 1), 1);
        assert_eq!(shown(&mut monitor(), 1), 0);
    }

    #[test]
    fn a_second_fit_counts_validations_from_zero() {
        let mut twice = monitor();
        assert_eq!((shown(&mut twice, 3), shown(&mut twice, 1)), (1, 0));
    }

    #[test]
    fn a_grid_without_columns_is_refused() {
        let (mut bench, _logger) = Bench::new().with_logger();
        let error = bench.start(&mut monitor().columns(0)).unwrap_err();
        assert_eq!(text(&error), "`ImageGridMonitor::columns`: a row needs an image | hint: use 1 or more");
    }
}
