//! Metrics as a table.

mod existing;
mod lines;
mod row;
mod short_decimal;
mod table;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use table::Table;

use crate::logger::LONGEST_CALL;
use crate::parts::position;
use crate::parts::reductions::Reductions;
use crate::{Hyperparams, Logger, Metrics, Reduce, Result, RunDir, Status};

/// The name of the file.
const TABLE: &str = "metrics.csv";

/// Writes metrics as a table, `save_dir/name/version/metrics.csv`, and `hparams.yaml` in the same folder.
///
/// * **One row per step.** Consecutive calls with the same step share a row. Several values of one name are reduced to
///   their mean, or as set by [`aggregate`](Self::aggregate). The first metric of another step closes the row. Saving
///   also writes the open row to the disk. Later values of its step replace it there.
/// * **Columns** are `step`, `epoch`, then the others in order of appearance. A new column replaces a small file as a
///   whole. In a large file, the header grows into reserved empty lines after it, and older rows stay shorter.
///   `pandas.read_csv` and Python's `csv` read both. [`finalize`](Logger::finalize) fills up the rows and removes the
///   empty lines.
/// * **Numbers** are the shortest decimals that read back equal. A value that an `f32` represents exactly is written as
///   that `f32`: `0.1_f32` as `0.1`. A missing value is an empty cell. Non-finite values are `NaN`, `inf` and `-inf`.
/// * **A missing step** is the value of a metric named `step`, or else one more than the step of the last row, starting
///   at 0.
/// * **An existing file** is continued. An incomplete last row, left by a crash, is removed. [`resume`](Logger::resume)
///   also removes the rows and columns after a checkpoint, so that the final file has the same bytes as one of an
///   uninterrupted run.
///
/// Memory does not grow with the number of rows. A kill at any moment leaves a readable file. Unsaved rows are lost
/// ([`Background`](crate::Background) saves about once a second).
///
/// ```
/// use stormfire_loggers::{CsvLogger, Logger};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut logger = CsvLogger::new(folder).name("mnist").version("first");
/// logger.log_metrics(&[("loss", 0.5), ("epoch", 0.0)].into(), Some(49))?;
/// logger.log_metrics(&[("val_loss", 0.75)].into(), Some(49))?;
/// logger.log_metrics(&[("loss", 0.25)].into(), Some(99))?;
/// logger.save()?;
/// let table = std::fs::read_to_string(folder.join("mnist/first/metrics.csv"))?;
/// assert_eq!(table, "step,epoch,loss,val_loss\n49,0,0.5,0.75\n99,,0.25,\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CsvLogger {
    dir: RunDir,
    prefix: String,
    flush_every: usize,
    jsonl: bool,
    reductions: Reductions,
    params: Hyperparams,
    table: Option<Table>,
}

/// See [`Logger::position`].
#[derive(Serialize, Deserialize)]
struct Position {
    table: table::Position,
    hparams: Hyperparams,
}

