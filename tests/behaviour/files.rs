//! Strict readers for the files of a run, independent of Stormfire.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use prost::Message;

/// The rows of a `metrics.csv`, each with a cell for every column.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    /// The cells of a column that are not empty.
    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let index = self.columns.iter().position(|column| column == name).unwrap_or_else(|| panic!("no `{name}` in {:?}", self.columns));
        self.rows.iter().map(|row| row[index].as_str()).filter(|cell| !cell.is_empty()).collect()
    }

    pub(crate) fn steps(&self) -> Vec<u64> {
        self.column("step").into_iter().map(|step| step.parse().unwrap()).collect()
    }
}

/// A finalized table: all rows have the same length.
#[track_caller]
pub(crate) fn read_csv(run: &Path) -> Table {
    table(run, false)
}

/// The table of a killed run. Later columns make older rows shorter.
#[track_caller]
pub(crate) fn read_csv_of_the_killed(run: &Path) -> Table {
    table(run, true)
}

#[track_caller]
fn table(run: &Path, flexible: bool) -> Table {
    let mut reader = csv::ReaderBuilder::new().flexible(flexible).from_path(run.join("metrics.csv")).unwrap();
    let columns: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
    let rows: Vec<Vec<String>> = reader.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect();
    assert!(rows.iter().all(|row| row.len() <= columns.len()), "{rows:?}");
    for cell in rows.iter().flatten().filter(|cell| !cell.is_empty()) {
        cell.parse::<f64>().unwrap_or_else(|_| panic!("`{cell}` is not a number"));
    }
    let fill = |mut row: Vec<String>| {
        row.resize(columns.len(), String::new());
        row
    };
    Table { rows: rows.into_iter().map(fill).collect(), columns }
}

/// The fields of `TensorBoard`'s messages that the tests read.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    scalar: Option<f32>,
}

/// The content of an event file: step, tag, and the bits of the value if it is a scalar.
pub(crate) type Events = Vec<(i64, String, Option<u32>)>;

/// The events of the only event file of a finished run.
#[track_caller]
pub(crate) fn read_events(run: &Path) -> Events {
    events_of_the_ended(&event_file(run))
}

/// The events of a resumed run, whose files all have an end. Sorted by step and name.
#[track_caller]
pub(crate) fn read_continued_events(run: &Path) -> Events {
    let mut events: Events = event_files(run).iter().flat_map(|file| events_of_the_ended(file)).collect();
    events.sort();
    events
}

#[track_caller]
fn events_of_the_ended(file: &Path) -> Events {
    let (events, torn) = events(file);
    assert_eq!(torn, 0, "bytes of a torn record in {}", file.display());
    events
}

/// The events of a killed run. Every reader ignores an incomplete record at the end, because the kernel may stop within
/// a write.
#[track_caller]
pub(crate) fn read_events_of_the_killed(run: &Path) -> Events {
    events(&event_file(run)).0
}

/// The events of a resumed run in order. Each process wrote a separate file.
#[track_caller]
pub(crate) fn read_events_of_the_continued(run: &Path) -> Events {
    let mut files = event_files(run);
    // `events.out.tfevents.SECONDS.HOST.PROCESS.NUMBER`
    files.sort_by_key(|file| {
        let name = file.to_str().unwrap();
        let number = |part: &str| part.parse::<u64>().unwrap();
        (number(name.rsplit_once("tfevents.").unwrap().1.split_once('.').unwrap().0), number(name.rsplit_once('.').unwrap().1))
    });
    files.iter().flat_map(|file| events(file).0).collect()
}

#[track_caller]
fn events(file: &Path) -> (Events, usize) {
    let file = std::fs::read(file).unwrap();
    let (records, torn) = records(&file);
    let mut events = Vec::new();
    for record in records {
        let event = Event::decode(record).unwrap();
        let values = event.summary.unwrap_or_default().values;
        events.extend(
            values
                .into_iter()
                .map(|value| (event.step, value.tag, value.scalar.map(|value| if value.is_nan() { f32::NAN } else { value }.to_bits()))),
        );
    }
    (events, torn)
}

