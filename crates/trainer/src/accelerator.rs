//! Which device a run computes on.
//!
//! # How hardware is found without risking the process
//!
//! Asking a graphics or CUDA driver what it has means loading it, and a broken driver ends the process with a signal that
//! Rust cannot catch. So [`Accelerator::Auto`] reads the kernel's device nodes first (`hints`), which loads nothing: where
//! there is no node of a GPU, no driver is touched and the CPU is taken. Otherwise a driver is asked (`driver`) in a child
//! process if there can be one (`probe`), and in this process if not.

mod driver;
mod hints;
mod probe;

use std::fmt;
use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use stormfire_module::Error;

use driver::Presence;
use hints::Hints;

/// The kind of device a run computes on, as a user names it: `auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan`, `metal`.
///
/// Every kind but the CPU needs the cargo feature of its name. The text form is the same on a command line, in a
/// configuration file and in an error.
///
/// ```no_run
/// # // The path is the facade's: `stormfire::Accelerator` re-exports this type.
/// # use stormfire_trainer::Accelerator;
/// let device = Accelerator::Auto.device()?;
/// let second: Accelerator = "cuda:1".parse()?;
/// assert_eq!(second, Accelerator::Cuda(1));
/// # Ok::<(), stormfire_trainer::AcceleratorError>(())
/// ```
///
/// # burn's own default device
///
/// A few calls of burn, restoring an optimizer among them, take no device and use `Device::default()`, which goes by
/// cargo features alone: a program built with `cuda` panics there on a machine without a driver, even when it trains on
/// the CPU. The cure lies outside the program, the environment variable `BURN_DEVICE=flex`, since changing the
/// environment from inside is unsound. [`check_default_device`] finds out before the panic does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Accelerator {
    /// The best hardware this program can use: the first CUDA device, else a GPU through wgpu, else the CPU. A software
    /// rasterizer such as llvmpipe is no GPU.
    #[default]
    Auto,
    /// The processor, through burn's `flex` backend. Always there.
    Cpu,
    /// The NVIDIA GPU of this index, counted from 0 as the driver does. Feature `cuda`.
    Cuda(usize),
    /// The best adapter of the graphics API that suits this machine; a software rasterizer where it has no other.
    /// Feature `wgpu`.
    Wgpu,
    /// As [`Wgpu`](Self::Wgpu), through Vulkan and burn's SPIR-V compiler. Feature `vulkan`.
    Vulkan,
    /// As [`Wgpu`](Self::Wgpu), through Metal. Feature `metal`.
    Metal,
}

/// Why an accelerator cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceleratorError {
    /// The text names no accelerator.
    #[error("unknown accelerator `{0}`; write {FORMS}")]
    Unknown(String),
    /// The program was built without the cargo feature of this accelerator.
    #[error(
        "accelerator `{accelerator}` needs the cargo feature `{}`, which this program was built without (available here: {})",
        .accelerator.name(),
        list(.available)
    )]
    NotCompiled {
        /// What was asked for.
        accelerator: Accelerator,
        /// What could be used instead, best first.
        available: Vec<Accelerator>,
    },
    /// The feature is there, the hardware or its driver is not.
    #[error("no device for accelerator `{accelerator}` on this machine (available here: {})", list(.available))]
    NoHardware {
        /// What was asked for.
        accelerator: Accelerator,
        /// What could be used instead, best first.
        available: Vec<Accelerator>,
    },
    /// There is a device, but its driver fails, hangs or ends the process that uses it.
    #[error("the driver of accelerator `{accelerator}` is broken: {fault}")]
    BrokenDriver {
        /// What was asked for.
        accelerator: Accelerator,
        /// What the driver did, and the adapter as it names it.
        fault: String,
    },
    /// `Device::default()` of burn names hardware that this machine lacks.
    #[error("burn's default device is `{0}`, which does not work on this machine, and restoring an optimizer uses it")]
    DefaultDevice(Accelerator),
    /// `Device::default()` of burn refuses the value of `BURN_DEVICE`.
    #[error("burn refuses `BURN_DEVICE={0}`")]
    BurnDevice(String),
}

/// What names there are.
pub(crate) const FORMS: &str = "`auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best there is";

/// What is wrong with an unknown name.
pub(crate) fn reason(text: &str) -> &'static str {
    if text.eq_ignore_ascii_case("gpu") { "say which kind of GPU, or let `auto` choose" } else { "there is no such kind of hardware" }
}

