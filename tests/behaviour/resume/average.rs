//! A running average of the weights, which validation uses in place of the weights.

use std::collections::VecDeque;

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    prelude::*,
};
use stormfire::prelude::*;

use super::net::Net;

/// Saves its tensors in every checkpoint, in addition to the weights.
pub(crate) struct Average {
    template: Net,
    mean: Option<Net>,
    updates: u64,
}

impl Average {
    pub(crate) fn new(template: Net) -> Self {
        Self { template, mean: None, updates: 0 }
    }
}

impl Callback<Net> for Average {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, module: &mut Net, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        let now = module.valid();
        self.mean = Some(match self.mean.take() {
            Some(mean) => halfway(&mean, now),
            None => now,
        });
        self.updates += 1;
        Ok(())
    }

    fn weights(&mut self, _module: &Net) -> Result<Option<Net>> {
        Ok(self.mean.clone())
    }

    fn state(&self) -> Result<Saved> {
        let saved: Saved = state::save(&self.updates)?;
        Ok(self.mean.iter().fold(saved, |saved, mean| saved.with_module("mean", mean)))
    }

    fn load_state(&mut self, mut saved: Saved) -> Result<()> {
        state::load(&mut self.updates, saved.take_json())?;
        self.mean = (self.updates > 0).then(|| saved.load_module("mean", self.template.clone())).transpose()?;
        Ok(())
    }
}

/// The mean of both nets.
fn halfway(a: &Net, b: Net) -> Net {
    #[derive(Default)]
    struct Values(VecDeque<Tensor<1>>);
    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push_back(param.val().flatten(0, D - 1));
        }
    }
    impl ModuleMapper for Values {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let other = self.0.pop_front().unwrap();
            param.map(|values| {
                let dims = values.dims();
                (values + other.reshape(dims)) * 0.5
            })
        }
    }
    let mut values = Values::default();
    a.visit(&mut values);
    b.map(&mut values)
}
