//! The tensors of one moment, which are read from the device later.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, BoolStore, DType, Int, Shape, Tensor, TensorData, Transaction, kind},
};
use xxhash_rust::xxh3::Xxh3Default;

use crate::weights_error::{Result, WeightsError};

/// Tensors on the host by name: a parameter's path, or another name with a slash.
pub type NamedTensors = Vec<(String, TensorData)>;

/// Named device tensors as they were at one moment.
///
/// Taking a snapshot needs no device read and no copy: it contains handles, and an update of burn creates new tensors.
/// [`Snapshot::read`] reads all tensors in one transaction, [`write_snapshot`](crate::write_snapshot) reads them in
/// pieces. Both may run on another thread. On a GPU, call `Device::flush` on the thread that created the tensors before
/// another thread gets the snapshot.
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

/// A tensor and its description in a file.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// The dtype after reading: see [`Snapshot::read`].
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
    source: Source,
    /// The sum of the squares of floats on the device.
    squares: Option<Box<dyn Fn() -> Tensor<1> + Send>>,
}

enum Source {
    /// Adds the handle of the tensor to a transaction.
    Device(Box<dyn Fn(Transaction) -> Transaction + Send>),
    Host(TensorData),
}

/// Maximum number of bytes that leave the device at once. This is enough to keep the device busy, and small enough to
/// reuse the memory for the next piece.
const PIECE: usize = 64 << 20;

impl Snapshot {
    /// Takes all parameters of a module by path, of every kind, including buffers.
    ///
    /// # Errors
    /// [`WeightsError::Quantized`] for a quantized parameter.
    pub fn of_module<M: Module>(module: &M) -> Result<Self> {
        Self::default().with_module(module)
    }

    /// Adds the parameters of a module, as [`Snapshot::of_module`].
    ///
    /// # Errors
    /// [`WeightsError::Quantized`] for a quantized parameter.
    pub fn with_module<M: Module>(mut self, module: &M) -> Result<Self> {
        self.add_module("", module)?;
        Ok(self)
    }

    /// Adds the parameters of a module, with a prefix for their paths.
    ///
    /// # Errors
    /// [`WeightsError::Quantized`] for a quantized parameter.
    pub fn add_module<M: Module>(&mut self, prefix: &str, module: &M) -> Result<()> {
        let mut collect = Collect { prefix, path: Vec::new(), snapshot: self, quantized: None };
        // Uses a copy in evaluation mode. Only this has the newest running statistics of `BatchNorm`, and does not
        // share them.
        module.valid().visit(&mut collect);
        collect.quantized.map_or(Ok(()), |path| Err(WeightsError::Quantized { path }))
    }

    /// Adds another tensor, without its autodiff graph.
    pub fn add<const D: usize>(&mut self, name: impl Into<String>, tensor: Tensor<D>) {
        let tensor = if tensor.is_autodiff() { tensor.inner() } else { tensor };
        let floats = tensor.clone();
        self.register(name.into(), tensor);
        if let Some(entry) = self.entries.last_mut() {
            entry.squares = Some(Box::new(move || {
                let is_half = matches!(floats.dtype(), DType::F16 | DType::BF16);
                let floats = if is_half { floats.clone().cast(DType::F32) } else { floats.clone() };
                floats.square().sum()
            }));
        }
    }

    /// Adds another tensor of integers.
    pub fn add_ints<const D: usize>(&mut self, name: impl Into<String>, tensor: Tensor<D, Int>) {
        self.register(name.into(), tensor.inner());
    }

    /// Adds a tensor that is on the host.
    pub fn add_read(&mut self, name: String, data: TensorData) {
        self.entries.push(Entry { name, dtype: data.dtype(), shape: data.shape().clone(), source: Source::Host(data), squares: None });
    }

    /// The sum of the squares of each float tensor that is on the device, with its name. Reads nothing.
    pub fn squares(&self) -> impl Iterator<Item = (&str, Tensor<1>)> {
        self.entries.iter().filter_map(|entry| Some((entry.name.as_str(), entry.squares.as_ref()?())))
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the snapshot is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn entries_mut(&mut self) -> &mut [Entry] {
        &mut self.entries
    }

    /// Sorts the tensors after the first `first` by name.
    pub fn sort_after(&mut self, first: usize) {
        if let Some(others) = self.entries.get_mut(first..) {
            others.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }

    /// Takes the tensors whose names start with `folder`.
    #[must_use]
    pub fn take_under(&mut self, folder: &str) -> Self {
        Self { entries: self.entries.extract_if(.., |entry| entry.name.starts_with(folder)).collect() }
    }

    /// Parts of at most `limit` bytes in the order of the tensors. A larger tensor is alone.
    pub(crate) fn shards(self, limit: u64) -> Vec<Self> {
        let (mut shards, mut bytes) = (Vec::<Self>::new(), 0);
        for entry in self.entries {
            let len = (entry.shape.num_elements() * entry.dtype.size()) as u64;
            bytes += len;
            match shards.last_mut() {
                Some(shard) if bytes <= limit => shard.entries.push(entry),
                _ => {
                    bytes = len;
                    shards.push(Self { entries: vec![entry] });
                }
            }
        }
        shards
    }

    /// Reads all tensors in one transaction, in the order of their addition. Waits for the device.
    ///
    /// Numbers keep their dtype exactly. Booleans are one byte each, regardless of the device.
    ///
    /// # Errors
    /// [`WeightsError::Read`] if the device fails.
    pub fn read(self) -> Result<NamedTensors> {
        let mut read = from_device(&self.entries)?.into_iter();
        let data = |entry: Entry| match entry.source {
            Source::Host(data) => Some((entry.name, data)),
            Source::Device(_) => read.next().map(|data| (entry.name, data)),
        };
        Ok(self.entries.into_iter().filter_map(data).collect())
    }

    /// A number that stands for the names, types, shapes and values of all tensors. Reads a limited number of bytes at
    /// a time. Waits for the device.
    ///
    /// # Errors
    /// [`WeightsError::Read`] if the device fails.
    pub fn fingerprint(&self) -> Result<u64> {
        let mut hash = Xxh3Default::new();
        let order: Vec<usize> = (0..self.entries.len()).collect();
        self.read_in_pieces::<WeightsError>(&order, |name, data| {
            hash.update(format!("{name} {:?} {:?};", data.dtype(), data.shape()).as_bytes());
            hash.update(data.as_bytes());
            Ok(())
        })?;
        Ok(hash.digest())
    }

    /// Reads the tensors with these indices in this order, a limited number of bytes at a time, and passes each to
    /// `with`.
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

    /// The entries with these indices in groups of at most `limit` bytes. A larger entry has its own group.
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
        self.entries.push(Entry { name, dtype, shape, source, squares: None });
    }
}

impl Entry {
    /// Size on the device in bytes. 0 for a tensor on the host.
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

/// Reads the entries that are on the device, in one transaction.
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
        return Err(failed("it returned tensors of wrong types or shapes".into()));
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
    // The form in which burn saves a parameter. A `Linear` in column layout is stored transposed.
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
