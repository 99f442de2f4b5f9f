//! Windows of accumulated gradients. The divisor is the number or weight of the gradients in the window.

use std::path::Path;

use burn::{module::Param, optim::SgdConfig, prelude::*};
use insta::assert_snapshot;
use stormfire::{loggers::MemoryLogger, module::requests::SaveRequest, prelude::*};

use crate::{
    error_text::error_text,
    support::{Batch, line_data, quiet, recording},
};

/// The weight of the loss that a step returns.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Weight {
    /// No weight. The loss is the mean over the items.
    Mean,
    /// The number of items, on the host. The loss is the sum over the items.
    Host,
    /// The number of items, on the device. The loss is the sum over the items.
    Device,
    /// The given number.
    Given(f64),
}

/// A parameter that each step lowers by the mean of `x + 1` over its items. The learning rate is 1.
#[derive(Module, Debug)]
struct Slope {
    height: Param<Tensor<1>>,
    #[module(skip)]
    weight: Weight,
    /// The batches whose steps return no loss.
    #[module(skip)]
    without_loss: Vec<usize>,
    /// Every item has the gradient 1.
    #[module(skip)]
    is_flat: bool,
}

impl Slope {
    fn new(weight: Weight) -> Self {
        let height = Param::from_tensor(Tensor::zeros([1], &Device::flex()));
        Self { height, weight, without_loss: Vec::new(), is_flat: false }
    }

    fn flat() -> Self {
        Self { is_flat: true, ..Self::new(Weight::Mean) }
    }
}

impl LightningModule for Slope {
    type Batch = Batch;

    fn training_step(&self, (x, _): Batch, batch_idx: usize) -> Result<StepOutput> {
        if self.without_loss.contains(&batch_idx) {
            return Ok(StepOutput::none());
        }
        if self.is_flat {
            return Ok(self.height.val().into());
        }
        let items = x.dims()[0];
        let loss = (x.squeeze_dim::<1>(1) + 1.0).sum() * self.height.val();
        Ok(match self.weight {
            Weight::Mean => (loss / items as f64).into(),
            Weight::Host => StepOutput::from(loss).weight(items),
            Weight::Device => StepOutput::from(loss).weight(Tensor::<1>::ones([items], &Device::flex()).sum()),
            Weight::Given(weight) => StepOutput::from(loss).weight(weight),
        })
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 1.0).into())
    }
}

fn fall(module: Slope, window: usize, items: usize, batch_size: usize) -> (f32, u64) {
    let fit = quiet().max_epochs(1).accumulate_grad_batches(window).fit(module, line_data(items, batch_size)).unwrap();
    (fit.module.height.val().into_scalar(), fit.progress.global_step)
}

#[test]
fn a_short_window_uses_the_mean_of_its_gradients() {
    assert_eq!(fall(Slope::flat(), 4, 5, 1), (-2.0, 2), "five batches in windows of four");
    assert_eq!(fall(Slope::flat(), 8, 2, 1), (-1.0, 1), "two batches in a window of eight");
    let gaps = |without_loss: &[usize]| Slope { without_loss: without_loss.to_vec(), ..Slope::flat() };
    assert_eq!(fall(gaps(&[1, 2]), 4, 4, 1), (-1.0, 1), "two of four batches without a loss");
    assert_eq!(fall(gaps(&[3]), 4, 4, 1), (-1.0, 1), "the last batch of a window without a loss");
    assert_eq!(fall(gaps(&[0, 1, 2, 3]), 4, 4, 1), (0.0, 0));
}

fn close(name: &str, actual: f32, expected: f32) {
    assert!((actual - expected).abs() < 1e-6, "{name}: {actual} instead of {expected}");
}

#[test]
fn a_weighted_window_equals_one_large_batch() {
    // Batches of 3, 3 and 1 items.
    let (big, steps) = fall(Slope::new(Weight::Mean), 1, 7, 7);
    assert_eq!(steps, 1);
    let (of_means, _) = fall(Slope::new(Weight::Mean), 3, 7, 3);
    assert!((of_means - big).abs() > 0.05, "the mean of means is another number: {of_means} and {big}");
    for weight in [Weight::Host, Weight::Device] {
        close("a whole window", fall(Slope::new(weight), 3, 7, 3).0, big);
        close("a window that is not full", fall(Slope::new(weight), 5, 7, 3).0, big);
        close("a window of one", fall(Slope::new(weight), 1, 7, 7).0, big);
    }
    close("equal weights", fall(Slope::new(Weight::Given(2.0)), 2, 4, 2).0, fall(Slope::new(Weight::Mean), 2, 4, 2).0);
}

