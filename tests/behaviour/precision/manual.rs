//! Manual optimization in a mixed precision.

use burn::{optim::SgdConfig, prelude::*, tensor::DType};
use insta::assert_snapshot;
use stormfire::prelude::*;

use super::net::{Net, Points, points};
use crate::{devices::values, error_text::error_text, support::quiet};

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    /// A loss and a step for each optimizer.
    InTurn,
    /// Both losses first.
    BothLossesFirst,
    BackwardAll,
    /// The step adds the gradients of two losses manually.
    Accumulates,
    ChangesWeight,
    ChangesFrozen,
    ChangesAfterAutomatic,
}

#[derive(Module, Debug)]
struct Manual {
    net: Net,
    target: burn::nn::Linear,
    #[module(skip)]
    how: How,
    #[module(skip)]
    batches: usize,
    #[module(skip)]
    seen_by_hooks: Vec<usize>,
    #[module(skip)]
    noted_by_hooks: usize,
}

impl Manual {
    fn new(how: How) -> Self {
        let net = Net::new();
        let target = net.output.clone();
        Self {
            net,
            target: stormfire::optim::independent_copy(&target).freeze(),
            how,
            batches: 0,
            seen_by_hooks: Vec::new(),
            noted_by_hooks: 0,
        }
    }
}

impl LightningModule for Manual {
    type Batch = Points;

    fn training_batch(&mut self, batch: Points, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        self.batches += 1;
        let again = batch.clone();
        match self.how {
            How::InTurn => {
                let loss = self.net.loss("train", batch);
                opt.step("hidden", self, &loss)?;
                let loss = self.net.loss("train", again);
                opt.step("output", self, &loss)?;
            }
            How::BothLossesFirst => {
                let (first, second) = (self.net.loss("train", batch), self.net.loss("train", again));
                opt.step("hidden", self, &first)?;
                opt.step("output", self, &second)?;
            }
            How::BackwardAll => {
                let loss = self.net.loss("train", batch);
                for (optimizer, gradients) in opt.backward_all(self, &loss)? {
                    opt.apply(&optimizer, self, gradients)?;
                }
            }
            How::Accumulates => {
                let mut sum = {
                    let loss = self.net.loss("train", batch);
                    opt.backward("hidden", self, &loss)?
                };
                let loss = self.net.loss("train", again);
                let more = opt.backward("hidden", self, &loss)?;
                assert_eq!(more.get::<2>(self.net.hidden.weight.id).unwrap().dtype(), DType::F32);
                stormfire::optim::gradients::accumulate(&mut sum, more, self);
                opt.apply("hidden", self, sum)?;
            }
            How::ChangesWeight => {
                let loss = self.net.loss("train", batch);
                opt.step("hidden", self, &loss)?;
                self.net.hidden.weight =
                    self.net.hidden.weight.clone().map(|weight| Tensor::from_inner(weight.inner().clamp(-0.1, 0.1)).require_grad());
            }
            How::ChangesFrozen => {
                let (target, own) = (self.target.weight.clone(), self.net.output.weight.val().detach());
                self.target.weight = target.map(|target| target.mul_scalar(0.99) + own.mul_scalar(0.01));
            }
            How::ChangesAfterAutomatic => {
                let output = opt.automatic(self, batch, move |module, batch| Ok(module.net.loss("train", batch).into()))?;
                self.target.weight = self.target.weight.clone().map(|target| target.mul_scalar(0.99));
                return Ok(output);
            }
        }
        assert!(self.noted_by_hooks == self.batches || self.how == How::ChangesFrozen, "what a hook notes is there at once");
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = |name: &str| Optimizer::new(SgdConfig::new(), 0.3).named(name);
        if self.how == How::ChangesAfterAutomatic {
            return Ok(sgd("all").into());
        }
        Ok([sgd("hidden").params_of(&self.net.hidden), sgd("output").params_of(&self.net.output)].into())
    }

    fn on_before_optimizer_step(
        &mut self,
        _ctx: &mut Context<'_>,
        _optimizer: &str,
        _gradients: &mut burn::optim::GradientsParams,
    ) -> Result<()> {
        assert_eq!(self.net.hidden.weight.val().dtype(), DType::F32);
        self.seen_by_hooks.push(self.batches);
        self.noted_by_hooks = self.batches;
        Ok(())
    }
}

fn fit(how: How, precision: Option<&str>) -> Result<Manual> {
    let trainer = quiet().max_epochs(4);
    let mut trainer = match precision {
        Some(precision) => trainer.precision(precision),
        None => trainer,
    };
    Ok(trainer.fit(Manual::new(how), points(40, 8))?.module)
}

#[test]
fn every_way_of_stepping_trains_the_masters() {
    for how in [How::InTurn, How::BothLossesFirst, How::BackwardAll, How::Accumulates] {
        let full = fit(how, None).unwrap();
        let mixed = fit(how, Some("bf16-mixed")).unwrap();
        assert_eq!(mixed.net.types.seen().first(), Some(&("batch", DType::BF16)));
        assert_eq!(mixed.net.hidden.weight.val().dtype(), DType::F32);
        for (part, of_full, of_mixed) in [
            ("hidden", values(&full.net.hidden), values(&mixed.net.hidden)),
            ("output", values(&full.net.output), values(&mixed.net.output)),
        ] {
            let furthest = of_full.iter().zip(&of_mixed).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(furthest < 0.05, "{how:?}: {part}: {furthest}");
        }
        let trained = if how == How::Accumulates { values(&mixed.net.hidden) } else { values(&mixed.net.output) };
        let untrained = if how == How::Accumulates { values(&Net::new().hidden) } else { values(&Net::new().output) };
        assert!(trained.iter().zip(&untrained).any(|(a, b)| (a - b).abs() > 0.05), "{how:?}: it has learnt something");
        assert_eq!(mixed.batches, 20, "{how:?}: a counter of the module continues");
        assert_eq!(mixed.seen_by_hooks, full.seen_by_hooks, "{how:?}: hooks see the counter of their batch");
    }
}

#[test]
fn a_step_of_one_optimizer_skips_all_of_a_batch_only_if_it_overflows_itself() {
    let module = fit(How::InTurn, Some("16-mixed")).unwrap();
    assert_eq!(module.net.hidden.weight.val().dtype(), DType::F32);
    assert_eq!(module.batches, 20);
}

#[test]
fn a_parameter_that_the_batch_changes_itself_is_refused_by_name() {
    let errors = [How::ChangesWeight, How::ChangesFrozen, How::ChangesAfterAutomatic].map(|how| error_text(fit(how, Some("bf16-mixed"))));
    assert_snapshot!(errors.join("\n"), @"
    `precision`: `training_batch` has changed the parameter `net.hidden.weight`, which is a copy in bf16 that lives for one batch (in `training_step` of `Manual`, epoch 0, batch 0)
      hint: change parameters in a hook, such as `on_train_batch_end`, which gets those in f32
    `precision`: `training_batch` has changed the parameter `target.weight`, which is a copy in bf16 that lives for one batch (in `training_step` of `Manual`, epoch 0, batch 0)
      hint: change parameters in a hook, such as `on_train_batch_end`, which gets those in f32
    `precision`: `training_batch` has changed the parameter `target.weight`, which is a copy in bf16 that lives for one batch (in `training_step` of `Manual`, epoch 0, batch 0)
      hint: change parameters in a hook, such as `on_train_batch_end`, which gets those in f32
    ");
    for how in [How::ChangesWeight, How::ChangesFrozen, How::ChangesAfterAutomatic] {
        assert!(fit(how, None).is_ok(), "{how:?}");
    }
}
