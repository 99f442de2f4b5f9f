use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use burn::data::dataset::InMemDataset;
use serde::de::DeserializeOwned;
use stormfire_store::{files, on_disk};

use super::{
    csv_rows::{self, CsvOptions},
    open_shard::OpenShard,
    parquet_rows,
    record::{Format, Raw, Record, Sample},
};
use crate::{BoxError, Error, Result, source::panic_message};

/// A dataset in several files, its shards, which are read from the first to the last record, for
/// [`Loader::stream`](crate::Loader::stream).
///
/// A shard is on a disk, or with the cargo feature `remote` in a store (`s3://bucket/train-0001.tar`). A name that ends
/// with `.gz` or `.tgz` is unpacked.
///
/// | made by | a record is |
/// |---|---|
/// | [`tar`](Self::tar) | the files with one name up to its first dot ([`Sample`]), as `webdataset` names them |
/// | [`json_lines`](Self::json_lines) | a line |
/// | [`csv`](Self::csv) | a row below the header |
/// | [`parquet`](Self::parquet) | a row of a table |
///
/// A shard that is missing, damaged or truncated is [`Error::DataFile`], which names it and the place in it.
pub struct Shards<I> {
    pub(super) files: Arc<ShardFiles>,
    decode: Arc<dyn Fn(Raw) -> Result<I, BoxError> + Send + Sync>,
    pub(super) buffer: usize,
}

/// The files, without what their records mean.
pub(super) struct ShardFiles {
    pub(super) paths: Vec<Arc<Path>>,
    format: Format,
    csv: CsvOptions,
    /// The number of records of each shard.
    pub(super) counts: Option<Vec<usize>>,
    /// Those that this process has learned by reading, which a start in the middle of an epoch need not read again.
    learned: Mutex<Vec<Option<usize>>>,
    #[cfg(test)]
    pub(super) alive: Arc<()>,
}

impl Shards<Sample> {
    /// Tar archives of files. Consecutive files with the same name up to the first dot are one sample.
    pub fn tar(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let decode = |raw| match raw {
            Raw::Sample(sample) => Ok(sample),
            _ => Err("not a sample".into()),
        };
        Self::new(paths, Format::Tar, decode)
    }
}

impl<T: DeserializeOwned> Shards<T> {
    /// Files with one JSON value in each line.
    pub fn json_lines(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let decode = |raw| match raw {
            Raw::Line(line) => serde_json::from_str(&line).map_err(|error| {
                let text = error.to_string();
                text.replace(" at line 1 column ", " at column ").into()
            }),
            _ => Err("not a line".into()),
        };
        Self::new(paths, Format::JsonLines, decode)
    }
}

impl<T: DeserializeOwned> Shards<T> {
    /// CSV files with a header line. A struct takes the columns by their names. An empty field is `None` in a field of
    /// the type `Option`, and other columns are ignored. If an `Option` field has no column, that is a warning.
    ///
    /// A file `.tsv` or `.tsv.gz` is separated by tabs, others by commas; see [`delimiter`](Self::delimiter). Words for
    /// missing values are declared with [`missing`](Self::missing).
    pub fn csv(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let decode = |raw| match raw {
            Raw::Row(row, columns) => csv_rows::decode(&row, &columns),
            _ => Err("not a row".into()),
        };
        Self::new(paths, Format::Csv, decode)
    }
}

impl<T: DeserializeOwned> Shards<T> {
    /// Parquet files, as pandas, pyarrow, `DuckDB` and Hugging Face write them: columns of numbers, strings, bytes,
    /// structs, and lists of numbers or strings; without compression, or with Snappy or gzip. Other files are errors
    /// that name what is not supported. A struct takes the columns by their names.
    pub fn parquet(paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let decode = |raw| match raw {
            Raw::Table(row, columns) => parquet_rows::decode(row, &columns),
            _ => Err("not a row of a table".into()),
        };
        Self::new(paths, Format::Parquet, decode)
    }
}

impl<I> Shards<I> {
    fn new(
        paths: impl IntoIterator<Item = impl Into<PathBuf>>,
        format: Format,
        decode: impl Fn(Raw) -> Result<I, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let paths: Vec<Arc<Path>> = paths.into_iter().map(|path| Arc::from(path.into())).collect();
        let learned = Mutex::new(vec![None; paths.len()]);
        let files = ShardFiles {
            paths,
            format,
            csv: CsvOptions::default(),
            counts: None,
            learned,
            #[cfg(test)]
            alive: Arc::default(),
        };
        Self { files: Arc::new(files), decode: Arc::new(decode), buffer: 1000 }
    }