#[test]
fn a_window_of_weight_zero_makes_no_step_and_a_negative_weight_is_refused() {
    assert_eq!(fall(Slope::new(Weight::Given(0.0)), 2, 4, 1), (0.0, 0));
    let refused = |weight| quiet().max_epochs(1).fit(Slope::new(Weight::Given(weight)), line_data(4, 1));
    assert_snapshot!([-1.0, f64::NAN].map(|weight| error_text(refused(weight)) + "\n").concat(), @"
    `StepOutput::weight`: -1 is not a number of at least 0 (in `training_step` of `Slope`, epoch 0, batch 0)
      hint: give the number of parts that the loss is the sum of
    `StepOutput::weight`: NaN is not a number of at least 0 (in `training_step` of `Slope`, epoch 0, batch 0)
      hint: give the number of parts that the loss is the sum of
    ");
}

/// Skips the rest of each epoch at or after a batch. Saves after a number of batches.
#[derive(Clone, Default)]
struct Acts {
    skip_before: Option<usize>,
    skip_after: Option<usize>,
    save: Option<(u64, std::path::PathBuf)>,
    widen_after: Option<(u64, usize)>,
}

impl<M: LightningModule> Callback<M> for Acts {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, batch_idx: usize) -> Result<()> {
        if self.skip_before == Some(batch_idx) {
            ctx.skip_epoch();
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if self.skip_after == Some(batch_idx) {
            ctx.skip_epoch();
        }
        if let Some((batches, path)) = &self.save
            && *batches == ctx.progress().batches
        {
            ctx.save_checkpoint(SaveRequest { path: path.clone(), ..SaveRequest::default() });
        }
        if let Some((batches, size)) = self.widen_after
            && batches == ctx.progress().batches
        {
            ctx.set_accumulate_grad_batches(size);
        }
        Ok(())
    }
}

#[test]
fn skipping_an_epoch_steps_with_the_incomplete_window() {
    for (acts, expected) in [
        (Acts { skip_before: Some(2), ..Acts::default() }, (-2.0, 2)),
        (Acts { skip_after: Some(1), ..Acts::default() }, (-2.0, 2)),
        (Acts { skip_before: Some(0), ..Acts::default() }, (0.0, 0)),
        // The window has just ended.
        (Acts { skip_after: Some(3), ..Acts::default() }, (-2.0, 2)),
    ] {
        let logger = MemoryLogger::new();
        let trainer = recording(&logger).max_epochs(2).accumulate_grad_batches(4).log_every_n_steps(1);
        let mut trainer = trainer.callback(acts).callback(LearningRateMonitor::new());
        let fit = trainer.fit(Slope::flat(), line_data(8, 1)).unwrap();
        let height: f32 = fit.module.height.val().into_scalar();
        assert_eq!((height, fit.progress.global_step), expected);
    }
}

#[test]
fn a_window_keeps_its_initial_size() {
    // Four batches, the first two in a window of two. After one of them, the size becomes three.
    let acts = Acts { widen_after: Some((1, 3)), ..Acts::default() };
    let fit = quiet().max_epochs(1).accumulate_grad_batches(2).callback(acts).fit(Slope::flat(), line_data(5, 1)).unwrap();
    let height: f32 = fit.module.height.val().into_scalar();
    assert_eq!((height, fit.progress.global_step), (-2.0, 2));
}

#[test]
fn a_fit_resumed_in_a_window_keeps_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    for weight in [Weight::Mean, Weight::Host, Weight::Device] {
        let fit = |acts: Acts, from: Option<&Path>| {
            let mut trainer = quiet().max_epochs(1).accumulate_grad_batches(4).callback(acts);
            if let Some(from) = from {
                trainer = trainer.ckpt_path(from);
            }
            let fit = trainer.fit(Slope::new(weight), line_data(11, 2)).unwrap();
            fit.module.height.val().into_scalar::<f32>().to_bits()
        };
        let uninterrupted = fit(Acts::default(), None);
        for batches in [1, 2, 5] {
            let _ = fit(Acts { save: Some((batches, path.clone())), ..Acts::default() }, None);
            assert_eq!(fit(Acts::default(), Some(&path)), uninterrupted, "{weight:?}, saved after {batches} batches");
        }
    }
}
