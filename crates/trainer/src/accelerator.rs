//! Which device a run computes on.
//!
//! # How hardware is found without risking the process
//!
//! Asking a graphics or CUDA driver what it has means loading it, and a broken driver ends the process with a signal that
//! Rust cannot catch. A child process would survive that, but the only program at hand is the caller's own: starting it
//! again runs whatever its `main` does before it reaches us (parsing arguments, deleting old logs, opening ports), and
//! `fork` needs `unsafe`, which this workspace forbids. So [`Accelerator::Auto`] asks the operating system first, which
//! loads nothing: where the kernel exposes no device node of a GPU, no driver is touched and the CPU is taken. Where it
//! does, the driver is loaded in this process, as it would be a moment later for the training itself. The one crash known
//! to strike after a driver was found (Mesa's llvmpipe under burn's SPIR-V compiler) is refused by name. Whoever has a
//! broken driver nevertheless asks for [`Accelerator::Cpu`], which never looks at any.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use burn::tensor::Device;
#[cfg(feature = "wgpu")]
use burn::tensor::DeviceKind;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;
use serde::{Deserialize, Serialize};
use stormfire_module::Error;

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
    #[error("unknown accelerator `{0}`")]
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
    /// The only adapter is one whose driver is known to crash the process with this build of burn.
    #[error("accelerator `{accelerator}` would crash the driver of `{adapter}` in a program built with the cargo feature `vulkan`")]
    CrashingDriver {
        /// What was asked for.
        accelerator: Accelerator,
        /// The adapter as its driver names it.
        adapter: String,
    },
    /// `Device::default()` of burn names hardware that this machine lacks.
    #[error("burn's default device is `{0}`, which this machine lacks, and restoring an optimizer uses it")]
    DefaultDevice(Accelerator),
    /// `Device::default()` of burn refuses the value of `BURN_DEVICE`.
    #[error("burn refuses `BURN_DEVICE={0}`")]
    BurnDevice(String),
}

impl AcceleratorError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unknown(text) if text.eq_ignore_ascii_case("gpu") => {
                "name the kind of GPU: `cuda`, `wgpu`, `vulkan` or `metal`, or let `auto` choose".to_owned()
            }
            Self::Unknown(_) => "write `auto`, `cpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`".to_owned(),
            Self::NotCompiled { accelerator, .. } => {
                format!("build with `cargo … --features {}`, or choose `auto`", accelerator.name())
            }
            Self::NoHardware { accelerator, .. } => match accelerator {
                Accelerator::Cuda(_) => "does `nvidia-smi` list this GPU? `auto` falls back to what there is".to_owned(),
                Accelerator::Metal => "Metal exists on Apple machines only; choose `auto` or `wgpu`".to_owned(),
                _ => "install a driver (Debian: `apt-get install mesa-vulkan-drivers` has a software one), or choose `auto`".to_owned(),
            },
            Self::CrashingDriver { .. } => {
                "build with the feature `wgpu` and without `vulkan`; it compiles to WGSL, which this driver runs".to_owned()
            }
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
                match named.presence() {
                    Presence::Absent => Err(AcceleratorError::NoHardware { accelerator: *named, available: Self::available() }),
                    Presence::Crashing(adapter) => Err(AcceleratorError::CrashingDriver { accelerator: *named, adapter }),
                    Presence::Software | Presence::Real => Ok(device),
                }
            }
        }
    }

    /// Everything this program can use on this machine, in the order in which [`Auto`](Self::Auto) prefers it: GPUs, the
    /// CPU, then software rasterizers. This loads every driver that was compiled in.
    pub fn available() -> Vec<Self> {
        let mut found: Vec<Self> = (0..Self::Cuda(0).enumerate().len()).map(Self::Cuda).collect();
        let mut software = Vec::new();
        for accelerator in [Self::Wgpu, Self::Vulkan, Self::Metal] {
            match accelerator.presence() {
                Presence::Real => found.push(accelerator),
                Presence::Software => software.push(accelerator),
                Presence::Absent | Presence::Crashing(_) => {}
            }
        }
        found.push(Self::Cpu);
        found.append(&mut software);
        found
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

    /// burn's handle, which opens nothing. `None` when the feature is off.
    fn handle(self) -> Option<Device> {
        match self {
            Self::Cpu => Some(Device::flex()),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Some(Device::cuda(index)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Some(Device::wgpu(DeviceKind::DefaultDevice)),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Some(Device::vulkan(DeviceKind::DefaultDevice)),
            #[cfg(feature = "metal")]
            Self::Metal => Some(Device::metal(DeviceKind::DefaultDevice)),
            _ => None,
        }
    }

    /// What the driver lists; empty when the feature is off or the driver panics.
    #[cfg_attr(
        not(any(feature = "cuda", feature = "wgpu")),
        expect(clippy::unused_self, reason = "without a GPU there is nothing to list")
    )]
    fn enumerate(self) -> Vec<Device> {
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        {
            let kind = match self {
                #[cfg(feature = "cuda")]
                Self::Cuda(_) => DeviceType::Cuda,
                #[cfg(feature = "wgpu")]
                Self::Wgpu => DeviceType::Wgpu,
                #[cfg(feature = "vulkan")]
                Self::Vulkan => DeviceType::Vulkan,
                #[cfg(feature = "metal")]
                Self::Metal => DeviceType::Metal,
                _ => return Vec::new(),
            };
            // The bindings panic where a driver is older than they are and lacks a symbol: that device is not usable.
            std::panic::catch_unwind(|| Device::enumerate(kind).into_vec()).unwrap_or_default()
        }
        #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
        Vec::new()
    }

    /// Whether burn classifies this listed adapter as a software rasterizer.
    #[cfg_attr(not(feature = "wgpu"), expect(unused_variables, reason = "only wgpu has software adapters"))]
    fn is_software(self, device: &Device) -> bool {
        match self {
            #[cfg(feature = "wgpu")]
            Self::Wgpu => *device == Device::wgpu(DeviceKind::Cpu),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => *device == Device::vulkan(DeviceKind::Cpu),
            #[cfg(feature = "metal")]
            Self::Metal => *device == Device::metal(DeviceKind::Cpu),
            _ => false,
        }
    }

    fn presence(self) -> Presence {
        let found = self.enumerate();
        if let Self::Cuda(index) = self {
            return if index < found.len() { Presence::Real } else { Presence::Absent };
        }
        let Some(first) = found.first() else {
            return Presence::Absent;
        };
        if !found.iter().all(|device| self.is_software(device)) {
            return Presence::Real;
        }
        match crashing_adapter(first) {
            Some(adapter) => Presence::Crashing(adapter),
            None => Presence::Software,
        }
    }
}