/// The complete records of an event file, and the number of bytes of an incomplete one. A record is its length, a
/// checksum of the length, the event, and a checksum of the event.
#[track_caller]
pub(crate) fn records(file: &[u8]) -> (Vec<&[u8]>, usize) {
    let crc = |data: &[u8]| crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let (mut rest, mut records) = (file, Vec::new());
    while let Some((header, behind)) = rest.split_at_checked(12) {
        let length = u64::from_le_bytes(header[..8].try_into().unwrap()) as usize;
        assert_eq!(header[8..], crc(&header[..8]), "the checksum of a length");
        let Some((record, next)) = behind.split_at_checked(length + 4) else { break };
        assert_eq!(record[length..], crc(&record[..length]), "the checksum of a record");
        records.push(&record[..length]);
        rest = next;
    }
    (records, rest.len())
}

/// The fields of a `.wandb` file's record that the tests read.
#[derive(Clone, PartialEq, Message)]
struct WandbRecord {
    #[prost(int64, tag = "1")]
    number: i64,
    #[prost(message, optional, tag = "2")]
    row: Option<WandbRow>,
}

#[derive(Clone, PartialEq, Message)]
struct WandbRow {
    #[prost(message, repeated, tag = "1")]
    items: Vec<WandbItem>,
}

#[derive(Clone, PartialEq, Message)]
struct WandbItem {
    #[prost(string, repeated, tag = "2")]
    nested_key: Vec<String>,
    #[prost(string, tag = "16")]
    value_json: String,
}

/// The rows of the only offline run of W&B below a folder: names and values as JSON text.
#[track_caller]
pub(crate) fn read_wandb(save_dir: &Path) -> Vec<BTreeMap<String, String>> {
    let root = save_dir.join("wandb");
    let runs: Vec<String> = names(&root).into_iter().filter(|name| name.starts_with("offline-run-")).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = root.join(&runs[0]);
    let file = names(&run).into_iter().find(|name| name.starts_with("run-")).unwrap();
    let records = wandb_records(&std::fs::read(run.join(file)).unwrap());
    let records: Vec<WandbRecord> = records.iter().map(|bytes| WandbRecord::decode(bytes.as_slice()).unwrap()).collect();
    assert!(records.iter().zip(1..).all(|(record, number)| record.number == number), "the records are counted");
    let item = |item: WandbItem| (item.nested_key.concat(), item.value_json);
    records.into_iter().filter_map(|record| Some(record.row?.items.into_iter().map(item).collect())).collect()
}

/// The records of a `.wandb` file. It is a `LevelDB` log after a custom header. The log consists of blocks of chunks.
/// Each chunk has a checksum, a length, and a type: a whole record, or the first, a middle or the last part of one.
#[track_caller]
fn wandb_records(file: &[u8]) -> Vec<Vec<u8>> {
    const BLOCK: usize = 32768;
    let (mut at, mut records, mut open) = (7, Vec::new(), Vec::new());
    while at < file.len() {
        let left = BLOCK - at % BLOCK;
        if left < 7 {
            at += left;
            continue;
        }
        let length = usize::from(u16::from_le_bytes([file[at + 4], file[at + 5]]));
        open.extend_from_slice(&file[at + 7..at + 7 + length]);
        if matches!(file[at + 6], 1 | 4) {
            records.push(std::mem::take(&mut open));
        }
        at += 7 + length;
    }
    assert!(open.is_empty(), "a torn record");
    records
}

/// The only event file in a folder.
#[track_caller]
pub(crate) fn event_file(run: &Path) -> PathBuf {
    let files = event_files(run);
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

fn event_files(run: &Path) -> Vec<PathBuf> {
    names(run).into_iter().filter(|name| name.contains("events.out.tfevents.")).map(|name| run.join(name)).collect()
}

/// Whether the session in the hparams tab has ended.
pub(crate) fn session_ended(events: &Events) -> bool {
    events.iter().any(|(_, tag, _)| tag == "_hparams_/session_end_info")
}

/// The steps of a scalar.
pub(crate) fn steps_of(events: &Events, name: &str) -> Vec<u64> {
    let of_name = events.iter().filter(|(_, tag, scalar)| tag == name && scalar.is_some());
    of_name.map(|(step, ..)| u64::try_from(*step).unwrap()).collect()
}

/// The sorted names in a folder. Empty if the folder does not exist.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
