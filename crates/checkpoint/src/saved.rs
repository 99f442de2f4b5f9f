//! The saved state of a part of a run: plain values and tensors.

use std::{any::Any, collections::BTreeMap, fmt, rc::Rc};

use burn::{
    module::Module,
    tensor::{Device, Tensor, TensorData, kind},
};
use serde_json::Value;

use crate::{
    LoadOptions, Snapshot,
    fill::is_of_kind,
    restore::restore,
    weights_error::{Result, WeightsError},
};

/// The state of a callback or a data module in a checkpoint: a JSON value, and tensors by name.
///
/// When a checkpoint is taken, the tensors are handles. They leave the device together with the rest of the checkpoint.
/// A resumed fit restores them on its device, with their dtypes.
///
/// ```
/// use burn::{nn::{Linear, LinearConfig}, tensor::{Device, Tensor}};
/// use serde_json::json;
/// use stormfire_checkpoint::Saved;
///
/// let device = Device::flex();
/// let (mean, average) = (Tensor::<1>::ones([2], &device), LinearConfig::new(2, 3).init(&device));
/// let saved = Saved::from(json!({ "updates": 7 })).with_tensor("mean", &mean).with_module("average", &average);
///
/// let mut back = saved.clone();
/// assert_eq!(back.json()["updates"], 7);
/// let mean: Option<Tensor<1>> = back.take_tensor("mean")?;
/// let average: Linear = back.load_module("average", average)?;
/// # assert!(mean.is_some());
/// # Ok::<(), stormfire_checkpoint::WeightsError>(())
/// ```
#[derive(Clone, Default)]
pub struct Saved {
    json: Value,
    parts: BTreeMap<String, Part>,
    /// The device for tensors that were read from a file.
    device: Option<Device>,
}

#[derive(Clone)]
enum Part {
    Live(Rc<dyn Live>),
    Read(TensorData),
}

/// A tensor of any type, or a module.
trait Live: Any {
    fn add_to(&self, name: String, snapshot: &mut Snapshot) -> Result<()>;
}

impl<const D: usize, K: kind::Transaction + 'static> Live for Tensor<D, K> {
    fn add_to(&self, name: String, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.register(name, self.clone());
        Ok(())
    }
}

struct OfModule<M>(M);

impl<M: Module + 'static> Live for OfModule<M> {
    fn add_to(&self, name: String, snapshot: &mut Snapshot) -> Result<()> {
        snapshot.add_module(&format!("{name}."), &self.0)
    }
}

impl From<Value> for Saved {
    fn from(json: Value) -> Self {
        Self { json, ..Self::default() }
    }
}

impl Saved {
    /// Creates a state that was read from a checkpoint: the JSON, and tensors for this device.
    pub fn read(json: Value, tensors: BTreeMap<String, TensorData>, device: &Device) -> Self {
        let parts = tensors.into_iter().map(|(name, data)| (name, Part::Read(data))).collect();
        Self { json, parts, device: Some(device.clone()) }
    }

    /// Adds a float tensor under a name, without its autodiff graph.
    #[must_use]
    pub fn with_tensor<const D: usize>(self, name: impl Into<String>, tensor: &Tensor<D>) -> Self {
        let tensor = tensor.clone();
        self.with(name.into(), Rc::new(if tensor.is_autodiff() { tensor.inner() } else { tensor }))
    }