/// What there is of one accelerator on this machine.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    Absent,
    Software,
    /// Software whose driver does not survive this build, by its name.
    Crashing(String),
    Real,
}

/// Once `vulkan` is compiled in, wgpu compiles to SPIR-V for every Vulkan adapter, and a matrix product or a softmax then
/// ends Mesa's llvmpipe with a segmentation fault (seen with Mesa 22.3.6 and 25.0.7). Opening it is harmless.
#[cfg(feature = "vulkan")]
fn crashing_adapter(device: &Device) -> Option<String> {
    let name = std::panic::catch_unwind(|| device.identity()).ok()??.name;
    name.contains("llvmpipe").then_some(name)
}

#[cfg(not(feature = "vulkan"))]
fn crashing_adapter(_device: &Device) -> Option<String> {
    None
}

/// What the operating system says before any driver is loaded. A `true` may still turn out to be nothing; a `false` is
/// final for [`Accelerator::Auto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hints {
    cuda: bool,
    graphics: bool,
}

impl Hints {
    fn of_this_machine() -> Self {
        if cfg!(target_os = "linux") {
            Self::read(Path::new("/dev"))
        } else {
            // Elsewhere the graphics driver is a part of the system, and CUDA's is asked by burn only if it is installed.
            Self { cuda: !cfg!(target_vendor = "apple"), graphics: true }
        }
    }

    /// Reads the device nodes of a Linux kernel: `nvidia0`, Jetson's `nvhost-…` and `nvmap`, the DRM cards, Mali, Adreno,
    /// and `dxg`, through which WSL reaches the GPU of Windows.
    fn read(dev: &Path) -> Self {
        let holds = |folder: &Path, prefixes: &[&str]| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).any(|name| {
                let name = name.to_string_lossy();
                prefixes.iter().any(|prefix| name.starts_with(prefix))
            })
        };
        let cuda = holds(dev, &["nvidia", "nvhost", "nvmap", "nvgpu", "dxg"]);
        let graphics = cuda || holds(&dev.join("dri"), &["card", "renderD"]) || holds(dev, &["mali", "kgsl"]);
        Self { cuda, graphics }
    }
}

fn best(hints: Hints) -> Accelerator {
    if hints.cuda && Accelerator::Cuda(0).presence() == Presence::Real {
        return Accelerator::Cuda(0);
    }
    if hints.graphics && Accelerator::Wgpu.presence() == Presence::Real {
        return Accelerator::Wgpu;
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
        Some(accelerator) if accelerator.presence() == Presence::Absent => Err(AcceleratorError::DefaultDevice(accelerator)),
        _ => Ok(()),
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
