//! Writes the predictions of a run to files.

mod grown;
mod progress;
mod rows;
mod table;
mod tensor_files;
mod whole;

use std::{fmt, path::PathBuf, time::Duration};

use serde::Serialize;
use stormfire_checkpoint::NamedTensors;
use stormfire_module::{
    Error, Result,
    place::EvaluationPosition,
    prediction_sink::{Predicted, PredictionRun, PredictionSink},
};
use stormfire_ranks::Shared;
use stormfire_store::is_url;

use self::{
    grown::Grown,
    rows::{Columns, Rows, Text},
    tensor_files::TensorFiles,
    whole::Whole,
};

/// When a [`PredictionWriter`] writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteInterval {
    /// While the batches are predicted. A killed prediction continues where its files end. The default.
    #[default]
    Batch,
    /// Once, after the last batch. Everything is kept in memory until then, and a killed prediction starts from
    /// scratch.
    Epoch,
}

/// Writes the predictions of `Trainer::predict_each` to a file of rows (CSV, JSON lines, Parquet) or to files of
/// tensors (safetensors), in the order of the loaders and their batches.
///
/// A function turns the prediction of a batch into rows, one for each item. A row is any serializable value: the fields
/// of a struct become columns, a list becomes `prediction_0`, `prediction_1`, …, and a single number `prediction`. Each
/// row also has the `index` of its item in the dataset, as far as the loader knows it, and with several loaders its
/// `dataloader_idx`.
///
/// ```
/// use burn::tensor::Tensor;
/// use serde::Serialize;
/// use stormfire_callbacks::PredictionWriter;
///
/// #[derive(Serialize)]
/// struct Row { class: i64, score: f32 }
///
/// let writer = PredictionWriter::csv("predictions.csv", |(classes, scores): &(Vec<i64>, Vec<f32>)| {
///     Ok(classes.iter().zip(scores).map(|(&class, &score)| Row { class, score }).collect::<Vec<_>>())
/// });
/// # drop(writer);
/// ```
///
/// # After a kill
///
/// Rows go to `predictions.csv.part`. The file gets its name when all rows are durable on the disk. At most once a
/// second ([`sync_every`](Self::sync_every)), the written rows become durable, and `predictions.csv.part.json` gets the
/// number of their batches. A prediction that starts again with the same weights, loaders, limits, precision, seed and
/// number of ranks cuts the `.part` file there, and continues with the next batch. No row is written twice, and none is
/// torn. If anything differs, or if the file is complete, it starts from scratch, with a warning in the first case.
/// Changes of the functions that make batches or rows cannot be noticed: remove the `.part` file after one. Random
/// numbers in a prediction need a seed (`Trainer::seed`) to be the same after a restart.
///
/// Tensors go to one file per batch in a folder, `0-00000012.safetensors` for batch 12 of loader 0, and the same rules
/// hold. But files of another prediction in the folder are an error.
///
/// # Ranks
///
/// Rank 0 writes all rows, in the order of the batches: those of the other ranks are gathered after each round.
/// Tensors are written by the rank that has them, so all ranks need the same folder.
///
/// # Errors
/// [`Error::Config`] or [`Error::Io`] before the first batch if the file cannot be written, or if another process is
/// writing it.
pub struct PredictionWriter<P> {
    path: PathBuf,
    format: Format<P>,
    interval: WriteInterval,
    sync_every: Duration,
    with_indices: bool,
    open: Option<Open>,
}

type ToTensors<P> = Box<dyn Fn(&P) -> Result<NamedTensors>>;

enum Format<P> {
    Rows(Rows<P>),
    Tensors(ToTensors<P>),
}

/// The files of a run that has started.
struct Open {
    sink: Sink,
    columns: Columns,
    ranks: Shared,
    /// The batches of this rank for the next round: the number of each batch, and its rows.
    round: Vec<(u64, Vec<u8>)>,
}

enum Sink {
    /// A later rank, which sends its rows to rank 0.
    Elsewhere,
    Grown(Grown),
    Whole(Whole),
    Files(TensorFiles),
}

impl<P> PredictionWriter<P> {
    /// Writes rows to a CSV file.
    pub fn csv<I: IntoIterator<Item: Serialize>>(path: impl Into<PathBuf>, rows: impl Fn(&P) -> Result<I> + 'static) -> Self {
        Self::new(path, Format::Rows(Rows::new(Text::Csv, rows)))
    }

