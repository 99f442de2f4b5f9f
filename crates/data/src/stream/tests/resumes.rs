//! A pass that starts in the middle of a shard, in every format and place.

use std::{
    io::Write,
    ops::Range,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde::Deserialize;
use stormfire_parquet::{Type, Value, Writer};
use stormfire_store::files;

use super::{damage::tar, pass};
use crate::{Loader, Shards, random};

/// The records of each shard.
const SIZES: [usize; 5] = [5, 0, 7, 1, 4];

/// A format: the ending of its files, the bytes of a shard with some numbers before they are packed, and its reader.
struct Form {
    ending: &'static str,
    bytes: fn(Range<usize>) -> Vec<u8>,
    shards: fn(Vec<PathBuf>) -> Shards<usize>,
}

static FORMS: [Form; 9] = [
    Form { ending: "jsonl", bytes: lines, shards: Shards::json_lines },
    Form { ending: "jsonl.gz", bytes: lines, shards: Shards::json_lines },
    Form { ending: "csv", bytes: |numbers| table(numbers, ','), shards: |paths| rows(Shards::csv(paths)) },
    Form { ending: "csv.gz", bytes: |numbers| table(numbers, ','), shards: |paths| rows(Shards::csv(paths)) },
    Form { ending: "tsv.gz", bytes: |numbers| table(numbers, '\t'), shards: |paths| rows(Shards::csv(paths)) },
    Form { ending: "tar", bytes: archive, shards: samples },
    Form { ending: "tar.gz", bytes: archive, shards: samples },
    Form { ending: "tgz", bytes: archive, shards: samples },
    Form { ending: "parquet", bytes: columns, shards: |paths| rows(Shards::parquet(paths)) },
];

#[derive(Deserialize)]
struct Row {
    number: usize,
}

fn rows(shards: Shards<Row>) -> Shards<usize> {
    shards.try_map(|row| Ok(row.number))
}

fn samples(paths: Vec<PathBuf>) -> Shards<usize> {
    Shards::tar(paths).try_map(|sample| Ok(sample.text("cls")?.parse()?))
}

fn lines(numbers: Range<usize>) -> Vec<u8> {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join("\n").into_bytes()
}

/// Each row has two lines.
fn table(numbers: Range<usize>, separator: char) -> Vec<u8> {
    let rows: Vec<String> = numbers.map(|number| format!("\"two\nlines\"{separator}{number}\n")).collect();
    format!("text{separator}number\n{}", rows.concat()).into_bytes()
}

/// Each sample has two files.
fn archive(numbers: Range<usize>) -> Vec<u8> {
    let sample = |number: usize| [(format!("{number:04}.cls"), number.to_string()), (format!("{number:04}.txt"), "x".repeat(90 * number))];
    let files: Vec<_> = numbers.flat_map(sample).collect();
    let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_bytes())).collect();
    tar(&files)
}

fn columns(numbers: Range<usize>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), [("number", Type::Int)]).unwrap();
    for number in numbers {
        writer.row([Value::Int(i64::try_from(number).unwrap())]).unwrap();
    }
    writer.finish().unwrap()
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Writes shards with the numbers from 0 on into a folder, which may be a URL.
fn written(form: &Form, folder: &Path) -> Vec<PathBuf> {
    let mut next = 0;
    let shard = |(index, size): (usize, &usize)| {
        let path = folder.join(format!("{index}.{}", form.ending));
        let bytes = (form.bytes)(next..next + size);
        let bytes = if form.ending.ends_with("gz") { packed(&bytes) } else { bytes };
        next += size;
        files::write(&path, bytes.len() as u64, |file| file.write_all(&bytes)).unwrap();
        path
    };
    SIZES.iter().enumerate().map(shard).collect()
}

/// The order of the records follows from their numbers in each shard, so one pass over JSON lines is what all formats,
/// places, workers, starts and ranks must give.
#[test]
fn every_format_resumes_in_the_middle_of_a_shard() {
    let folder = tempfile::tempdir().unwrap();
    let mut places = vec![folder.path().join("disk"), PathBuf::from(format!("file://{}", folder.path().join("url").display()))];
    if cfg!(feature = "remote") {
        places.push(PathBuf::from("memory://data-resumes/train"));
    }
    let make = |shards: Shards<usize>| {
        Loader::stream(shards.shuffle_buffer(4), |items: Vec<usize>, _| (items, random().below(1000))).batch_size(2).shuffle(true)
    };
    let whole = pass(&make((FORMS[0].shards)(written(&FORMS[0], &places[0]))), 1, 0).unwrap();
    assert_eq!(whole.len(), 9);
    for (place, form) in places.iter().flat_map(|place| FORMS.iter().map(move |form| (place, form))) {
        let paths = written(form, place);
        let unread = || (form.shards)(paths.clone());
        let counted = unread().counted().unwrap();
        assert_eq!(counted.counts(), Some(&SIZES[..]), "{} in {}", form.ending, place.display());
        for workers in 0..5 {
            for start in 0..=whole.len() {
                let what = format!("{} in {}: {workers} workers, from {start}", form.ending, place.display());
                for shards in [unread(), counted.clone()] {
                    assert_eq!(pass(&make(shards).workers(workers), 1, start).unwrap(), whole[start..], "{what}");
                }
                let loader = make(counted.clone()).workers(workers);
                for rank in 0..3 {
                    let expected: Vec<_> = whole[start..].iter().skip(rank).step_by(3).cloned().collect();
                    assert_eq!(pass(&loader.for_rank(rank, 3).unwrap(), 1, start).unwrap(), expected, "{what}: rank {rank}");
                }
            }
        }
    }
}
