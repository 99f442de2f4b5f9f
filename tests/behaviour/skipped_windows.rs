//! With `on_non_finite = "skip:n"`, an infinite loss is noticed wherever it is in its window of accumulated gradients,
//! even if its gradients are finite.

use std::cell::RefCell;

use burn::{optim::GradientsParams, prelude::*};
use stormfire::{module::requests::SaveRequest, prelude::*};

use crate::{
    repeatability::{Weights, weights},
    support::{Batch, Line, line_data, quiet},
};

/// A line that learns from all losses, although some are infinite.
#[derive(Module, Debug)]
struct Tall {
    line: Line,
    /// The batches with an infinite loss.
    #[module(skip)]
    infinite: Vec<usize>,
    /// Steps with the gradients of two batches, in a custom `training_batch`.
    #[module(skip)]
    is_manual: bool,
}

thread_local! {
    static KEPT: RefCell<Option<Vec<GradientsParams>>> = const { RefCell::new(None) };
}

impl Tall {
    fn new(infinite: &[usize], is_manual: bool) -> Self {
        Self { line: Line::fixed(), infinite: infinite.into(), is_manual }
    }
}

impl LightningModule for Tall {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let loss = self.line.loss(batch);
        let height = if self.infinite.contains(&batch_idx) { f64::INFINITY } else { 0.0 };
        Ok((loss + height).into())
    }

    fn training_batch(&mut self, batch: Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        if !self.is_manual {
            return opt.automatic(self, batch, move |module, batch| module.training_step(batch, batch_idx));
        }
        let output = self.training_step(batch, batch_idx)?;
        let Some(loss) = output.loss() else { return Ok(output) };
        let gradients = opt.backward("SGD", self, loss)?;
        let first = KEPT.take();
        match first {
            None => KEPT.set(Some(vec![gradients])),
            Some(_) => opt.apply("SGD", self, gradients)?,
        }
        Ok(output)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

/// Notes the batches whose step was skipped. Saves after one batch, and ends the epoch before another.
#[derive(Clone, Default)]
struct Notes {
    skipped: Vec<usize>,
    saves: Option<(usize, std::path::PathBuf)>,
    ends_before: Option<usize>,
}

impl Callback<Tall> for Notes {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut Tall, _batch: &Batch, batch_idx: usize) -> Result<()> {
        if self.ends_before == Some(batch_idx) {
            ctx.skip_epoch();
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut Tall, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if ctx.run().step_skipped {
            self.skipped.push(batch_idx);
        }
        if let Some((_, path)) = self.saves.take_if(|(at, _)| *at == batch_idx) {
            ctx.save_checkpoint(SaveRequest { path, ..SaveRequest::default() });
        }
        Ok(())
    }
}

fn trainer(notes: &Notes, window: usize) -> Trainer<Tall> {
    quiet().max_epochs(1).on_non_finite("skip:9").accumulate_grad_batches(window).callback(notes.clone())
}

/// Trains on these batches of four points, and gives the batches of skipped steps, and the parameters.
fn fit(mut trainer: Trainer<Tall>, module: Tall, batches: usize) -> (Vec<usize>, Weights) {
    let fit = trainer.fit(module, line_data(4 * batches, 4)).unwrap();
    (trainer.get::<Notes>().unwrap().skipped.clone(), weights(&fit.module))
}

#[test]
fn an_infinite_loss_is_seen_wherever_it_is_in_its_window() {
    let notes = Notes::default();
    let unchanged = weights(&Tall::new(&[], false));
    for infinite in 0..3 {
        assert_eq!(fit(trainer(&notes, 3), Tall::new(&[infinite], false), 3), (vec![2], unchanged.clone()), "batch {infinite}");
    }
    // A short window at the end of the epoch.
    assert_eq!(fit(trainer(&notes, 4), Tall::new(&[1], false), 3), (vec![2], unchanged.clone()));
    // One that the end of a skipped epoch closes.
    let skips = Notes { ends_before: Some(2), ..Notes::default() };
    assert_eq!(fit(trainer(&skips, 4), Tall::new(&[0], false), 3).1, unchanged);
    // The next window is another one.
    let (skipped, of_next) = fit(trainer(&notes, 2), Tall::new(&[0], false), 4);
    assert!(skipped == [1] && of_next != unchanged);
    // One batch more makes a window of two in a module that steps itself.
    assert_eq!(fit(trainer(&notes, 1), Tall::new(&[0], true), 2), (vec![1], unchanged));
}

#[test]
fn a_fit_resumed_in_a_window_knows_its_losses() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("a.ckpt");
    let noting = Notes { saves: Some((0, saved.clone())), ..Notes::default() };
    let uninterrupted = fit(trainer(&noting, 2), Tall::new(&[0], false), 4);
    assert_eq!(uninterrupted.0, [1]);
    assert_eq!(fit(trainer(&Notes::default(), 2).ckpt_path(saved), Tall::new(&[0], false), 4), uninterrupted);
}