    /// Converts each record, for example by decoding an image. It runs on the workers of the loader. Its error is
    /// [`Error::DataFile`], which names the shard and the record.
    pub fn try_map<J>(self, map: impl Fn(I) -> Result<J, BoxError> + Send + Sync + 'static) -> Shards<J>
    where
        I: 'static,
    {
        let decode = self.decode;
        Shards { files: self.files, decode: Arc::new(move |raw| map(decode(raw)?)), buffer: self.buffer }
    }

    /// The character between the columns of CSV files. Default: a tab in files `.tsv` and `.tsv.gz`, a comma in others.
    ///
    /// ```no_run
    /// # #[derive(serde::Deserialize)]
    /// # struct House;
    /// let houses = stormfire_data::Shards::<House>::csv(["houses.csv"]).delimiter(b';').missing(["NA"]).read()?;
    /// # Ok::<(), stormfire_data::Error>(())
    /// ```
    #[must_use]
    pub fn delimiter(self, delimiter: u8) -> Self {
        self.with_files(|files| files.csv.delimiter = Some(delimiter))
    }

    /// Fields of CSV files with exactly one of these texts, such as `NA`, are read as empty fields: they are `None` in
    /// fields of the type `Option`.
    #[must_use]
    pub fn missing(self, texts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.with_files(|files| files.csv.missing = texts.into_iter().map(Into::into).collect())
    }

    /// The records of the shuffle buffer (default 1000). With `shuffle(true)`, the order of the shards is drawn for
    /// each epoch, and so is the order of the records within each stretch of this length. The buffer is in memory.
    #[must_use]
    pub fn shuffle_buffer(mut self, records: usize) -> Self {
        self.buffer = records;
        self
    }

    /// Reads all records into memory, in the order of the shards, as a dataset for [`Loader::new`](crate::Loader::new)
    /// or [`Loader::collate`](crate::Loader::collate).
    ///
    /// ```no_run
    /// use stormfire_data::{Loader, Shards, split_files};
    ///
    /// #[derive(Clone, serde::Deserialize)]
    /// struct Message {
    ///     text: String,
    ///     is_spam: bool,
    /// }
    ///
    /// let messages = Shards::<Message>::csv(split_files("data/spam", "train")?).read()?;
    /// let loader = Loader::collate(messages, |messages, _device| messages).batch_size(32).shuffle(true);
    /// # Ok::<(), stormfire_data::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::DataFile`] for a file or a record that cannot be read.
    pub fn read(&self) -> Result<InMemDataset<I>> {
        let mut items = Vec::new();
        for shard in 0..self.files.paths.len() {
            let mut open = self.files.open(shard)?;
            while let Some(record) = open.next()? {
                items.push(self.decode(record)?);
            }
        }
        Ok(InMemDataset::new(items))
    }

    /// Reads all shards once and counts their records. A Parquet file says how many it has. Then the length of the
    /// loader is known, several ranks can share it, and a resume skips whole shards.
    ///
    /// # Errors
    /// [`Error::DataFile`] for a shard that cannot be read to its end.
    pub fn counted(self) -> Result<Self> {
        let mut counts = Vec::with_capacity(self.files.paths.len());
        for shard in 0..self.files.paths.len() {
            let mut open = self.files.open(shard)?;
            if let Some(count) = open.count() {
                counts.push(count);
                continue;
            }
            while open.next()?.is_some() {}
            counts.push(open.number);
        }
        Ok(self.with_counts(counts))
    }

    /// Like [`counted`](Self::counted), with counts that are known: one for each shard. A shard that has another number
    /// of records is [`Error::DataFile`] when it is read.
    #[must_use]
    pub fn with_counts(self, counts: impl IntoIterator<Item = usize>) -> Self {
        self.with_files(|files| files.counts = Some(counts.into_iter().collect()))
    }

    /// The same files with another option.
    fn with_files(mut self, change: impl FnOnce(&mut ShardFiles)) -> Self {
        let old = &self.files;
        let mut files = ShardFiles {
            paths: old.paths.clone(),
            format: old.format,
            csv: old.csv.clone(),
            counts: old.counts.clone(),
            learned: Mutex::new(vec![None; old.paths.len()]),
            #[cfg(test)]
            alive: old.alive.clone(),
        };
        change(&mut files);
        self.files = Arc::new(files);
        self
    }

    /// The number of records of each shard, if they were counted.
    pub fn counts(&self) -> Option<&[usize]> {
        self.files.counts.as_deref()
    }

    pub(super) fn decode(&self, record: Record) -> Result<I> {
        let Record { shard, number, place, raw, .. } = record;
        let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.decode)(raw)));
        decoded.unwrap_or_else(|payload| Err(panic_message(payload.as_ref()).into())).map_err(|cause| place.error(&shard, number, cause))
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.buffer == 0 {
            return Err(Error::InvalidOption { option: "shuffle_buffer", value: 0 });
        }
        self.files.check()
    }
}

impl<I> Clone for Shards<I> {
    fn clone(&self) -> Self {
        Self { files: self.files.clone(), decode: self.decode.clone(), buffer: self.buffer }
    }
}

