//! Options of a Trainer that are given as a value or as its text.

use std::str::FromStr;

use burn::tensor::Device;
use stormfire_module::{Every, LightningModule, TimeLimit, gradients::ClipAlgorithm, reads_text, text::TextError};

use super::Trainer;
use crate::{
    accelerator::{self, Accelerator},
    limit::Limit,
    non_finite::NonFinite,
    profiler::ProfilerKind,
    slurm::RequeueSignal,
};

/// Setters for options that are given as a value or as its text. A text that cannot be read is an error when a run starts.
macro_rules! text_setters {
    ($($(#[$doc:meta])* $name:ident: $ty:ty => |$config:ident, $value:ident| $set:expr;)*) => {
        impl<M: LightningModule> Trainer<M> {
            $($(#[$doc])* pub fn $name(mut self, value: impl TryInto<$ty, Error: Into<TextError>>) -> Self {
                if let (Some($value), $config) = (self.misread.read::<$ty>(stringify!($name), value), &mut self.config) {
                    $set;
                }
                self
            })*
        }
    };
}

text_setters! {
    /// Training batches of an epoch: `10` batches, or a share `0.1`; or the text of either. Default: all. 0 trains nothing.
    limit_train_batches: Limit => |config, limit| config.limit_train_batches = limit;
    /// Validation batches of each loader, as [`limit_train_batches`](Self::limit_train_batches). Default: all; 0 turns validation off.
    limit_val_batches: Limit => |config, limit| config.limit_val_batches = limit;
    /// Test batches of each loader, as [`limit_train_batches`](Self::limit_train_batches). Default: all.
    limit_test_batches: Limit => |config, limit| config.limit_test_batches = limit;
    /// Predict batches of each loader, as [`limit_train_batches`](Self::limit_train_batches). Default: all.
    limit_predict_batches: Limit => |config, limit| config.limit_predict_batches = limit;
    /// Train and validate on these batches only, unshuffled; as [`limit_train_batches`](Self::limit_train_batches). Default: 0,
    /// off. Not with `fast_dev_run`.
    overfit_batches: Limit => |config, limit| config.overfit_batches = limit;
    /// Stop at the end of the batch in which this much time has passed: a `Duration`, or a text, `"10 minutes"` or
    /// `"00:12:00:00"`. Beside a `Timer` the smaller limit holds. Default: without limit.
    max_time: TimeLimit => |config, time| config.max_time = Some(time.0);
    /// How often to validate: an [`Every`], or a text, `"0.25 epochs"`. Default: every epoch. A fraction of an epoch needs data of
    /// known length.
    val_check_interval: Every => |config, every| config.val_check_interval = every;
    /// How gradients are clipped: a [`ClipAlgorithm`], or `"norm"`, `"value"`. Default: by their global L2 norm.
    gradient_clip_algorithm: ClipAlgorithm => |config, algorithm| config.gradient_clip_algorithm = algorithm;
    /// What to do about a loss or gradient that is NaN or infinite: a [`NonFinite`], or a text, `"skip:5"`. Default: the fit
    /// fails with [`Error::NonFinite`](stormfire_module::Error::NonFinite).
    on_non_finite: NonFinite => |config, policy| config.on_non_finite = policy;
    /// The signal on which a fit is saved and its SLURM job queued again: a [`RequeueSignal`], or a text, `"usr2"`. Default:
    /// SIGUSR1 inside a SLURM job.
    requeue_signal: RequeueSignal => |config, signal| config.requeue_signal = signal;
    /// Time every hook and part of the loop, and print a table: a [`ProfilerKind`], or `"simple"`. Default: none.
    profiler: ProfilerKind => |config, kind| config.profiler = Some(kind);
}

impl<M: LightningModule> Trainer<M> {
    /// What to train on: an [`Accelerator`], its text (`"cpu"`, `"cuda:1"`), or a device. Default: the device that the module
    /// was made on.
    pub fn accelerator(mut self, accelerator: impl TryInto<DeviceChoice, Error: Into<TextError>>) -> Self {
        match self.misread.read("accelerator", accelerator) {
            Some(DeviceChoice::Device(device)) => self.device = Some(device),
            Some(DeviceChoice::Accelerator(accelerator)) => self.config.accelerator = Some(accelerator),
            None => {}
        }
        self
    }
}

/// What [`Trainer::accelerator`] takes.
#[derive(Clone, Debug)]
pub enum DeviceChoice {
    /// A device of burn.
    Device(Device),
    /// A kind of hardware, looked for when a run starts.
    Accelerator(Accelerator),
}

impl From<Device> for DeviceChoice {
    fn from(device: Device) -> Self {
        DeviceChoice::Device(device)
    }
}

impl FromStr for DeviceChoice {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (what, forms) = ("an accelerator", accelerator::FORMS);
        let error = |_| TextError { text: text.into(), what, reason: accelerator::reason(text).into(), forms };
        text.parse().map(Self::Accelerator).map_err(error)
    }
}

reads_text!(DeviceChoice);

impl From<Accelerator> for DeviceChoice {
    fn from(accelerator: Accelerator) -> Self {
        DeviceChoice::Accelerator(accelerator)
    }
}