impl CsvLogger {
    /// Logs to the next version of the experiment `lightning_logs` below `save_dir`. Creates no folder yet.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(RunDir::new(save_dir))
    }

    /// Logs to the folder of a run. Other loggers may use the same folder.
    pub fn in_dir(dir: RunDir) -> Self {
        Self {
            dir,
            prefix: String::new(),
            flush_every: 100,
            jsonl: false,
            reductions: Reductions::default(),
            params: Hyperparams::new(),
            table: None,
        }
    }

    /// Sets the name of the experiment. Default: `lightning_logs`. See [`RunDir::with_name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.dir = self.dir.with_name(name);
        self
    }

    /// Sets a custom version. See [`RunDir::with_version`].
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.dir = self.dir.with_version(version);
        self
    }

    /// Puts `prefix-` before every metric's name except `epoch`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Number of rows between saves. 0 counts as 1. Default: 100. It has little effect if [`Logger::save`] is called
    /// more often, as [`Background`](crate::Background) does.
    pub fn flush_logs_every_n_steps(mut self, rows: usize) -> Self {
        self.flush_every = rows.max(1);
        self
    }

    /// Whether to also write every row to `metrics.jsonl`, as one JSON object per line without the empty cells. The
    /// non-finite values are the strings `NaN`, `Infinity` and `-Infinity`. Default: false.
    ///
    /// ```
    /// use stormfire_loggers::{CsvLogger, Logger};
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path();
    /// let mut logger = CsvLogger::new(folder).name("").version("run").jsonl(true);
    /// logger.log_metrics(&[("loss", 0.5)].into(), Some(0))?;
    /// logger.log_metrics(&[("acc", 0.25)].into(), Some(1))?;
    /// logger.save()?;
    /// let lines = std::fs::read_to_string(folder.join("run/metrics.jsonl"))?;
    /// assert_eq!(lines, "{\"step\":0,\"loss\":0.5}\n{\"step\":1,\"acc\":0.25}\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn jsonl(mut self, jsonl: bool) -> Self {
        self.jsonl = jsonl;
        self
    }

    /// Sets how several values of one name and step are reduced. Default: the mean, and the last value for `epoch`.
    pub fn aggregate(mut self, name: impl Into<String>, reduce: Reduce) -> Self {
        self.reductions.set(name, reduce);
        self
    }

    /// As [`aggregate`](Self::aggregate), for all names without their own setting.
    pub fn aggregate_default(mut self, reduce: Reduce) -> Self {
        self.reductions.set_default(reduce);
        self
    }

    /// The folder of the run.
    pub fn run_dir(&self) -> &RunDir {
        &self.dir
    }

    fn write_params(&self) -> Result<()> {
        self.params.write_yaml(&self.dir.log_dir()?.join("hparams.yaml"))
    }

    fn table(&mut self) -> Result<&mut Table> {
        let table = if let Some(table) = self.table.take() {
            table
        } else {
            let folder = self.dir.log_dir()?;
            let table = Table::open(&folder.join(TABLE), &self.prefix, &self.reductions)?;
            if self.jsonl { table.with_lines(&folder.join("metrics.jsonl"))? } else { table }
        };
        Ok(self.table.insert(table))
    }
}

impl Logger for CsvLogger {
    fn name(&self) -> &str {
        self.dir.name()
    }

    /// Empty if the folder of the run cannot be created. [`Logger::open`] then returns the error.
    fn version(&self) -> String {
        self.dir.version().unwrap_or_default().to_owned()
    }

    fn save_dir(&self) -> Option<PathBuf> {
        Some(self.dir.save_dir().to_owned())
    }

    fn longest_call(&self) -> Duration {
        LONGEST_CALL + self.dir.upload_patience()
    }

    fn log_dir(&self) -> Option<PathBuf> {
        self.dir.log_dir().ok().map(Path::to_owned)
    }

    fn run_dir_mut(&mut self) -> Option<&mut RunDir> {
        Some(&mut self.dir)
    }

    fn log_dirs(&self) -> Result<Option<Vec<PathBuf>>> {
        self.dir.log_dirs().map(Some)
    }

    fn another(&self) -> Option<Box<dyn Logger>> {
        let Self { dir, prefix, flush_every, jsonl, reductions, .. } = self;
        let (prefix, reductions) = (prefix.clone(), reductions.clone());
        Some(Box::new(Self { prefix, flush_every: *flush_every, jsonl: *jsonl, reductions, ..Self::in_dir(dir.another()) }))
    }

    /// Creates the folder and checks an existing table. A new table is created with its first row, so a run that fails
    /// to start leaves none.
    fn open(&mut self) -> Result<()> {
        let is_there = self.dir.log_dir()?.join(TABLE).exists();
        if is_there { self.table().map(drop) } else { Ok(()) }
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        let flush_every = self.flush_every;
        let table = self.table()?;
        table.log(metrics, step);
        if table.is_due(flush_every) { table.save() } else { Ok(()) }
    }

    /// Adds to `hparams.yaml`. Initial metrics make no row, because their first real values will.
    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
        self.params.update(params.clone());
        self.write_params()
    }

    fn save(&mut self) -> Result<()> {
        self.table.as_mut().map_or(Ok(()), Table::save)
    }

    /// Saves, makes all rows as long as the header, and uploads the files if `save_dir` is the URL of a store.
    fn finalize(&mut self, status: Status) -> Result<()> {
        if status != Status::Failed {
            self.table()?;
        }
        self.table.as_mut().map_or(Ok(()), Table::tidy)?;
        self.dir.upload();
        Ok(())
    }

    fn position(&mut self) -> Result<Value> {
        position::save(&Position { table: self.table()?.position()?, hparams: self.params.clone() })
    }

    fn resume(&mut self, position: Value) -> Result<()> {
        let Some(Position { table, hparams }) = position::load(position, self.dir.log_dir()?) else { return Ok(()) };
        self.table()?.resume(&table)?;
        self.params = hparams;
        if self.params.is_empty() { Ok(()) } else { self.write_params() }
    }
}
