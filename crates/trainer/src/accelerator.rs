//! The device of a run.
//!
//! # Detecting hardware safely
//!
//! Querying a graphics or CUDA driver loads it. A broken driver can end the process with a signal that Rust cannot
//! catch. So [`Accelerator::Auto`] first reads the kernel's device nodes (`hints`), which loads nothing. Without a
//! device node of a GPU, it selects the CPU and loads no driver. Otherwise it queries the driver (`driver`), in a child
//! process if one is possible (`probe`), else in this process.

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

/// The kind of device of a run: `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan`, `metal`.
///
/// Every kind of GPU requires the cargo feature of its name. The string form is the same on the command line,
/// in a configuration file and in an error.
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
/// A few calls of burn take no device and use `Device::default()`, for example restoring an optimizer. burn chooses
/// this default by cargo features alone. A program built with `cuda` panics there on a machine without a driver, even
/// when it trains on the CPU. The remedy is the environment variable `BURN_DEVICE=flex`. It must be set outside of the
/// program, because changing the environment from inside is unsound. [`check_default_device`] detects the problem
/// before the panic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Accelerator {
    /// The best hardware that this program can use: the first CUDA device, else a GPU through wgpu, else the CPU. A
    /// software rasterizer such as llvmpipe does not count as a GPU.
    #[default]
    Auto,
    /// The processor, through burn's `flex` backend. Always available.
    Cpu,
    /// The GPU that [`Auto`](Self::Auto) chooses. Without one, the run is refused. Feature `cuda` or `wgpu`.
    Gpu,
    /// The NVIDIA GPU with this index, counted from 0 as in the driver. Feature `cuda`. If a launcher has started
    /// several ranks on a machine, the first one has this GPU, and each further one the next GPU.
    Cuda(usize),
    /// The best adapter of the graphics API that suits this machine, or a software rasterizer if no adapter is
    /// available. Feature `wgpu`.
    Wgpu,
    /// As [`Wgpu`](Self::Wgpu), through Vulkan and burn's SPIR-V compiler. Feature `vulkan`.
    Vulkan,
    /// As [`Wgpu`](Self::Wgpu), through Metal. Feature `metal`.
    Metal,
}

/// Why an accelerator is not available.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceleratorError {
    /// The name is not that of an accelerator.
    #[error("unknown accelerator `{0}`; write {FORMS}")]
    Unknown(String),
    /// The program was built without the cargo feature of this accelerator.
    #[error(
        "accelerator `{accelerator}` needs the cargo feature {}, which this program was built without (available here: {})",
        .accelerator.needed_feature(),
        list(.available)
    )]
    NotCompiled {
        /// The requested accelerator.
        accelerator: Accelerator,
        /// The available alternatives, best first.
        available: Vec<Accelerator>,
    },
    /// The feature is enabled, but the hardware or its driver is missing.
    #[error("no device for accelerator `{accelerator}` on this machine (available here: {})", list(.available))]
    NoHardware {
        /// The requested accelerator.
        accelerator: Accelerator,
        /// The available alternatives, best first.
        available: Vec<Accelerator>,
    },
    /// The device exists, but its driver fails, hangs or ends the process that uses it.
    #[error("the driver of accelerator `{accelerator}` is broken: {fault}")]
    BrokenDriver {
        /// The requested accelerator.
        accelerator: Accelerator,
        /// The fault of the driver, with the adapter's name.
        fault: String,
    },
    /// burn's `Device::default()` is hardware that this machine does not have.
    #[error("burn's default device is `{0}`, which does not work on this machine, and restoring an optimizer uses it")]
    DefaultDevice(Accelerator),
    /// burn's `Device::default()` rejects the value of `BURN_DEVICE`.
    #[error("burn refuses `BURN_DEVICE={0}`")]
    BurnDevice(String),
}

/// The valid names.
pub(crate) const FORMS: &str =
    "`auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device";

/// Why another name is refused.
pub(crate) const UNKNOWN: &str = "it is not a known kind of hardware";

/// The GPUs that [`Accelerator::Auto`] and [`Accelerator::Gpu`] choose from, best first.
const GPUS: [Accelerator; 2] = [Accelerator::Cuda(0), Accelerator::Wgpu];