    /// Adds a tensor of integers or booleans under a name.
    #[must_use]
    pub fn with_plain_tensor<const D: usize, K: kind::Transaction + 'static>(self, name: impl Into<String>, tensor: &Tensor<D, K>) -> Self {
        self.with(name.into(), Rc::new(tensor.clone()))
    }

    /// Adds all parameters and buffers of a module, below a name.
    #[must_use]
    pub fn with_module<M: Module + 'static>(self, name: impl Into<String>, module: &M) -> Self {
        self.with(name.into(), Rc::new(OfModule(module.valid())))
    }

    fn with(mut self, name: String, part: Rc<dyn Live>) -> Self {
        self.parts.insert(name, Part::Live(part));
        self
    }

    /// The JSON value, or `null`.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Takes the JSON value.
    pub fn take_json(&mut self) -> Value {
        std::mem::take(&mut self.json)
    }

    /// Whether the state has tensors.
    pub fn has_tensors(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Whether the state is empty.
    pub fn is_empty(&self) -> bool {
        self.json.is_null() && self.parts.is_empty()
    }

    /// Takes a tensor, on the device of the fit, with the dtype that it was saved with. `None` if no tensor has this
    /// name.
    ///
    /// # Errors
    /// [`WeightsError::Part`] if it has another rank or kind.
    pub fn take_tensor<const D: usize, K: kind::Basic + 'static>(&mut self, name: &str) -> Result<Option<Tensor<D, K>>> {
        let refuse = |reason: String| WeightsError::Part { name: name.to_owned(), reason };
        match self.parts.remove(name) {
            None => Ok(None),
            Some(Part::Live(live)) => {
                let live: &dyn Any = &*live;
                let tensor = live.downcast_ref::<Tensor<D, K>>();
                Ok(Some(tensor.ok_or_else(|| refuse("it was saved with another rank or kind".into()))?.clone()))
            }
            Some(Part::Read(data)) => {
                if data.shape().len() != D {
                    return Err(refuse(format!("it has {} dimensions, and {D} are requested", data.shape().len())));
                }
                if !is_of_kind::<K>(data.dtype()) {
                    return Err(refuse(format!("it contains {:?}, and another kind of tensor is requested", data.dtype())));
                }
                let (device, dtype) = (self.device.clone().unwrap_or_else(Device::flex), data.dtype());
                if !device.supports_dtype(dtype) {
                    return Err(refuse(format!("it contains {dtype:?}, which the device does not support")));
                }
                Ok(Some(Tensor::from_data(data, (&device, dtype))))
            }
        }
    }

    /// Loads the parameters that [`with_module`](Self::with_module) saved below this name into a module, with their
    /// dtypes. Returns the module in evaluation mode. Returns `module` itself if nothing was saved below this name.
    ///
    /// # Errors
    /// As [`restore`](fn@crate::restore): the parameters must match exactly.
    pub fn load_module<M: Module + 'static>(&mut self, name: &str, module: M) -> Result<M> {
        if let Some(Part::Live(live)) = self.parts.get(name) {
            let live: &dyn Any = &**live;
            let own = live.downcast_ref::<OfModule<M>>();
            let reason = || "it was saved as another type".into();
            return own.map(|own| own.0.clone()).ok_or_else(|| WeightsError::Part { name: name.to_owned(), reason: reason() });
        }
        let below = format!("{name}.");
        let mut tensors = BTreeMap::new();
        for (path, part) in std::mem::take(&mut self.parts) {
            match (path.strip_prefix(&below), part) {
                (Some(path), Part::Read(data)) => drop(tensors.insert(path.to_owned(), data)),
                (_, part) => drop(self.parts.insert(path, part)),
            }
        }
        if tensors.is_empty() {
            return Ok(module);
        }
        // A clone in training mode would share the running statistics of batch normalizations with the trained module.
        Ok(restore(module.valid(), tensors, &LoadOptions::new().adopt_dtype(true))?.0)
    }

    /// Adds the tensors to a snapshot, below a folder.
    ///
    /// # Errors
    /// [`WeightsError::Quantized`] for a quantized parameter.
    pub fn add_to(&self, folder: &str, snapshot: &mut Snapshot) -> Result<()> {
        for (name, part) in &self.parts {
            let name = format!("{folder}{name}");
            match part {
                Part::Live(live) => live.add_to(name, snapshot)?,
                Part::Read(data) => snapshot.add_read(name, data.clone()),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saved").field("json", &self.json).field("tensors", &self.parts.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
