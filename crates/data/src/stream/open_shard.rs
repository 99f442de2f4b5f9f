use std::{io::BufRead, path::Path, sync::Arc};

use flate2::bufread::MultiGzDecoder;
use stormfire_store::files;

use super::{
    csv_rows::{CsvOptions, CsvRows},
    json_lines::JsonLines,
    parquet_rows::ParquetRows,
    record::{Format, Record, Records},
    tar_samples::TarSamples,
};
use crate::{BoxError, Error, Result};

/// An open shard.
pub(super) struct OpenShard {
    path: Arc<Path>,
    records: Box<dyn Records>,
    /// The number of records that were read.
    pub(super) number: usize,
    #[cfg(test)]
    alive: Arc<()>,
}

impl OpenShard {
    pub(super) fn open(path: &Arc<Path>, format: Format, csv: &CsvOptions, #[cfg(test)] alive: Arc<()>) -> Result<Self> {
        let unreadable = |cause: BoxError| Error::DataFile { path: path.to_path_buf(), at: None, cause };
        if format == Format::Parquet {
            let records = Box::new(ParquetRows::open(path).map_err(unreadable)?);
            return Ok(Self {
                path: path.clone(),
                records,
                number: 0,
                #[cfg(test)]
                alive,
            });
        }
        let (reader, _) = files::open(path).map_err(|cause| unreadable(cause.into()))?;
        let is_packed = path.extension().is_some_and(|name| name.eq_ignore_ascii_case("gz") || name.eq_ignore_ascii_case("tgz"));
        let reader: Box<dyn BufRead + Send> =
            if is_packed { Box::new(std::io::BufReader::new(MultiGzDecoder::new(reader))) } else { reader };
        let records: Box<dyn Records> = match format {
            Format::Tar => Box::new(TarSamples::new(reader)),
            Format::JsonLines => Box::new(JsonLines::new(reader)),
            Format::Csv | Format::Parquet => Box::new(CsvRows::new(reader, path, csv)),
        };
        Ok(Self {
            path: path.clone(),
            records,
            number: 0,
            #[cfg(test)]
            alive,
        })
    }

    /// The number of records, if the shard says it.
    pub(super) fn count(&self) -> Option<usize> {
        self.records.count()
    }

    pub(super) fn next(&mut self) -> Result<Option<Record>> {
        let number = self.number;
        let raw = self.records.next();
        let place = self.records.place();
        let Some(raw) = raw.map_err(|cause| place.error(&self.path, number, cause))? else { return Ok(None) };
        self.number += 1;
        Ok(Some(Record {
            shard: self.path.clone(),
            number,
            place,
            raw,
            #[cfg(test)]
            _alive: self.alive.clone(),
        }))
    }
}
