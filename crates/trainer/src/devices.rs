//! How many devices a run uses: on the CPU, threads that share the work of each batch.

use std::{num::NonZeroUsize, str::FromStr, thread::available_parallelism};

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use stormfire_data::Splitter;
use stormfire_module::{
    Error, LightningModule, Result,
    for_trainer::{Division, Threads},
};
use stormfire_ranks::{Division as RanksDivision, Strategy, launched};
use stormfire_values::{reads_text, text::TextError};

use crate::accelerator::describe;

/// The value of [`Trainer::devices`](crate::Trainer::devices): a number, or `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "GivenDevices")]
pub enum Devices {
    /// This number.
    Count(NonZeroUsize),
    /// On the CPU as many as it has cores, else one.
    #[serde(serialize_with = "auto")]
    Auto,
}

const FORMS: &str = "a number of at least 1, or `auto`";

fn auto<S: serde::Serializer>(serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("auto")
}

/// Its form in a file.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of devices of at least 1, or `auto`")]
enum GivenDevices {
    Count(usize),
    Text(String),
}

fn refuse(text: impl Into<String>, reason: &str) -> TextError {
    TextError { text: text.into(), what: "a number of devices", reason: reason.into(), forms: FORMS }
}

impl TryFrom<GivenDevices> for Devices {
    type Error = TextError;

    fn try_from(given: GivenDevices) -> Result<Self, TextError> {
        match given {
            GivenDevices::Count(count) => count.try_into(),
            GivenDevices::Text(text) => text.parse(),
        }
    }
}

impl TryFrom<usize> for Devices {
    type Error = TextError;

    fn try_from(count: usize) -> Result<Self, TextError> {
        NonZeroUsize::new(count).map(Self::Count).ok_or_else(|| refuse("0", "a run needs at least one"))
    }
}

impl FromStr for Devices {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            number => number.parse::<usize>().map_err(|_| refuse(text, "it is neither a number nor `auto`"))?.try_into(),
        }
    }
}

reads_text!(Devices);

impl Devices {
    /// One device.
    pub const ONE: Self = Self::Count(NonZeroUsize::MIN);

    /// How many threads share a batch of this process.
    fn threads(self, (strategy, num_nodes): (Strategy, Option<usize>), device: &Device) -> Result<usize> {
        let launched = launched();
        let devices = if let Self::Count(count) = self { Some(count.get()).filter(|count| *count > 1) } else { None };
        match (RanksDivision { strategy, devices, num_nodes }).check(launched.as_ref())? {
            Some(1) => Ok(1),
            _ => self.threads_on(device, launched.and_then(|launched| launched.local_world).unwrap_or(1)),
        }
    }

    /// How many threads share a batch on this device, which this number of processes use.
    fn threads_on(self, device: &Device, processes: usize) -> Result<usize> {
        let is_cpu = *device == Device::flex();
        match self {
            Self::Auto if is_cpu => Ok((available_parallelism().map_or(1, NonZeroUsize::get) / processes.max(1)).max(1)),
            Self::Auto => Ok(1),
            Self::Count(count) if is_cpu || count.get() == 1 => Ok(count.get()),
            Self::Count(count) => {
                let reason = format!("{count} devices, but a run on `{}` uses one", describe(device));
                Err(Error::config("devices", reason, "use 1; several threads share a batch on the CPU only"))
            }
        }
    }

    /// Checks what the start of a run checks. `device`: `None` if it is not known yet.
    pub(crate) fn check(self, division: (Strategy, Option<usize>), device: Option<&Device>, can_split: bool) -> Result<()> {
        let count = self.threads(division, device.unwrap_or(&Device::flex()))?;
        // A GPU is one device.
        let may_be_one = device.is_none() && self == Self::Auto;
        if count > 1 && !can_split && !may_be_one { Err(unsplit(count)) } else { Ok(()) }
    }

    /// The threads of a run, if it has several. `trains`: their steps have a tape.
    pub(crate) fn start<M: LightningModule>(
        self,
        division: (Strategy, Option<usize>),
        device: &Device,
        module: &M,
        splitter: Option<Splitter<M::Batch>>,
        trains: bool,
    ) -> Result<Option<Threads>> {
        let count = self.threads(division, device)?;
        if count == 1 {
            return Ok(None);
        }
        let split = splitter.ok_or_else(|| unsplit(count))?;
        let threads = Threads::start(count, Division { split, weigh: M::batch_size })?;
        if trains {
            tracing::info!("{count} threads share each batch");
        }
        if trains && !threads.running_stats(module).is_empty() {
            tracing::warn!(
                "`devices` = {count}: batch normalization sees a part of each batch, 1/{count} of its items; its running statistics are \
                 the mean over the parts"
            );
        }
        Ok(Some(threads))
    }
}

fn unsplit(count: usize) -> Error {
    let reason = format!("{count} threads cannot share a batch, because this Trainer does not know how to split one");
    let hint = "call `Trainer::devices` or `Cli::with_devices` in the program: it takes the value of a file, too";
    Error::config("devices", reason, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_auto() {
        let count = |n| Devices::try_from(n).unwrap();
        assert_eq!("3".parse::<Devices>().unwrap(), count(3));
        assert_eq!("auto".parse::<Devices>().unwrap(), Devices::Auto);
        let errors = ["0", "-1", "all"].map(|text| text.parse::<Devices>().unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
        cannot read `0` as a number of devices: a run needs at least one; write a number of at least 1, or `auto`
        cannot read `-1` as a number of devices: it is neither a number nor `auto`; write a number of at least 1, or `auto`
        cannot read `all` as a number of devices: it is neither a number nor `auto`; write a number of at least 1, or `auto`
        ");
        for devices in [Devices::Auto, count(4)] {
            let json = serde_json::to_string(&devices).unwrap();
            assert_eq!(serde_json::from_str::<Devices>(&json).unwrap(), devices, "{json}");
        }
        assert_eq!(serde_json::from_str::<Devices>("\"2\"").unwrap(), count(2));
        assert!(serde_json::from_str::<Devices>("0").is_err());
    }

    #[test]
    fn a_check_without_a_device_refuses_what_each_device_refuses() {
        let check = |devices: Devices, can_split| devices.check((Strategy::Auto, None), None, can_split);
        let two = Devices::try_from(2).unwrap();
        assert!(check(two, false).unwrap_err().to_string().contains("2 threads cannot share a batch"));
        assert!(check(two, true).is_ok() && check(Devices::Auto, false).is_ok() && check(Devices::ONE, false).is_ok());
        assert!(Devices::ONE.check((Strategy::Mpi, None), None, true).is_err());
    }

    #[test]
    fn auto_is_the_number_of_cores_on_the_cpu() {
        assert_eq!(Devices::Auto.threads_on(&Device::flex(), 1).unwrap(), available_parallelism().unwrap().get());
    }
}
