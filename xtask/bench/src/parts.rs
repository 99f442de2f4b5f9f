//! The parts of the loop, one by one, to find the source of a cost.

use burn::tensor::Device;
use stormfire::prelude::*;

use crate::{
    contestants::{Contestant, Outcome, data, defaults, every_step, everything_off, raw},
    modules::{Loss, Silent, Ten},
};

/// The others are compared with the first one.
pub const PARTS: &[Contestant] = &[
    Contestant { name: "hand-written burn loop", run: raw },
    Contestant { name: "everything off (`barebones`)", run: everything_off },
    Contestant { name: "nothing logged, no bar, no checkpoint, no NaN watch", run: |steps| fit(steps, Silent::new, &[]) },
    Contestant { name: "the same with the NaN watch", run: |steps| fit(steps, Silent::new, &[Part::NanWatch]) },
    Contestant { name: "the same with the bar", run: |steps| fit(steps, Silent::new, &[Part::Bar]) },
    Contestant { name: "the same with checkpoints", run: |steps| fit(steps, Silent::new, &[Part::Checkpoints]) },
    Contestant { name: "the same, loss logged without a logger", run: |steps| fit(steps, Loss::new, &[]) },
    Contestant { name: "loss logged (TensorBoard + CSV every 50)", run: |steps| fit(steps, Loss::new, &[Part::Loggers]) },
    Contestant { name: "the same with the NaN watch", run: |steps| fit(steps, Loss::new, &[Part::Loggers, Part::NanWatch]) },
    Contestant { name: "the same with the bar", run: |steps| fit(steps, Loss::new, &[Part::Loggers, Part::Bar]) },
    Contestant { name: "the same with checkpoints", run: |steps| fit(steps, Loss::new, &[Part::Loggers, Part::Checkpoints]) },
    Contestant { name: "all of them: the defaults", run: defaults },
    Contestant { name: "ten metrics on step and epoch (TensorBoard + CSV every 50)", run: |steps| fit(steps, Ten::new, &[Part::Loggers]) },
    Contestant { name: "TensorBoard at every step, with the NaN watch", run: every_step },
];

/// An enabled part.
#[derive(PartialEq)]
enum Part {
    Loggers,
    NanWatch,
    Bar,
    Checkpoints,
}

fn fit<M: LightningModule<Batch = crate::tiny::Batch>>(steps: usize, module: fn(&Device) -> M, parts: &[Part]) -> Outcome {
    let device = Device::flex();
    let folder = tempfile::tempdir()?;
    let mut trainer = Trainer::new().default_root_dir(folder.path()).max_epochs(1).enable_model_summary(false);
    if !parts.contains(&Part::Loggers) {
        trainer = trainer.no_logger();
    }
    if !parts.contains(&Part::NanWatch) {
        trainer = trainer.on_non_finite(NonFinite::Off);
    }
    let mut trainer = trainer.enable_progress_bar(parts.contains(&Part::Bar)).enable_checkpointing(parts.contains(&Part::Checkpoints));
    let _ = trainer.fit(module(&device), data(steps, &device))?;
    Ok(())
}
