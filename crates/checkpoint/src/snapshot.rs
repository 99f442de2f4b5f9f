//! Tensors as they are now, read from the device later.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, BoolStore, DType, Int, Tensor, TensorData, Transaction, kind},
};

use crate::weights_error::{Result, WeightsError};

/// Tensors on the host by name: a parameter's path, or a name with a slash for anything else.
pub type NamedTensors = Vec<(String, TensorData)>;

/// Named device tensors as they were at one moment.
///
/// Taking one costs neither a device read nor a copy: it holds handles, and an update of burn makes new tensors. All are
/// read in one transaction by [`Snapshot::read`], which may happen on another thread; on a GPU, call `Device::flush` on the
/// thread that made the tensors before the snapshot goes there.
///
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// use stormfire_checkpoint::Snapshot;
///
/// let layer = LinearConfig::new(2, 3).init(&Device::flex());
/// let snapshot = Snapshot::of_module(&layer)?;
/// let tensors = std::thread::spawn(move || snapshot.read()).join().unwrap()?;
/// assert_eq!(tensors[0].0, "weight");
/// assert_eq!(tensors[0].1.shape().as_slice(), [2, 3]);
/// # Ok::<(), stormfire_checkpoint::WeightsError>(())
/// ```
#[derive(Default)]
pub struct Snapshot {
    names: Vec<String>,
    transaction: Transaction,
    /// On the host already.
    pub(crate) read: NamedTensors,
}

impl Snapshot {
    /// The parameters of a module by path, of every kind, buffers included.
    ///
    /// # Errors
    /// [`WeightsError::Quantized`].
    pub fn of_module<M: Module>(module: &M) -> Result<Self> {
        Self::default().with_module(module)
    }

    /// Adds the parameters of a module, as [`Snapshot::of_module`] takes them.
    ///
    /// # Errors
    /// [`WeightsError::Quantized`].
    pub fn with_module<M: Module>(mut self, module: &M) -> Result<Self> {
        self.add_module("", module)?;
        Ok(self)
    }

    /// Adds the parameters of a module, with this text in front of their paths.
    ///
    /// # Errors
    /// [`WeightsError::Quantized`].
    pub fn add_module<M: Module>(&mut self, prefix: &str, module: &M) -> Result<()> {
        let mut collect = Collect { prefix, path: Vec::new(), snapshot: self, quantized: None };
        // A copy in evaluation mode: only that has the newest running statistics of `BatchNorm`, and they are its own.
        module.valid().visit(&mut collect);
        collect.quantized.map_or(Ok(()), |path| Err(WeightsError::Quantized { path }))
    }

    /// Adds another tensor; the tape of one that has one is left out.
    pub fn add<const D: usize>(&mut self, name: impl Into<String>, tensor: Tensor<D>) {
        self.register(name.into(), if tensor.is_autodiff() { tensor.inner() } else { tensor });
    }

    /// How many tensors it holds.
    pub fn len(&self) -> usize {
        self.names.len() + self.read.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads all of them in one transaction, in the order in which they were added; those of an optimizer that had to be read
    /// before come last. Waits for the device.
    ///
    /// Numbers keep their type exactly; booleans come as one byte each, whatever the device stores.
    ///
    /// # Errors
    /// [`WeightsError::Read`] when the device fails.
    pub fn read(self) -> Result<NamedTensors> {
        if self.names.is_empty() {
            return Ok(self.read);
        }
        let count = self.names.len();
        let data = self.transaction.try_execute().map_err(|e| WeightsError::Read { count, reason: e.to_string() })?;
        let plain = |data: TensorData| match data.dtype() {
            DType::Bool(_) => data.convert_dtype(DType::Bool(BoolStore::Native)),
            _ => data,
        };
        Ok(self.names.into_iter().zip(data.into_iter().map(plain)).chain(self.read).collect())
    }

    pub(crate) fn register<const D: usize, K: kind::Transaction>(&mut self, name: String, tensor: Tensor<D, K>) {
        self.names.push(name);
        self.transaction = std::mem::take(&mut self.transaction).register(tensor);
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("names", &self.names).finish_non_exhaustive()
    }
}

struct Collect<'a> {
    prefix: &'a str,
    path: Vec<String>,
    snapshot: &'a mut Snapshot,
    quantized: Option<String>,
}

impl Collect<'_> {
    fn name(&self) -> String {
        format!("{}{}", self.prefix, self.path.join("."))
    }
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    // The form in which burn saves: a `Linear` in column layout is kept another way round.
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.transform_for_save().val();
        if matches!(tensor.dtype(), DType::QFloat(_)) {
            self.quantized.get_or_insert(self.path.join("."));
        } else {
            self.snapshot.add(self.name(), tensor);
        }
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.snapshot.register(self.name(), param.transform_for_save().val());
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.snapshot.register(self.name(), param.transform_for_save().val());
    }
}

#[cfg(test)]
mod tests;
