//! The same name in training and in validation.

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{
    console::{Builder, Level},
    prelude::*,
};
use tracing::{Dispatch, subscriber::with_default};

use crate::{
    console::lines,
    rig::run_of,
    support::{Batch, Line, line_data},
};

#[derive(Module, Debug)]
struct OneName {
    line: Line,
}

impl LightningModule for OneName {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.line.loss(batch);
        self.log("loss", &loss);
        self.log("train_loss", &loss);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.line.loss(batch);
        self.log("val_loss", &loss);
        self.log("loss", loss);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn a_name_shared_by_training_and_validation_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    let levels = Builder::new().no_screen().file().level("stormfire", Level::WARN);
    // With only one subscriber, tracing asks it on the wrong thread whether it is interested.
    let _second = Dispatch::new(levels.clone().subscriber().unwrap());
    with_default(levels.subscriber().unwrap(), || {
        let trainer = Trainer::new().default_root_dir(folder.path()).enable_progress_bar(false).enable_model_summary(false);
        assert!({ trainer }.max_epochs(3).fit(OneName { line: Line::new() }, (line_data(8, 4), line_data(4, 4))).is_ok());
    });
    let said: Vec<_> = lines(&run_of(folder.path())).into_iter().filter(|line| line.contains("is logged in")).collect();
    assert_snapshot!(said.join("\n"), @"WARN stormfire_trainer::fit::validation: `loss` is logged in `training_step` and in `validation_step`: a lookup returns the newer value; give them different names, such as `train_loss` and `val_loss`");
}