impl<I> fmt::Debug for Shards<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("paths", &self.files.paths).field("counts", &self.files.counts).finish_non_exhaustive()
    }
}

impl ShardFiles {
    pub(super) fn open(&self, shard: usize) -> Result<OpenShard> {
        self.check_csv()?;
        OpenShard::open(
            &self.paths[shard],
            self.format,
            &self.csv,
            #[cfg(test)]
            self.alive.clone(),
        )
    }

    /// The number of records of a shard, if it is known.
    pub(super) fn count(&self, shard: usize) -> Option<usize> {
        match &self.counts {
            Some(counts) => counts.get(shard).copied(),
            None => self.learned.lock().unwrap_or_else(PoisonError::into_inner)[shard],
        }
    }

    /// Takes note of the number of records of a shard that was read to its end.
    pub(super) fn learn(&self, shard: usize, records: usize) -> Result<()> {
        match self.count(shard) {
            Some(known) if known != records => {
                let cause = match records {
                    more if more > known => format!("it has more records than the {known} that were counted"),
                    fewer => format!("it has {fewer} records, and {known} were counted"),
                };
                Err(Error::DataFile { path: self.paths[shard].to_path_buf(), at: None, cause: cause.into() })
            }
            _ => {
                self.learned.lock().unwrap_or_else(PoisonError::into_inner)[shard] = Some(records);
                Ok(())
            }
        }
    }

    /// The number of records of all shards, if it is known.
    pub(super) fn records(&self) -> Option<usize> {
        self.counts.as_ref().map(|counts| counts.iter().sum())
    }

    fn check_csv(&self) -> Result<()> {
        let CsvOptions { delimiter, missing } = &self.csv;
        if self.format != Format::Csv && (delimiter.is_some() || !missing.is_empty()) {
            return Err(Error::other("`delimiter` and `missing` are options of CSV files, which these shards are not"));
        }
        match delimiter {
            Some(delimiter) if !delimiter.is_ascii() || b"\"\r\n".contains(delimiter) => {
                Err(Error::other(format!("the delimiter of CSV files cannot be `b{:?}`", char::from(*delimiter))))
            }
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<()> {
        self.check_csv()?;
        if let Some(counts) = &self.counts
            && counts.len() != self.paths.len()
        {
            return Err(Error::other(format!("there are {} counts for {} shards", counts.len(), self.paths.len())));
        }
        if self.paths.is_empty() {
            return Err(Error::Empty { reason: "there are no shards".to_owned() });
        }
        // A file on a disk is checked before the first epoch, not when it has its turn. A store would need a request
        // each.
        let missing = self.paths.iter().find(|path| on_disk(path).is_some_and(|path| !path.is_file()));
        match missing {
            Some(path) => Err(Error::DataFile { path: path.to_path_buf(), at: None, cause: "there is no such file".into() }),
            None => Ok(()),
        }
    }
}

/// The paths of shards.
///
/// | `pattern` | paths |
/// |---|---|
/// | `data/train-{000..015}.tar` | the sixteen names. The first number gives the width |
/// | a folder, also in a store | its files, ordered by name. Hidden files and folders are left out |
/// | anything else | itself |
///
/// ```
/// let paths = stormfire_data::shard_paths("data/train-{08..10}.tar")?;
/// let names: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
/// assert_eq!(names, ["data/train-08.tar", "data/train-09.tar", "data/train-10.tar"]);
/// # Ok::<(), stormfire_data::Error>(())
/// ```
///
/// # Errors
/// A folder that cannot be listed. [`Error::Empty`] if it has no files, or a range has no numbers.
pub fn shard_paths(pattern: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let path = pattern.as_ref();
    if let Some(paths) = path.to_str().and_then(braces) {
        if paths.is_empty() {
            return Err(Error::Empty { reason: format!("there are no numbers in the range of `{}`", path.display()) });
        }
        return Ok(paths);
    }
    let is_folder = match on_disk(path) {
        Some(path) => path.is_dir(),
        None => path.extension().is_none(),
    };
    if !is_folder {
        return Ok(vec![path.to_owned()]);
    }
    let entries = files::list(path).map_err(Error::other)?;
    let is_hidden = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let mut paths: Vec<_> =
        entries.into_iter().filter(|entry| !entry.is_folder && !is_hidden(&entry.path)).map(|entry| entry.path).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(Error::Empty { reason: format!("there are no files in `{}`", path.display()) });
    }
    Ok(paths)
}

/// The paths of a pattern with a range in braces.
fn braces(pattern: &str) -> Option<Vec<PathBuf>> {
    let (before, rest) = pattern.split_once('{')?;
    let (range, after) = rest.split_once('}')?;
    let (first, last) = range.split_once("..")?;
    let (from, to): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    let width = first.len();
    Some((from..=to).map(|number| PathBuf::from(format!("{before}{number:0width$}{after}"))).collect())
}