    /// Writes rows as JSON, one object per line. Floats that are not finite become the strings `"NaN"`, `"inf"` and
    /// `"-inf"`.
    pub fn json_lines<I: IntoIterator<Item: Serialize>>(path: impl Into<PathBuf>, rows: impl Fn(&P) -> Result<I> + 'static) -> Self {
        Self::new(path, Format::Rows(Rows::new(Text::JsonLines, rows)))
    }

    /// Writes rows to a Parquet file, which pandas, polars and `DuckDB` read. The fields of a row are numbers, texts,
    /// booleans, or options of them.
    ///
    /// Rows go to `predictions.parquet.part` as JSON lines first, because the types of all columns are known at the
    /// end.
    pub fn parquet<I: IntoIterator<Item: Serialize>>(path: impl Into<PathBuf>, rows: impl Fn(&P) -> Result<I> + 'static) -> Self {
        Self::new(path, Format::Rows(Rows::new(Text::Parquet, rows)))
    }

    /// Writes named tensors: one safetensors file per batch into a folder, or with [`WriteInterval::Epoch`] one file,
    /// in which the tensors of all batches are joined along their first dimension.
    pub fn safetensors(path: impl Into<PathBuf>, tensors: impl Fn(&P) -> Result<NamedTensors> + 'static) -> Self {
        Self::new(path, Format::Tensors(Box::new(tensors)))
    }

    fn new(path: impl Into<PathBuf>, format: Format<P>) -> Self {
        let (interval, sync_every) = (WriteInterval::default(), Duration::from_secs(1));
        Self { path: path.into(), format, interval, sync_every, with_indices: true, open: None }
    }

    /// When to write. Default: while the batches are predicted.
    pub fn interval(mut self, interval: WriteInterval) -> Self {
        self.interval = interval;
        self
    }

    /// The least time between two moments at which the written rows become durable. Zero: after every batch. Default:
    /// one second.
    pub fn sync_every(mut self, time: Duration) -> Self {
        self.sync_every = time;
        self
    }

    /// Whether rows have the `index` of their item. Use `false` if a batch has not as many rows as items. Default
    /// `true`.
    pub fn indices(mut self, on: bool) -> Self {
        self.with_indices = on;
        self
    }

    fn is_table(&self) -> bool {
        matches!(&self.format, Format::Rows(rows) if rows.text() == Text::Parquet)
    }

    fn check_path(&self) -> Result<()> {
        let refuse = |reason: String, hint: &str| Err(Error::config("PredictionWriter", reason, hint));
        let shown = self.path.display();
        if is_url(&self.path) {
            return refuse(format!("`{shown}` is a URL, and rows are appended"), "write to a disk, and copy the file afterwards");
        }
        let needs_folder = matches!(self.format, Format::Tensors(_)) && self.interval == WriteInterval::Batch;
        match self.path.is_dir() {
            true if !needs_folder => refuse(format!("`{shown}` is a folder"), "give the name of a file"),
            false if needs_folder && self.path.exists() => refuse(format!("`{shown}` is a file"), "give the name of a folder"),
            _ => Ok(()),
        }
    }

    /// The identity of a prediction and of its output format.
    fn identity(&self, run: &PredictionRun<'_>) -> Result<String> {
        let format = match &self.format {
            Format::Rows(rows) => format!("{:?}", rows.text()),
            Format::Tensors(_) => "Tensors".to_owned(),
        };
        Ok(format!("{}; format {format}, indices {}", run.identity()?, self.with_indices))
    }

