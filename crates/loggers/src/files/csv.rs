//! A table of metrics.

mod existing;
mod lines;
mod number;
mod row;
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

/// The file's name.
const TABLE: &str = "metrics.csv";

/// Writes metrics as a table: `save_dir/name/version/metrics.csv`, and `hparams.yaml` beside it.
///
/// * **One row per step.** Calls in a row with the same step share one row, in which several values of one name become
///   their mean, or what [`aggregate`](Self::aggregate) says; a row is closed by the first metric of another step. Saving
///   puts the open row on disk too, and later values of its step replace it there.
/// * **Columns** are `step`, `epoch`, then the others as they appear. A new column does not rewrite the table: a small file is
///   replaced as a whole; in a large one the header grows into empty lines kept behind it, and older rows stay shorter.
///   `pandas.read_csv` and Python's `csv` read both. [`finalize`](Logger::finalize) fills the rows up and takes the empty
///   lines away.
/// * **Numbers** are the shortest decimals that read back equal. A value that an `f32` can hold exactly is written as that
///   `f32`: `0.1_f32` as `0.1`. A missing value is an empty cell; `NaN`, `inf` and `-inf` are written so.
/// * **A step that is missing** is one more than the step of the last row, 0 at first, unless a metric is called `step`.
/// * **A file that is there** is continued. What a crash left of a last row is cut off. [`resume`](Logger::resume) cuts off the
///   rows and columns after a checkpoint too, so that in the end the file has the bytes of one that was never interrupted.
///
/// Memory does not grow with the number of rows. A kill at any moment leaves a readable file; rows that were not saved are
/// lost ([`Background`](crate::Background) saves all the time).
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
    /// Logs to the next version of the experiment `lightning_logs` below `save_dir`. Nothing is made yet.
    pub fn new(save_dir: impl Into<PathBuf>) -> Self {
        Self::in_dir(RunDir::new(save_dir))
    }

    /// Logs to a run's folder that other loggers may use too.
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

    /// The experiment's name, `lightning_logs` by default; see [`RunDir::with_name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.dir = self.dir.with_name(name);
        self
    }

    /// A version of one's own; see [`RunDir::with_version`].
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.dir = self.dir.with_version(version);
        self
    }

    /// Puts `prefix-` before every metric's name except `epoch`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Saves after so many rows; 0 counts as 1. Default: 100. Whoever calls [`Logger::save`] more often, as
    /// [`Background`](crate::Background) does, need not care.
    pub fn flush_logs_every_n_steps(mut self, rows: usize) -> Self {
        self.flush_every = rows.max(1);
        self
    }

    /// Whether every row goes into `metrics.jsonl` too, as one JSON object a line without the empty cells. NaN and the
    /// infinities are the texts `NaN`, `Infinity` and `-Infinity` there. Default: false.
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

    /// How several values of one name and step become one. Default: their mean, and for `epoch` the last.
    pub fn aggregate(mut self, name: impl Into<String>, reduce: Reduce) -> Self {
        self.reductions.set(name, reduce);
        self
    }

    /// As [`aggregate`](Self::aggregate) for all names that were not named there.
    pub fn aggregate_default(mut self, reduce: Reduce) -> Self {
        self.reductions.set_default(reduce);
        self
    }

    /// The run's folder.
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

    /// Empty if the run's folder cannot be made; [`Logger::open`] then says why.
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

    /// Makes the folder. A table that is there is looked at; a new one is made when there is something to write: a run that
    /// cannot begin leaves none.
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

    /// Adds to `hparams.yaml`. Initial metrics make no row: their first real values do.
    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
        self.params.update(params.clone());
        self.write_params()
    }

    fn save(&mut self) -> Result<()> {
        self.table.as_mut().map_or(Ok(()), Table::save)
    }

    /// Saves, makes all rows as long as the header, and sends the files to the store if they belong in one.
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
