//! The setters for the options of a Trainer.

use std::{path::PathBuf, str::FromStr};

use burn::tensor::Device;
use stormfire_data::{CastBatch, SplitBatch};
use stormfire_module::LightningModule;
use stormfire_optim::ClipAlgorithm;
use stormfire_ranks::Strategy;
use stormfire_values::{Every, TimeLimit, reads_text, text::TextError};

use super::Trainer;
use crate::{
    accelerator::{self, Accelerator},
    devices::Devices,
    limit::Limit,
    non_finite::NonFinite,
    option_table::options,
    precision::Precision,
    profiler::ProfilerKind,
    requeue_signal::RequeueSignal,
};

macro_rules! setters {
    ($($(#[doc = $doc:literal])* $(#[serde($($serde:tt)*)])? $option:ident: $ty:ty = $default:expr, $how:ident($($value:tt)*);)*) => {
        impl<M: LightningModule> Trainer<M> {
            $(setter! { [$(#[doc = $doc])*] $option $how($($value)*) })*
        }
    };
}

macro_rules! setter {
    ([$($doc:tt)*] $option:ident set($value:ident: $ty:ty => $set:expr)) => {
        $($doc)*
        pub fn $option(mut self, $value: $ty) -> Self {
            self.config.$option = $set;
            self
        }
    };
    // An invalid string becomes an error at the start of a run.
    ([$($doc:tt)*] $option:ident read($value:ident: $ty:ty => $set:expr)) => {
        $($doc)*
        pub fn $option(mut self, $value: impl TryInto<$ty, Error: Into<TextError>>) -> Self {
            if let Some($value) = self.misread.read::<$ty>(stringify!($option), $value) {
                self.config.$option = $set;
            }
            self
        }
    };
    ([$($doc:tt)*] $option:ident split($value:ident: $ty:ty => $set:expr)) => {
        $($doc)*
        pub fn $option(mut self, $value: impl TryInto<$ty, Error: Into<TextError>>) -> Self
        where
            M::Batch: SplitBatch,
        {
            self.splitter = Some(SplitBatch::split);
            if let Some($value) = self.misread.read::<$ty>(stringify!($option), $value) {
                self.config.$option = $set;
            }
            self
        }
    };
    ([$($doc:tt)*] $option:ident cast($value:ident: $ty:ty => $set:expr)) => {
        $($doc)*
        pub fn $option(mut self, $value: impl TryInto<$ty, Error: Into<TextError>>) -> Self
        where
            M::Batch: CastBatch,
        {
            self.caster = Some(CastBatch::cast_floats);
            if let Some($value) = self.misread.read::<$ty>(stringify!($option), $value) {
                self.config.$option = $set;
            }
            self
        }
    };
    ([$($doc:tt)*] $option:ident call($value:ident: $ty:ty => $method:ident)) => {
        $($doc)*
        pub fn $option(mut self, $value: impl TryInto<$ty, Error: Into<TextError>>) -> Self {
            if let Some($value) = self.misread.read::<$ty>(stringify!($option), $value) {
                self.$method($value);
            }
            self
        }
    };
}

options!(setters);

impl<M: LightningModule> Trainer<M> {
    fn choose_device(&mut self, choice: DeviceChoice) {
        match choice {
            DeviceChoice::Device(device) => self.device = Some(device),
            DeviceChoice::Accelerator(accelerator) => self.config.accelerator = Some(accelerator),
        }
    }
}

/// The argument of [`Trainer::accelerator`].
#[derive(Clone, Debug)]
pub enum DeviceChoice {
    /// A device of burn.
    Device(Device),
    /// A kind of hardware, which is detected at the start of a run.
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
        let error = |_| TextError { text: text.into(), what, reason: accelerator::UNKNOWN.into(), forms };
        text.parse().map(Self::Accelerator).map_err(error)
    }
}

reads_text!(DeviceChoice);

impl From<Accelerator> for DeviceChoice {
    fn from(accelerator: Accelerator) -> Self {
        DeviceChoice::Accelerator(accelerator)
    }
}