impl AcceleratorError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(text) => reason(text).to_owned(),
            Self::NotCompiled { accelerator, .. } => {
                format!("build with `cargo … --features {}`, or choose `auto`", accelerator.name())
            }
            Self::NoHardware { accelerator, .. } => match accelerator {
                Accelerator::Cuda(_) => "does `nvidia-smi` list this GPU? `auto` falls back to what there is".to_owned(),
                Accelerator::Metal => "Metal exists on Apple machines only; choose `auto` or `wgpu`".to_owned(),
                _ => "install a driver (Debian: `apt-get install mesa-vulkan-drivers` has a software one), or choose `auto`".to_owned(),
            },
            Self::BrokenDriver { accelerator: Accelerator::Cuda(_), .. } => {
                "does `nvidia-smi` work, and is the GPU free? update the driver, or choose `cpu`".to_owned()
            }
            Self::BrokenDriver { .. } if cfg!(feature = "vulkan") => {
                "build with the feature `wgpu` and without `vulkan`, for WGSL in place of SPIR-V, or update the driver".to_owned()
            }
            Self::BrokenDriver { .. } => "update the driver, or choose `cpu`".to_owned(),
            Self::DefaultDevice(_) => "start the program with `BURN_DEVICE=flex` in its environment".to_owned(),
            Self::BurnDevice(_) => "set `BURN_DEVICE=flex`, or unset it".to_owned(),
        })
    }
}

impl From<AcceleratorError> for Error {
    fn from(error: AcceleratorError) -> Self {
        Error::config("accelerator", error.to_string(), error.hint().unwrap_or_default())
    }
}

impl Accelerator {
    /// The device to give to a module and a Trainer; nothing is allocated on it yet.
    ///
    /// An accelerator asked for by name is found or refused, never replaced by another. [`Auto`](Self::Auto) cannot fail:
    /// it ends at the CPU, and logs a warning where the machine seems to have a GPU that this build cannot use.
    pub fn device(&self) -> Result<Device, AcceleratorError> {
        match self {
            // Its driver has just been asked; asking again would only take time.
            Self::Auto => Ok(best(Hints::of_this_machine()).handle().unwrap_or_else(Device::flex)),
            Self::Cpu => Ok(Device::flex()),
            named => {
                let Some(device) = named.handle() else {
                    return Err(AcceleratorError::NotCompiled { accelerator: *named, available: Self::available() });
                };
                match probe::presence(*named) {
                    Presence::Absent => Err(AcceleratorError::NoHardware { accelerator: *named, available: Self::available() }),
                    Presence::Broken(fault) => Err(AcceleratorError::BrokenDriver { accelerator: *named, fault }),
                    Presence::Software | Presence::Real(_) => Ok(device),
                }
            }
        }
    }

    /// Everything this program can use on this machine, in the order in which [`Auto`](Self::Auto) prefers it: GPUs, the
    /// CPU, then software rasterizers. This asks every driver that was compiled in; CUDA's is tried on its first device,
    /// and one that turns out to be broken has none.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        let mut software = Vec::new();
        for accelerator in [Self::Cuda(0), Self::Wgpu, Self::Vulkan, Self::Metal] {
            match (accelerator, probe::presence(accelerator)) {
                (Self::Cuda(_), Presence::Real(count)) => found.extend((0..count).map(Self::Cuda)),
                (_, Presence::Real(_)) => found.push(accelerator),
                (_, Presence::Software) => software.push(accelerator),
                (_, Presence::Absent | Presence::Broken(_)) => {}
            }
        }
        found.push(Self::Cpu);
        found.append(&mut software);
        found
    }

    /// Lets drivers be asked in a child process, where a crash does no harm: to be the first line of `main`.
    ///
    /// [`device`](Self::device), [`available`](Self::available) and [`check_default_device`] then start this program again
    /// as it was started, with the environment variable `STORMFIRE_PROBE` set. There this call tries the driver, which
    /// takes a small matrix product on the device, prints what it found and ends the process: what stands before it in
    /// `main` runs once more for each driver, what stands after it does not. A driver that ends the child with a signal,
    /// panics, computes nonsense or gives no answer within a minute is warned about and counts as broken. What was found
    /// is remembered as long as the program runs.
    ///
    /// Without this call a driver is asked in the process itself. Nothing is started where nothing is to be asked: by a
    /// build for the CPU alone, for [`Cpu`](Self::Cpu), and by [`Auto`](Self::Auto) where the kernel knows no GPU.
    ///
    /// ```no_run
    /// # use stormfire_trainer::Accelerator;
    /// fn main() -> Result<(), stormfire_trainer::AcceleratorError> {
    ///     Accelerator::serve_probe();
    ///     let device = Accelerator::Auto.device()?;
    /// #   drop(device);
    /// #   Ok(())
    /// }
    /// ```
    pub fn serve_probe() {
        probe::serve();
    }

    /// The kind without an index, which is also the name of the cargo feature: `cuda` for `cuda:1`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda(_) => "cuda",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
        }
    }
}

