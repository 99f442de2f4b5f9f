use burn::prelude::*;
use stormfire_data::Loader;
use stormfire_module::{Error, LightningModule, Result, StepOutput};
use stormfire_optim::Optimizers;

use crate::{Batch, Line, alone, bits, line_data, quiet};
use stormfire_tuner::{ScaleBatchSize, Tuner};

/// Fails for batches of more than 20 items: with an error, or with a panic, in training or in validation.
#[derive(Module, Debug)]
struct Limited {
    line: Line,
    #[module(skip)]
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Fails,
    Panics,
    FailsInValidation,
    AlwaysFails,
}

impl Limited {
    fn new(how: How) -> Self {
        Self { line: Line::fixed(), how }
    }
}

impl LightningModule for Limited {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let is_large = batch.0.dims()[0] > 20;
        assert!(!(is_large && self.how == How::Panics), "out of memory");
        if (is_large && self.how == How::Fails) || self.how == How::AlwaysFails {
            return Err(Error::other("no memory"));
        }
        self.line.training_step(batch, batch_idx)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        if batch.0.dims()[0] > 20 && self.how == How::FailsInValidation {
            return Err(Error::other("no memory"));
        }
        self.line.validation_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of the data of a trial")]
fn data(size: usize) -> Result<(Loader<Batch>, Loader<Batch>)> {
    Ok((line_data(200, size), line_data(200, size)))
}

#[test]
fn the_largest_batch_that_works_is_found() {
    let _alone = alone();
    for how in [How::Fails, How::Panics, How::FailsInValidation] {
        let module = Limited::new(how);
        let before = bits(&module);
        let mut trainer = quiet().seed(1).max_epochs(1);
        let mut tuner = Tuner::new(&mut trainer);
        assert_eq!(tuner.scale_batch_size(&module, data, &ScaleBatchSize::new()).unwrap(), 16, "{how:?}");
        let binary = ScaleBatchSize::new().search("binary");
        assert_eq!(tuner.scale_batch_size(&module, data, &binary.clone().margin(0.0)).unwrap(), 20, "{how:?}");
        assert_eq!(tuner.scale_batch_size(&module, data, &binary).unwrap(), 19, "{how:?}");
        assert_eq!(bits(&module), before);
    }
}

#[test]
fn the_dataset_is_a_limit() {
    let _alone = alone();
    let found = Tuner::new(&mut quiet()).scale_batch_size(&Line::fixed(), data, &ScaleBatchSize::new());
    assert_eq!(found.unwrap(), 200);
    let found = Tuner::new(&mut quiet()).scale_batch_size(&Line::fixed(), data, &ScaleBatchSize::new().init(1000).max(2000));
    assert_eq!(found.unwrap(), 200);
}

#[test]
fn a_module_that_always_fails_is_an_error() {
    let _alone = alone();
    let module = Limited::new(How::AlwaysFails);
    let error = Tuner::new(&mut quiet()).scale_batch_size(&module, data, &ScaleBatchSize::new()).unwrap_err();
    assert!(error.to_string().starts_with("`scale_batch_size`: no batch size works: no memory (in `"), "{error}");
    let fixed = |_| data(4);
    let error = Tuner::new(&mut quiet()).scale_batch_size(&Line::fixed(), fixed, &ScaleBatchSize::new()).unwrap_err();
    assert!(error.to_string().contains("50 batches with 2 and with 4 items"), "{error}");
}
