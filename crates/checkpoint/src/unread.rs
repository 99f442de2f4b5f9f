//! Tensors whose values are read when a module takes them.

use std::{fmt, sync::Arc};

use burn::tensor::{DType, TensorData};

use crate::dtype;

/// A tensor of a file. Its values are in memory, or are read from the file at their use, so that only one tensor at a
/// time is in memory twice.
#[derive(Clone)]
pub(crate) struct Unread {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    source: Source,
    is_transposed: bool,
}

#[derive(Clone)]
enum Source {
    Here(TensorData),
    There(Arc<dyn Fn() -> Result<TensorData, String> + Send + Sync>),
}

impl Unread {
    /// A tensor that `read` will read with this dtype and shape.
    pub(crate) fn new(dtype: DType, shape: Vec<usize>, read: impl Fn() -> Result<TensorData, String> + Send + Sync + 'static) -> Self {
        Self { dtype, shape, source: Source::There(Arc::new(read)), is_transposed: false }
    }

    /// The transpose of a matrix.
    pub(crate) fn transposed(mut self) -> Self {
        self.shape.reverse();
        self.is_transposed = !self.is_transposed;
        self
    }

    /// The values. An error says what is wrong with the file.
    pub(crate) fn read(self) -> Result<TensorData, String> {
        let data = match self.source {
            Source::Here(data) => data,
            Source::There(read) => read()?,
        };
        if self.is_transposed { transpose(&data) } else { Ok(data) }
    }
}

impl From<TensorData> for Unread {
    fn from(data: TensorData) -> Self {
        Self { dtype: data.dtype(), shape: data.shape().to_vec(), source: Source::Here(data), is_transposed: false }
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.dtype.name(), self.shape)
    }
}

/// The transpose of a matrix.
pub(crate) fn transpose(data: &TensorData) -> Result<TensorData, String> {
    let &[rows, columns] = data.shape().as_slice() else {
        return Err(format!("{:?} is not the shape of a matrix", data.shape()));
    };
    let mut bytes = dtype::zeroed(data.dtype(), rows * columns);
    match data.dtype().size() {
        8 => copy_transposed::<8>(data.as_bytes(), &mut bytes, rows, columns),
        4 => copy_transposed::<4>(data.as_bytes(), &mut bytes, rows, columns),
        2 => copy_transposed::<2>(data.as_bytes(), &mut bytes, rows, columns),
        _ => copy_transposed::<1>(data.as_bytes(), &mut bytes, rows, columns),
    }
    TensorData::try_from_bytes(bytes, [columns, rows], data.dtype()).map_err(|error| error.to_string())
}

fn copy_transposed<const SIZE: usize>(from: &[u8], to: &mut [u8], rows: usize, columns: usize) {
    let (from, to) = (from.as_chunks::<SIZE>().0, to.as_chunks_mut::<SIZE>().0);
    for (row, values) in from.chunks_exact(columns.max(1)).enumerate() {
        for (value, target) in values.iter().zip(to[row..].iter_mut().step_by(rows)) {
            *target = *value;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{BoolStore, Bytes};

    use super::*;

    #[test]
    fn a_matrix_of_any_dtype_is_transposed() {
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::I64, DType::U8] {
            let matrix = |values: [[f32; 3]; 2]| TensorData::from(values).convert_dtype(dtype);
            let wide = matrix([[1., 2., 3.], [4., 5., 6.]]);
            let tall = TensorData::from([[1f32, 4.], [2., 5.], [3., 6.]]).convert_dtype(dtype);
            assert_eq!(transpose(&wide).unwrap(), tall);
            let unread = Unread::from(wide.clone()).transposed();
            assert_eq!((unread.shape.clone(), unread.read().unwrap()), (vec![3, 2], tall));
            assert_eq!(Unread::from(wide.clone()).transposed().transposed().read().unwrap(), wide);
        }
        let bools = TensorData::from_bytes(Bytes::from_elems(vec![1u8, 0]), [1, 2], DType::Bool(BoolStore::Native));
        assert_eq!(transpose(&bools).unwrap().shape().as_slice(), [2, 1]);
        let empty = TensorData::from_bytes(Bytes::from_elems(Vec::<f32>::new()), [3, 0], DType::F32);
        assert_eq!(transpose(&empty).unwrap().shape().as_slice(), [0, 3]);
        assert!(transpose(&TensorData::from([1f32])).is_err());
    }
}
