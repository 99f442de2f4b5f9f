//! The metrics of all folds.

use std::{fmt, path::Path};

use comfy_table::Table as Shown;
use serde_json::Value;
use stormfire_loggers::{Metrics, Table};
use stormfire_module::Result;
use stormfire_trainer::for_tuner::{STYLE, format_value};

use crate::tables::{cell, write_csv};

/// The file of all folds.
pub(super) const RESULT: &str = "folds.csv";

/// The metrics of each fold, with mean and deviation. `Display` is a table of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoldScores {
    folds: Vec<Metrics>,
}

impl FoldScores {
    pub(super) fn new(folds: Vec<Metrics>) -> Self {
        Self { folds }
    }

    /// The metrics of each fold.
    pub fn folds(&self) -> &[Metrics] {
        &self.folds
    }

    /// The names of the metrics that every fold has.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let first = self.folds.first().into_iter().flat_map(Metrics::iter).map(|(name, _)| name);
        first.filter(|name| self.folds.iter().all(|fold| fold.contains(name)))
    }

    fn values(&self, name: &str) -> Option<Vec<f64>> {
        self.folds.iter().map(|fold| fold.get(name)).collect::<Option<Vec<f64>>>().filter(|values| !values.is_empty())
    }

    /// The mean of a metric. `None` if a fold lacks it.
    pub fn mean(&self, name: &str) -> Option<f64> {
        let values = self.values(name)?;
        Some(values.iter().sum::<f64>() / values.len() as f64)
    }

    /// The sample standard deviation of a metric, with `k - 1` in the divisor. `None` if a fold lacks it. NaN for one
    /// fold.
    pub fn deviation(&self, name: &str) -> Option<f64> {
        let (values, mean) = (self.values(name)?, self.mean(name)?);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Some(if values.len() < 2 { f64::NAN } else { (squares / (values.len() - 1) as f64).sqrt() })
    }

    /// One row for each metric: its name, mean, deviation, and its value in each fold.
    ///
    /// # Errors
    /// None is known.
    pub fn table(&self) -> Result<Table> {
        let columns = ["metric", "mean", "deviation"].map(String::from).into_iter();
        let table = Table::new(columns.chain((0..self.folds.len()).map(|number| format!("fold_{number}"))));
        let row = |table: Table, name: &str| {
            let both = [self.mean(name), self.deviation(name)].map(|value| value.map_or(Value::Null, cell));
            let values = self.values(name).unwrap_or_default().into_iter().map(cell);
            table.row([Value::from(name)].into_iter().chain(both).chain(values))
        };
        Ok(self.names().try_fold(table, row)?)
    }

    /// Writes the file of all folds.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_csv(&folder.join(RESULT), &self.table()?)
    }
}

impl fmt::Display for FoldScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Shown::new();
        table.load_style(STYLE);
        table.set_header(["metric".to_owned(), format!("mean ± deviation of {} folds", self.folds.len())]);
        for name in self.names() {
            let [mean, deviation] = [self.mean(name), self.deviation(name)].map(|value| format_value(value.unwrap_or(f64::NAN)));
            table.add_row([name.to_owned(), format!("{mean} ± {deviation}")]);
        }
        write!(f, "{table}")
    }
}