impl AcceleratorError {
    /// How to fix the error.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(_) => UNKNOWN.to_owned(),
            Self::NotCompiled { accelerator: Accelerator::Gpu, .. } => {
                "build with `cargo … --features cuda` for a GPU of NVIDIA, with `--features wgpu` for others, or choose `auto`".to_owned()
            }
            Self::NotCompiled { accelerator, .. } => {
                format!("build with `cargo … --features {}`, or choose `auto`", accelerator.name())
            }
            Self::NoHardware { accelerator, .. } => match accelerator {
                Accelerator::Cuda(_) => "does `nvidia-smi` list this GPU? `auto` falls back to what is available".to_owned(),
                Accelerator::Gpu => "is its driver installed? `auto` falls back to what is available".to_owned(),
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
    /// The device for a module and a Trainer. Nothing is allocated on it yet.
    ///
    /// An accelerator requested by name is found or refused, never replaced by another one. [`Auto`](Self::Auto) cannot
    /// fail: its last choice is the CPU. It logs a message if the machine seems to have a GPU that this build cannot
    /// use.
    pub fn device(&self) -> Result<Device, AcceleratorError> {
        match self {
            // Its driver was just queried. Another query would only take time.
            Self::Auto => Ok(best(Hints::of_this_machine()).handle().unwrap_or_else(Device::flex)),
            Self::Cpu => Ok(Device::flex()),
            Self::Gpu => {
                let found = gpu()?;
                found.handle().ok_or_else(|| AcceleratorError::NotCompiled { accelerator: found, available: Self::available() })
            }
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

    /// The accelerator that a Trainer with this option uses in this process: see [`Cuda`](Self::Cuda) for several
    /// ranks.
    pub fn of_this_rank(self) -> Self {
        self.of_rank(stormfire_ranks::launched().map_or(0, |launched| launched.local_rank))
    }

    /// The accelerator of a rank, by its number among those of the same machine: the GPU with the index of
    /// [`Cuda`](Self::Cuda) plus this number. The ranks share every other accelerator.
    pub(crate) fn of_rank(self, local_rank: usize) -> Self {
        match self {
            Self::Auto if local_rank > 0 => best(Hints::of_this_machine()).of_rank(local_rank),
            // Without one, `device` says why.
            Self::Gpu if local_rank > 0 => gpu().map_or(self, |found| found.of_rank(local_rank)),
            Self::Cuda(index) => Self::Cuda(index + local_rank),
            other => other,
        }
    }

    /// Everything that this program can use on this machine, in the order in which [`Auto`](Self::Auto) prefers it:
    /// GPUs, the CPU, then software rasterizers. This queries every compiled driver. CUDA's driver is tested on its
    /// first device. If it is broken, no CUDA device is listed.
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

    /// Allows drivers to be queried in a child process, where a crash does no harm. Call this in the first line of
    /// `main`.
    ///
    /// [`device`](Self::device), [`available`](Self::available) and [`check_default_device`] then start this program
    /// again with the same arguments and the environment variable `STORMFIRE_PROBE`. In the child, this call tests the
    /// driver with a small matrix product, prints the result and ends the process. So code in `main` before this call
    /// runs again for each driver, and code after it does not. If a driver ends the child with a signal, panics,
    /// computes wrong values or does not answer within a minute, a warning is logged and the driver counts as broken.
    /// The results are cached as long as the program runs.
    ///
    /// Without this call a driver is queried in the process itself. No process is started if there is nothing to query:
    /// in a build for the CPU alone, for [`Cpu`](Self::Cpu), and by [`Auto`](Self::Auto) if the kernel has no GPU
    /// device node.
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

    /// The kind without an index: `cuda` for `cuda:1`. That of a kind of GPU is also the name of its cargo feature.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Cuda(_) => "cuda",
            Self::Wgpu => "wgpu",
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
        }
    }

    fn needed_feature(&self) -> String {
        match self {
            Self::Gpu => "`cuda` or `wgpu`".to_owned(),
            other => format!("`{}`", other.name()),
        }
    }
}

/// The name of a device: `cpu`, `cuda:0`, `vulkan:1`. An unknown device is formatted by burn.
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
    let works = |accelerator| matches!(probe::presence(accelerator), Presence::Real(_));
    let mut candidates = [hints.cuda, hints.graphics].into_iter().zip(GPUS);
    if let Some((_, accelerator)) = candidates.find(|(hint, accelerator)| *hint && works(*accelerator)) {
        return accelerator;
    }
    if hints.cuda && !cfg!(feature = "cuda") {
        tracing::warn!("this machine seems to have an NVIDIA GPU; build with `--features cuda` to train on it");
    } else if hints.graphics && !cfg!(feature = "wgpu") {
        tracing::info!("this machine seems to have a GPU; build with `--features wgpu` to train on it");
    }
    Accelerator::Cpu
}

/// The GPU of [`Accelerator::Gpu`].
fn gpu() -> Result<Accelerator, AcceleratorError> {
    let mut broken = None;
    for accelerator in GPUS {
        match probe::presence(accelerator) {
            Presence::Real(_) => return Ok(accelerator),
            Presence::Broken(fault) => broken = broken.or(Some(AcceleratorError::BrokenDriver { accelerator, fault })),
            Presence::Absent | Presence::Software => {}
        }
    }
    if let Some(error) = broken {
        return Err(error);
    }
    let (accelerator, available) = (Accelerator::Gpu, Accelerator::available());
    let is_compiled = GPUS.iter().any(|gpu| gpu.handle().is_some());
    Err(if is_compiled {
        AcceleratorError::NoHardware { accelerator, available }
    } else {
        AcceleratorError::NotCompiled { accelerator, available }
    })
}

/// Returns an error if burn's own `Device::default()` would panic at its first use. The hint contains the remedy: see
/// [`Accelerator`].
///
/// Call this before an optimizer is restored from a checkpoint.
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
            "gpu" => Ok(Self::Gpu),
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
