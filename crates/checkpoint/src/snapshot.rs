//! Tensors as they are now, read from the device later.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, BoolStore, DType, Int, Shape, Tensor, TensorData, Transaction, kind},
};

use crate::weights_error::{Result, WeightsError};

/// Tensors on the host by name: a parameter's path, or a name with a slash for anything else.
pub type NamedTensors = Vec<(String, TensorData)>;

/// Named device tensors as they were at one moment.
///
/// Taking one costs neither a device read nor a copy: it holds handles, and an update of burn makes new tensors. All are
/// read in one transaction by [`Snapshot::read`], or in pieces by [`write_snapshot`](crate::write_snapshot), which may happen on
/// another thread; on a GPU, call `Device::flush` on the thread that made the tensors before the snapshot goes there.
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
    entries: Vec<Entry>,
}

/// One tensor, and what a file says of it before its numbers.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// As it is read: see [`Snapshot::read`].
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
    source: Source,
}

enum Source {
    /// Adds its handle to a transaction.
    Device(Box<dyn Fn(Transaction) -> Transaction + Send>),
    Host(TensorData),
}

/// So many bytes leave the device at once: enough to keep it busy, and few enough that the memory is used again for the next ones.
const PIECE: usize = 64 << 20;

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

    /// Adds a tensor that is on the host already.
    pub(crate) fn add_read(&mut self, name: String, data: TensorData) {
        self.entries.push(Entry { name, dtype: data.dtype(), shape: data.shape().clone(), source: Source::Host(data) });
    }

    /// How many tensors it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Puts those behind the first so many in the order of their names.
    pub fn sort_after(&mut self, first: usize) {
        if let Some(others) = self.entries.get_mut(first..) {
            others.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }

    /// Takes out those whose names begin so.
    #[must_use]
    pub fn take_under(&mut self, folder: &str) -> Self {
        Self { entries: self.entries.extract_if(.., |entry| entry.name.starts_with(folder)).collect() }
    }

    /// Reads all of them in one transaction, in the order in which they were added. Waits for the device.
    ///
    /// Numbers keep their type exactly; booleans come as one byte each, whatever the device stores.
    ///
    /// # Errors
    /// [`WeightsError::Read`] when the device fails.
    pub fn read(self) -> Result<NamedTensors> {
        let mut read = from_device(&self.entries)?.into_iter();
        let data = |entry: Entry| match entry.source {
            Source::Host(data) => Some((entry.name, data)),
            Source::Device(_) => read.next().map(|data| (entry.name, data)),
        };
        Ok(self.entries.into_iter().filter_map(data).collect())
    }

    /// Reads those at these places in this order, a bounded number of bytes at a time, and gives each to `with`.
    pub(crate) fn read_in_pieces<E: From<WeightsError>>(
        &self,
        order: &[usize],
        mut with: impl FnMut(&str, &TensorData) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in self.pieces(order, PIECE) {
            let mut read = from_device(piece.iter().copied())?.into_iter();
            for entry in piece {
                match &entry.source {
                    Source::Host(data) => with(&entry.name, data)?,
                    Source::Device(_) => read.next().map_or(Ok(()), |data| with(&entry.name, &data))?,
                }
            }
        }
        Ok(())
    }

    /// Those at these places in groups of at most so many bytes; a larger one is alone.
    fn pieces(&self, order: &[usize], limit: usize) -> Vec<Vec<&Entry>> {
        let mut pieces: Vec<Vec<&Entry>> = Vec::new();
        let mut bytes = 0;
        for entry in order.iter().filter_map(|&index| self.entries.get(index)) {
            bytes += entry.len();
            match pieces.last_mut() {
                Some(piece) if bytes <= limit => piece.push(entry),
                _ => {
                    bytes = entry.len();
                    pieces.push(vec![entry]);
                }
            }
        }
        pieces
    }

    pub(crate) fn register<const D: usize, K: kind::Transaction + 'static>(&mut self, name: String, tensor: Tensor<D, K>) {
        let dtype = if matches!(tensor.dtype(), DType::Bool(_)) { DType::Bool(BoolStore::Native) } else { tensor.dtype() };
        let shape = tensor.shape();
        let source = Source::Device(Box::new(move |transaction| transaction.register(tensor.clone())));
        self.entries.push(Entry { name, dtype, shape, source });
    }
}

impl Entry {
    /// What it takes on the device, or nothing.
    fn len(&self) -> usize {
        match self.source {
            Source::Device(_) => self.shape.num_elements() * self.dtype.size(),
            Source::Host(_) => 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.source, Source::Host(_))
    }
}

/// The numbers of those that are on the device, in one transaction.
fn from_device<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Vec<TensorData>> {
    let (mut transaction, mut expected) = (Transaction::default(), Vec::new());
    for entry in entries {
        if let Source::Device(register) = &entry.source {
            transaction = register(transaction);
            expected.push(entry);
        }
    }
    if expected.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |reason| WeightsError::Read { count: expected.len(), reason };
    let data = transaction.try_execute().map_err(|error| failed(error.to_string()))?;
    let plain = |data: TensorData| match data.dtype() {
        DType::Bool(_) => data.convert_dtype(DType::Bool(BoolStore::Native)),
        _ => data,
    };
    let data: Vec<TensorData> = data.into_iter().map(plain).collect();
    let is_as_said = |(entry, data): (&&Entry, &TensorData)| entry.dtype == data.dtype() && entry.shape == *data.shape();
    if data.len() != expected.len() || !expected.iter().zip(&data).all(is_as_said) {
        return Err(failed("it gave tensors of other types or shapes than they have".into()));
    }
    Ok(data)
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.name)).finish()
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
