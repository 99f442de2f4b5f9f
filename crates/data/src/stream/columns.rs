//! The columns of a table, compared with the fields of its rows.

use std::{
    any::type_name,
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use csv::StringRecord;
use serde::de::DeserializeOwned;
use stormfire_values::nearest::nearest;

use super::row_type::{RowType, optional_field};
use crate::row_error::{RowError, listed};

/// The columns of an open file.
pub(super) struct Columns {
    path: Arc<Path>,
    pub(super) names: StringRecord,
    /// Whether a character separates the columns.
    is_separated: bool,
    /// Whether a row was decoded.
    is_compared: AtomicBool,
}

/// The fields without a column that were reported, with the types of their rows.
static REPORTED: Mutex<BTreeSet<(&str, &str)>> = Mutex::new(BTreeSet::new());

impl Columns {
    pub(super) fn new(path: &Arc<Path>, names: StringRecord, is_separated: bool) -> Self {
        Self { path: path.clone(), names, is_separated, is_compared: AtomicBool::new(false) }
    }

    /// The error for serde's message about a field without a column. `None` for other messages.
    pub(super) fn missing(&self, message: &str) -> Option<RowError> {
        let error = RowError::of_missing_column(message, &self.names.iter().collect::<Vec<_>>())?;
        let hint = self.other_delimiter().or_else(|| error.hint.clone());
        Some(error.with_hint(hint))
    }

    /// Reports the `Option` fields of `T` that have no column, once for each type of rows. It is called after a row was
    /// decoded, so all other fields have a column.
    pub(super) fn compare<T: DeserializeOwned>(&self) {
        // Threads that decode rows share the flag, and a load is cheaper.
        if self.is_compared.load(Ordering::Relaxed) || self.is_compared.swap(true, Ordering::Relaxed) {
            return;
        }
        let Some(row) = RowType::of::<T>() else { return };
        let read: BTreeSet<String> = self.names.iter().filter_map(optional_field::<T>).collect();
        let is_missing = |name: &str| !read.contains(name) && optional_field::<T>(name).as_deref() == Some(name);
        let mut missing: Vec<&'static str> = row.fields.iter().copied().filter(|name| is_missing(name)).collect();
        {
            let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
            missing.retain(|name| reported.insert((type_name::<T>(), *name)));
        }
        if missing.is_empty() {
            return;
        }
        let unused: Vec<&str> =
            self.names.iter().filter(|name| !row.fields.contains(name) && optional_field::<T>(name).is_none()).collect();
        let meant: Vec<&str> = missing.iter().filter_map(|name| nearest(name, unused.iter().copied())).collect();
        let meant = if meant.is_empty() { None } else { Some(format!("did you mean {}?", listed(&meant))) };
        let hint = self.other_delimiter().or(meant).map(|hint| format!("; {hint}")).unwrap_or_default();
        let (path, names, of) = (self.path.display(), listed(&missing), row.name);
        if missing.len() == 1 {
            tracing::warn!("the data file `{path}` has no column {names}, so this field of `{of}` is missing in all rows{hint}");
        } else {
            tracing::warn!("the data file `{path}` has no columns {names}, so these fields of `{of}` are missing in all rows{hint}");
        }
    }

    /// A hint if the name of the only column looks like several names.
    fn other_delimiter(&self) -> Option<String> {
        if !self.is_separated || self.names.len() != 1 {
            return None;
        }
        let delimiter = [';', '\t', '|', ','].into_iter().find(|delimiter| self.names[0].contains(*delimiter))?;
        Some(format!("the file seems to have another delimiter: call `.delimiter(b{delimiter:?})`"))
    }
}
