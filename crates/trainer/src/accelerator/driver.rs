//! Queries and tests a driver in the current process. A broken driver may end that process.

use std::panic::catch_unwind;

#[cfg(feature = "wgpu")]
use burn::tensor::DeviceKind;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
use burn::tensor::DeviceType;
use burn::tensor::{Device, Tensor, activation::softmax};
use stormfire_values::read::read;

use super::Accelerator;

/// The devices of an accelerator on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Absent,
    /// A software rasterizer.
    Software,
    /// Hardware, with the number of devices.
    Real(usize),
    /// A driver that does not work, with a description of the fault.
    Broken(String),
}

impl Accelerator {
    /// burn's handle, which opens nothing. `None` if the feature is disabled.
    pub(super) fn handle(self) -> Option<Device> {
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

    /// The devices that the driver lists. Empty if the feature is disabled or the driver panics.
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
            // The bindings panic if a driver is older than they are and lacks a symbol. Such a device is not usable.
            catch_unwind(|| Device::enumerate(kind).into_vec()).unwrap_or_default()
        }
        #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
        Vec::new()
    }

    /// Whether burn classifies this adapter as a software rasterizer.
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

    /// The devices that the driver lists. The driver is loaded but not used. Never returns [`Presence::Broken`].
    pub(super) fn listed(self) -> Presence {
        if self == Self::Cpu {
            return Presence::Real(1);
        }
        let found = self.enumerate();
        match self {
            _ if found.is_empty() => Presence::Absent,
            Self::Cuda(index) if index >= found.len() => Presence::Absent,
            _ if found.iter().all(|device| self.is_software(device)) => Presence::Software,
            _ => Presence::Real(found.len()),
        }
    }
}

/// The driver's name of the adapter, if burn provides one. Opens the device.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub(super) fn name(device: &Device) -> Option<String> {
    catch_unwind(|| device.identity()).ok()?.map(|identity| identity.name)
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
pub(super) fn name(_device: &Device) -> Option<String> {
    None
}

/// Runs typical computations of a training, a matrix product, a softmax and a sum, and reads the result. Drivers are
/// known to crash in these kernels. The error describes a fault other than a crash.
pub(super) fn try_out(device: &Device) -> Result<(), String> {
    const SIZE: usize = 16;
    let total = catch_unwind(|| {
        let ones = Tensor::<2>::ones([SIZE, SIZE], device);
        let product = ones.clone().matmul(ones);
        // Equal elements: each row of the softmax adds up to one, so the total is the number of rows.
        read(&[(softmax(product.clone(), 1) * product).sum().into()])
    });
    let expected = (SIZE * SIZE) as f64;
    match total {
        Ok(Ok(total)) if total.iter().all(|total| (total - expected).abs() < 1e-2 * expected) => Ok(()),
        Ok(Ok(total)) => Err(format!("it computed {total:?} instead of {expected}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it panicked".to_owned()),
    }
}