    fn opened(&self, run: &PredictionRun<'_>) -> Result<(Sink, Columns, EvaluationPosition)> {
        let columns = Columns::new(self.with_indices, run.num_dataloaders > 1);
        let begin = EvaluationPosition::default();
        Ok(match (&self.format, self.interval) {
            (Format::Tensors(_), WriteInterval::Batch) => {
                // Rank 0 makes the folder.
                let opened = if run.ranks.is_global_zero() {
                    Some(TensorFiles::open(&self.path, self.identity(run)?, self.sync_every)?)
                } else {
                    None
                };
                run.ranks.barrier()?;
                match opened {
                    Some((files, position)) => (Sink::Files(files), columns, position),
                    None => (Sink::Files(TensorFiles::of_later_rank(&self.path)), columns, begin),
                }
            }
            _ if !run.ranks.is_global_zero() => (Sink::Elsewhere, columns, begin),
            (_, WriteInterval::Epoch) => (Sink::Whole(Whole::open(&self.path, self.is_table())?), columns, begin),
            (Format::Rows(_), WriteInterval::Batch) => {
                let (grown, columns, position) = Grown::open((&self.path, self.is_table()), self.identity(run)?, self.sync_every, columns)?;
                (Sink::Grown(grown), columns, position)
            }
        })
    }
}

impl<P> PredictionSink<P> for PredictionWriter<P> {
    fn start(&mut self, run: &PredictionRun<'_>) -> Result<EvaluationPosition> {
        self.open = None;
        self.check_path()?;
        let (sink, columns, position) = self.opened(run)?;
        self.open = Some(Open { sink, columns, ranks: run.ranks.clone(), round: Vec::new() });
        Ok(position)
    }

    fn take(&mut self, predicted: Predicted<P>) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let batch = predicted.batch_idx as u64;
        match (&self.format, &mut open.sink) {
            (Format::Rows(rows), _) => {
                let text = rows.render(&predicted, &mut open.columns)?;
                open.round.push((batch, text));
            }
            (Format::Tensors(tensors), Sink::Files(files)) => {
                files.write(predicted.dataloader_idx, predicted.batch_idx, &tensors(&predicted.prediction)?)?;
            }
            (Format::Tensors(tensors), _) => {
                open.round.push((batch, tensor_files::to_bytes(&tensors(&predicted.prediction)?)?));
            }
        }
        Ok(())
    }

    fn reached(&mut self, position: EvaluationPosition) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if let Sink::Files(files) = &mut open.sink {
            // The note is about the files of all ranks.
            open.ranks.barrier()?;
            return files.reached(position);
        }
        let Some((header, round)) = gathered(&open.ranks, open.columns.header(), std::mem::take(&mut open.round))? else { return Ok(()) };
        open.columns.agree(header)?;
        match &mut open.sink {
            Sink::Grown(grown) => grown.add(&open.columns, round.iter().map(|(_, rows)| rows.as_slice()), position),
            Sink::Whole(whole) if matches!(self.format, Format::Rows(_)) => {
                for (_, rows) in &round {
                    whole.add_rows(&open.columns, rows);
                }
                Ok(())
            }
            Sink::Whole(whole) => round.iter().try_for_each(|(_, tensors)| whole.add_tensors(tensors)),
            Sink::Elsewhere | Sink::Files(_) => Ok(()),
        }
    }

    fn finish(&mut self) -> Result<()> {
        match self.open.take().map(|open| open.sink) {
            Some(Sink::Grown(grown)) => grown.finish(),
            Some(Sink::Whole(whole)) => whole.finish(),
            Some(Sink::Files(files)) => files.finish(),
            Some(Sink::Elsewhere) | None => Ok(()),
        }
    }
}

/// The parts of all ranks in the order of their batches, and the header that any of them knows. `None` on later ranks.
type Gathered = Option<(Vec<String>, Vec<(u64, Vec<u8>)>)>;

fn gathered(ranks: &Shared, header: Option<&str>, own: Vec<(u64, Vec<u8>)>) -> Result<Gathered> {
    if ranks.world() == 1 {
        return Ok(Some((Vec::new(), own)));
    }
    let bytes = serde_json::to_vec(&(header, own)).map_err(Error::other)?;
    let Some(all) = ranks.gather(bytes)? else { return Ok(None) };
    let (mut headers, mut round) = (Vec::new(), Vec::new());
    for bytes in all {
        let (header, part): (Option<String>, Vec<(u64, Vec<u8>)>) = serde_json::from_slice(&bytes).map_err(Error::other)?;
        headers.extend(header);
        round.extend(part);
    }
    round.sort_by_key(|(batch, _)| *batch);
    Ok(Some((headers, round)))
}

impl<P> fmt::Debug for PredictionWriter<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PredictionWriter").field("path", &self.path).field("interval", &self.interval).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
