//! A file that is written once, after the last batch.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{DType, TensorData};
use stormfire_checkpoint::{Checkpoint, Manifest};
use stormfire_module::{Error, Result};
use stormfire_store::{files, folder};

use super::{rows::Columns, table};

pub(super) struct Whole {
    path: PathBuf,
    rows: Vec<u8>,
    tensors: BTreeMap<String, Joined>,
    is_of_tensors: bool,
    is_table: bool,
}

/// Tensors, joined along their first dimension.
struct Joined {
    dtype: DType,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Whole {
    pub(super) fn open(path: &Path, is_table: bool) -> Result<Self> {
        fs_err::create_dir_all(folder::of(path))?;
        files::check_writable(folder::of(path)).map_err(Error::other)?;
        Ok(Self { path: path.to_owned(), rows: Vec::new(), tensors: BTreeMap::new(), is_of_tensors: false, is_table })
    }

    pub(super) fn add_rows(&mut self, columns: &Columns, rows: &[u8]) {
        if self.rows.is_empty()
            && let Some(header) = columns.header()
        {
            self.rows.extend_from_slice(header.as_bytes());
        }
        self.rows.extend_from_slice(rows);
    }

    pub(super) fn add_tensors(&mut self, encoded: &[u8]) -> Result<()> {
        self.is_of_tensors = true;
        for (name, data) in Checkpoint::from_bytes("the tensors of a batch", encoded)?.into_parts().1 {
            self.join(name, &data)?;
        }
        Ok(())
    }

    fn join(&mut self, name: String, data: &TensorData) -> Result<()> {
        let shape = data.shape().as_slice().to_vec();
        let Some(joined) = self.tensors.get_mut(&name) else {
            if shape.is_empty() {
                return Err(differs(&name, "has no dimension"));
            }
            self.tensors.insert(name, Joined { dtype: data.dtype(), shape, bytes: data.as_bytes().to_vec() });
            return Ok(());
        };
        if joined.dtype != data.dtype() || joined.shape.get(1..) != shape.get(1..) {
            return Err(differs(
                &name,
                &format!("is {:?} {shape:?} in one batch and {:?} {:?} before", data.dtype(), joined.dtype, joined.shape),
            ));
        }
        if let (Some(rows), Some(more)) = (joined.shape.first_mut(), shape.first()) {
            *rows += more;
        }
        joined.bytes.extend_from_slice(data.as_bytes());
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        if self.is_of_tensors {
            let tensor = |(name, joined): (String, Joined)| (name, TensorData::from_bytes_vec(joined.bytes, joined.shape, joined.dtype));
            let tensors: Vec<_> = self.tensors.into_iter().map(tensor).collect();
            return Ok(stormfire_checkpoint::write(&self.path, &Manifest::default(), &tensors)?);
        }
        if self.is_table {
            return table::write(&self.path, || Ok(self.rows.as_slice()));
        }
        files::write(&self.path, self.rows.len() as u64, |out| out.write_all(&self.rows)).map_err(Error::other)
    }
}

fn differs(name: &str, what: &str) -> Error {
    let hint = "give tensors whose dimensions are equal from the second on, or write one file per batch (`WriteInterval::Batch`)";
    Error::config("PredictionWriter", format!("tensor `{name}` {what}, so that the batches cannot be joined"), hint)
}