/// A device in words: `cpu`, `cuda:0`, `vulkan:1`; what this version does not know, as burn prints it.
pub(crate) fn describe(device: &Device) -> String {
    described(&format!("{device:?}"))
}

fn described(debug: &str) -> String {
    let text = debug.to_lowercase();
    let kinds = [("cuda", "cuda"), ("hip", "rocm"), ("amd", "rocm"), ("vulkan", "vulkan"), ("metal", "metal"), ("wgpu", "wgpu")];
    if let Some((part, kind)) = kinds.into_iter().find(|(part, _)| text.contains(part)) {
        let rest = text.split_once(part).map_or("", |(_, rest)| rest);
        let index: String = rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        return if index.is_empty() { kind.to_owned() } else { format!("{kind}:{index}") };
    }
    if ["flex", "ndarray", "cpu"].iter().any(|part| text.contains(part)) { "cpu".to_owned() } else { debug.to_owned() }
}

fn best(hints: Hints) -> Accelerator {
    let candidates = [(hints.cuda, Accelerator::Cuda(0)), (hints.graphics, Accelerator::Wgpu)];
    let works = |accelerator| matches!(probe::presence(accelerator), Presence::Real(_));
    if let Some((_, accelerator)) = candidates.into_iter().find(|(hint, accelerator)| *hint && works(*accelerator)) {
        return accelerator;
    }
    if hints.cuda && !cfg!(feature = "cuda") {
        tracing::warn!("this machine seems to have an NVIDIA GPU; build with `--features cuda` to train on it");
    } else if hints.graphics && !cfg!(feature = "wgpu") {
        tracing::info!("this machine seems to have a GPU; build with `--features wgpu` to train on it");
    }
    Accelerator::Cpu
}

/// Fails where burn's own `Device::default()` would panic at its first use, with the cure as a hint; see [`Accelerator`].
///
/// To be called before an optimizer is restored from a checkpoint.
pub fn check_default_device() -> Result<(), AcceleratorError> {
    let Ok(default) = std::panic::catch_unwind(Device::default) else {
        return Err(AcceleratorError::BurnDevice(std::env::var("BURN_DEVICE").unwrap_or_default()));
    };
    let candidates = [Accelerator::Cuda(0), Accelerator::Wgpu, Accelerator::Vulkan, Accelerator::Metal];
    match candidates.into_iter().find(|accelerator| accelerator.handle().as_ref() == Some(&default)) {
        Some(accelerator) => match probe::presence(accelerator) {
            Presence::Absent | Presence::Broken(_) => Err(AcceleratorError::DefaultDevice(accelerator)),
            Presence::Software | Presence::Real(_) => Ok(()),
        },
        None => Ok(()),
    }
}

fn list(accelerators: &[Accelerator]) -> String {
    accelerators.iter().map(|accelerator| format!("`{accelerator}`")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cuda(index) if *index > 0 => write!(f, "cuda:{index}"),
            other => f.pad(other.name()),
        }
    }
}

impl FromStr for Accelerator {
    type Err = AcceleratorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || AcceleratorError::Unknown(text.to_owned());
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "wgpu" => Ok(Self::Wgpu),
            "vulkan" => Ok(Self::Vulkan),
            "metal" => Ok(Self::Metal),
            other => {
                let index = other.strip_prefix("cuda:").ok_or_else(unknown)?;
                index.parse().map(Self::Cuda).map_err(|_| unknown())
            }
        }
    }
}

impl TryFrom<String> for Accelerator {
    type Error = AcceleratorError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Accelerator> for String {
    fn from(accelerator: Accelerator) -> Self {
        accelerator.to_string()
    }
}

#[cfg(test)]
mod tests;
