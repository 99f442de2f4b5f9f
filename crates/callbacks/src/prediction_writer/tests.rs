use std::{fs, io::Write as _, path::Path};

use burn::tensor::TensorData;
use insta::assert_snapshot;
use serde::Serialize;
use stormfire_checkpoint::Checkpoint;
use stormfire_ranks::here;

use super::{progress::Progress, *};
use crate::testing::{text, told};

#[derive(Serialize)]
struct Row {
    class: Option<i64>,
    score: f32,
    note: &'static str,
}

fn row(item: usize) -> Row {
    Row {
        class: (!item.is_multiple_of(3)).then(|| i64::try_from(item).unwrap()),
        score: item as f32 / 10.0,
        note: ["plain", "with, comma", "two\n\"lines\""][item % 3],
    }
}

/// Batches of two of seven items.
fn batches() -> Vec<Vec<usize>> {
    (0..7).collect::<Vec<_>>().chunks(2).map(<[usize]>::to_vec).collect()
}

fn csv(path: &Path) -> PredictionWriter<Vec<usize>> {
    PredictionWriter::csv(path, |items: &Vec<usize>| Ok(items.iter().map(|&item| row(item)).collect::<Vec<_>>())).sync_every(Duration::ZERO)
}

/// Predicts as the loop does. `seen` is called after each batch. Returns the batches that were predicted.
fn predict<S: PredictionSink<Vec<usize>>>(sink: &mut S, identity: &str, mut seen: impl FnMut(usize)) -> Result<Vec<usize>> {
    let identity = || Ok(identity.to_owned());
    let start = sink.start(&PredictionRun::new(1, here()?, &identity))?;
    let mut predicted = Vec::new();
    for (batch_idx, items) in batches().into_iter().enumerate().skip(start.batch_idx) {
        predicted.push(batch_idx);
        sink.take(Predicted { prediction: items.clone(), dataloader_idx: 0, batch_idx, indices: Some(items) })?;
        sink.reached(EvaluationPosition { dataloader_idx: 0, batch_idx: batch_idx + 1 })?;
        seen(batch_idx);
    }
    sink.finish()?;
    Ok(predicted)
}

/// A text without the name of the temporary folder.
fn shown(text: &str, folder: &tempfile::TempDir) -> String {
    text.replace(&folder.path().display().to_string(), "[folder]")
}

/// Copies the files that a kill would leave.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn csv_has_a_row_for_each_item_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/predictions.csv");
    predict(&mut csv(&path), "a", |_| {}).unwrap();
    let mut reader = ::csv::Reader::from_path(&path).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["index", "class", "score", "note"]);
    let rows: Vec<(usize, Option<i64>, f32, String)> = reader.deserialize().map(Result::unwrap).collect();
    let expected: Vec<_> = (0..7).map(|item| (item, row(item).class, row(item).score, row(item).note.to_owned())).collect();
    assert_eq!(rows, expected);
    assert_eq!(names(path.parent().unwrap()), ["predictions.csv"]);
}

#[test]
fn a_list_of_texts_has_a_column_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    let lists = |items: &Vec<usize>| Ok(items.iter().map(|item| [format!("{item}, \"x, y\""), "two\nlines".into()]).collect::<Vec<_>>());
    predict(&mut PredictionWriter::csv(&path, lists), "a", |_| {}).unwrap();
    let mut reader = ::csv::Reader::from_path(&path).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["index", "prediction_0", "prediction_1"]);
    let rows: Vec<(usize, String, String)> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[6]), (7, &(6, "6, \"x, y\"".to_owned(), "two\nlines".to_owned())));
}

#[test]
fn a_killed_prediction_continues_without_a_torn_or_repeated_row() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/predictions.csv");
    let killed = |batch: usize| folder.path().join(format!("killed-{batch}"));
    predict(&mut csv(&whole), "a", |batch| copied(whole.parent().unwrap(), &killed(batch))).unwrap();
    let expected = fs::read(&whole).unwrap();
    for batch in 0..4 {
        let path = killed(batch).join("predictions.csv");
        assert!(!path.exists(), "an unfinished file has the final name");
        // The kill came while more rows were written.
        let mut part = fs::OpenOptions::new().append(true).open(killed(batch).join("predictions.csv.part")).unwrap();
        part.write_all(b"9,torn, \"ro").unwrap();
        assert_eq!(predict(&mut csv(&path), "a", |_| {}).unwrap(), (batch + 1..4).collect::<Vec<_>>());
        assert_eq!(fs::read(&path).unwrap(), expected, "killed after batch {batch}");
    }
}

#[test]
fn another_prediction_starts_from_scratch_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (path, killed) = (folder.path().join("a/p.csv"), folder.path().join("b"));
    predict(&mut csv(&path), "old weights", |batch| {
        if batch == 1 {
            copied(path.parent().unwrap(), &killed);
        }
    })
    .unwrap();
    let again = killed.join("p.csv");
    let lines = told(|| assert_eq!(predict(&mut csv(&again), "new weights", |_| {}).unwrap(), [0, 1, 2, 3]));
    assert_snapshot!(shown(&lines.join("\n"), &folder), @"WARN `[folder]/b/p.csv.part` is of a prediction with other weights, data or options, or it is damaged: the prediction starts from scratch");
    assert_eq!(fs::read(&again).unwrap(), fs::read(&path).unwrap());
    // A complete file is not continued. It stays until the new one is complete.
    predict(&mut csv(&path), "old weights", |_| assert!(path.exists())).unwrap();
    // A damaged file: the note promises more than there is.
    fs::write(killed.join("p.csv.part"), "x").unwrap();
    let note = Progress { identity: "i".into(), position: EvaluationPosition { dataloader_idx: 0, batch_idx: 2 }, bytes: 99, header: None };
    note.write(&killed.join("p.csv.part.json")).unwrap();
    assert_eq!(predict(&mut csv(&again), "i", |_| {}).unwrap(), [0, 1, 2, 3]);
}

#[test]
fn a_failed_prediction_keeps_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    let mut rows = 0;
    let mut writer = csv(&path).sync_every(Duration::from_hours(1));
    let identity = || Ok("a".to_owned());
    writer.start(&PredictionRun::new(1, here().unwrap(), &identity)).unwrap();
    for (batch_idx, items) in batches().into_iter().enumerate().take(3) {
        rows += items.len();
        writer.take(Predicted { prediction: items.clone(), dataloader_idx: 0, batch_idx, indices: Some(items) }).unwrap();
        writer.reached(EvaluationPosition { dataloader_idx: 0, batch_idx: batch_idx + 1 }).unwrap();
    }
    drop(writer);
    assert_eq!(rows, 6);
    assert_eq!(predict(&mut csv(&path), "a", |_| {}).unwrap(), [3]);
    assert_eq!(::csv::Reader::from_path(&path).unwrap().records().count(), 7);
}

#[test]
fn json_lines_keep_every_float() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    let values = |items: &Vec<usize>| {
        Ok(items.iter().map(|&item| ([f32::NAN, 0.1, f32::NEG_INFINITY][item % 3], None::<u8>, "NaN, null")).collect::<Vec<_>>())
    };
    predict(&mut PredictionWriter::json_lines(&path, values), "a", |_| {}).unwrap();
    let lines = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 7);
    assert_eq!(lines[0], r#"{"index":0,"prediction":["NaN",null,"NaN, null"]}"#);
    assert_eq!(lines[2], r#"{"index":2,"prediction":["-inf",null,"NaN, null"]}"#);
    predict(
        &mut PredictionWriter::json_lines(&path, |items: &Vec<usize>| Ok(items.iter().map(|&i| row(i)).collect::<Vec<_>>())),
        "a",
        |_| {},
    )
    .unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().nth(1).unwrap(), r#"{"index":1,"class":1,"score":0.1,"note":"with, comma"}"#);
}

#[test]
fn lists_and_numbers_become_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    let header = || fs::read_to_string(&path).unwrap().lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    let lists = |items: &Vec<usize>| Ok(items.iter().map(|&item| vec![item as f32, f32::NAN]).collect::<Vec<_>>());
    predict(&mut PredictionWriter::csv(&path, lists), "a", |_| {}).unwrap();
    assert_eq!(header(), ["index,prediction_0,prediction_1", "0,0.0,NaN"]);
    let numbers = |items: &Vec<usize>| Ok(items.clone());
    predict(&mut PredictionWriter::csv(&path, numbers).interval(WriteInterval::Epoch).indices(false), "a", |_| {}).unwrap();
    assert_eq!(header(), ["prediction", "0"]);
}

#[test]
fn wrong_rows_are_refused_with_the_cure() {
    #[derive(Serialize)]
    struct Own {
        index: usize,
    }
    #[derive(Serialize)]
    struct Nested {
        values: Vec<f32>,
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    let refused = |mut writer: PredictionWriter<Vec<usize>>| text(&predict(&mut writer, "a", |_| {}).unwrap_err());
    let twice = refused(PredictionWriter::csv(&path, |items: &Vec<usize>| Ok([items.clone(), items.clone()].concat())));
    let own = refused(PredictionWriter::csv(&path, |items: &Vec<usize>| Ok(items.iter().map(|&index| Own { index }).collect::<Vec<_>>())));
    let nested = refused(PredictionWriter::csv(&path, |items: &Vec<usize>| {
        Ok(items.iter().map(|_| Nested { values: vec![1.0] }).collect::<Vec<_>>())
    }));
    let ragged =
        refused(PredictionWriter::csv(&path, |items: &Vec<usize>| Ok(items.iter().map(|&item| vec![1; item + 1]).collect::<Vec<_>>())));
    assert_snapshot!(shown(&[twice, own, nested, ragged].join("\n"), &folder), @r"
    `PredictionWriter`: batch 0 has 2 items and 4 rows | hint: give one row for each item, or use `.indices(false)`
    `PredictionWriter`: a row has a field `index`, which the writer adds itself | hint: rename the field, or use `.indices(false)`
    `PredictionWriter`: a row cannot be written as CSV: CSV write error: cannot serialize sequence container inside struct when writing headers from structs | hint: give rows whose fields are numbers, texts or options of them, or use `PredictionWriter::json_lines`
    `PredictionWriter`: the columns were `prediction`, and are now `prediction_0,prediction_1` | hint: give the same fields for every row, or use `PredictionWriter::json_lines`
    ");
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_the_first_batch() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let starts = |path: &Path, interval| {
        let identity = || Ok("a".to_owned());
        let mut writer = csv(path).interval(interval);
        text(&writer.start(&PredictionRun::new(1, here().unwrap(), &identity)).unwrap_err())
    };
    let in_a_file = folder.path().join("file/p.csv");
    let errors = [WriteInterval::Batch, WriteInterval::Epoch]
        .map(|interval| [in_a_file.as_path(), folder.path(), Path::new("s3://bucket/p.csv")].map(|path| starts(path, interval)).join("\n"));
    assert_snapshot!(shown(&errors.join("\n\n"), &folder), @r"
    failed to create directory `[folder]/file`: File exists (os error 17) | hint: 
    `PredictionWriter`: `[folder]` is a folder | hint: give the name of a file
    `PredictionWriter`: `s3://bucket/p.csv` is a URL, and rows are appended | hint: write to a disk, and copy the file afterwards
    
    failed to create directory `[folder]/file`: File exists (os error 17) | hint: 
    `PredictionWriter`: `[folder]` is a folder | hint: give the name of a file
    `PredictionWriter`: `s3://bucket/p.csv` is a URL, and rows are appended | hint: write to a disk, and copy the file afterwards
    ");
    let (identity, path) = (|| Ok("a".to_owned()), folder.path().join("p.csv"));
    let mut first = csv(&path);
    first.start(&PredictionRun::new(1, here().unwrap(), &identity)).unwrap();
    assert_snapshot!(shown(&starts(&path, WriteInterval::Batch), &folder), @"`PredictionWriter`: another prediction is writing `[folder]/p.csv.part` | hint: wait for it, or write to another file");
}

#[expect(clippy::ptr_arg, clippy::unnecessary_wraps, reason = "the signature of a writer of tensors")]
fn tensors(items: &Vec<usize>) -> Result<NamedTensors> {
    let values: Vec<f32> = items.iter().flat_map(|&item| [item as f32, 0.5]).collect();
    Ok(vec![("scores".into(), TensorData::new(values, [items.len(), 2]))])
}

#[test]
fn tensors_are_files_of_batches_or_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let (batches, whole) = (folder.path().join("batches"), folder.path().join("all.safetensors"));
    let of_batches = || PredictionWriter::safetensors(&batches, tensors).sync_every(Duration::ZERO);
    predict(&mut of_batches(), "a", |_| {}).unwrap();
    assert_eq!(names(&batches).len(), 5);
    let last = Checkpoint::read(batches.join("0-00000003.safetensors")).unwrap().take("scores").unwrap();
    assert_eq!(last, TensorData::from([[6.0_f32, 0.5]]));
    // It is complete.
    assert_eq!(predict(&mut of_batches(), "a", |_| {}).unwrap(), [0; 0]);
    let error = text(&predict(&mut of_batches(), "b", |_| {}).unwrap_err());
    assert_snapshot!(shown(&error, &folder), @"`PredictionWriter`: `[folder]/batches` has files of a prediction with other weights, data or options | hint: remove them, or write to another folder");
    predict(&mut PredictionWriter::safetensors(&whole, tensors).interval(WriteInterval::Epoch), "a", |_| {}).unwrap();
    let all = Checkpoint::read(&whole).unwrap().take("scores").unwrap();
    assert_eq!(
        (all.shape().as_slice().to_vec(), all.iter::<f32>().step_by(2).collect::<Vec<_>>()),
        (vec![7, 2], (0..7).map(|i| i as f32).collect())
    );
}

fn table(path: &Path) -> PredictionWriter<Vec<usize>> {
    PredictionWriter::parquet(path, |items: &Vec<usize>| Ok(items.iter().map(|&item| row(item)).collect::<Vec<_>>()))
        .sync_every(Duration::ZERO)
}

type Cells = (usize, Option<i64>, f64, String);

fn cells(path: &Path) -> Vec<Cells> {
    let mut reader = stormfire_parquet::Reader::open(fs::read(path).unwrap()).unwrap();
    std::iter::from_fn(|| reader.next().unwrap().map(|row| row.into_type().unwrap())).collect()
}

#[test]
fn a_table_has_the_rows_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole/p.parquet");
    let killed = |batch: usize| folder.path().join(format!("killed-{batch}"));
    predict(&mut table(&whole), "a", |batch| copied(whole.parent().unwrap(), &killed(batch))).unwrap();
    let shown = |item: usize| (item, row(item).class, item as f64 / 10.0, row(item).note.to_owned());
    assert_eq!(cells(&whole), (0..7).map(shown).collect::<Vec<_>>());
    assert_eq!(names(whole.parent().unwrap()), ["p.parquet"]);
    for batch in 0..4 {
        let path = killed(batch).join("p.parquet");
        assert_eq!(predict(&mut table(&path), "a", |_| {}).unwrap(), (batch + 1..4).collect::<Vec<_>>());
        assert_eq!(fs::read(&path).unwrap(), fs::read(&whole).unwrap(), "killed after batch {batch}");
    }
    let at_end = folder.path().join("end.parquet");
    predict(&mut table(&at_end).interval(WriteInterval::Epoch), "a", |_| {}).unwrap();
    assert_eq!(fs::read(&at_end).unwrap(), fs::read(&whole).unwrap());
}

#[test]
fn columns_of_a_table_have_one_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.parquet");
    let write = |value: fn(usize) -> serde_json::Value| {
        let rows = move |items: &Vec<usize>| Ok(items.iter().map(|&item| serde_json::json!({"x": value(item)})).collect::<Vec<_>>());
        predict(&mut PredictionWriter::parquet(&path, rows), "a", |_| {})?;
        let mut reader = stormfire_parquet::Reader::open(fs::read(&path)?).map_err(Error::other)?;
        let mut values = Vec::new();
        while let Some(row) = reader.next().map_err(Error::other)? {
            values.push(row.into_type::<(usize, Option<f64>)>().map_err(Error::other)?.1);
        }
        Ok::<_, Error>(values)
    };
    let floats = write(|item| if item == 2 { "NaN".into() } else { serde_json::json!(item) }).unwrap();
    assert!(floats[2].is_some_and(f64::is_nan) && floats[3] == Some(3.0));
    assert_eq!(write(|item| if item == 1 { 0.5.into() } else { serde_json::Value::Null }).unwrap()[..2], [None, Some(0.5)]);
    let refused = |value| write(value).unwrap_err().to_string();
    let text = refused(|item| if item == 6 { "text".into() } else { item.into() });
    assert_eq!(text, "`PredictionWriter::parquet`: the rows have values of several types in `x`");
    assert_eq!(refused(|_| serde_json::json!([1])), "`PredictionWriter::parquet`: a row has a list or a struct in `x`");
}

#[test]
fn another_format_or_other_columns_start_from_scratch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/p");
    let lines = || PredictionWriter::json_lines(&path, |items: &Vec<usize>| Ok(items.iter().map(|&item| row(item)).collect::<Vec<_>>()));
    let killed = |writer: &mut PredictionWriter<Vec<usize>>| {
        let copy = folder.path().join("b");
        predict(writer, "a", |batch| {
            if batch == 1 {
                copied(path.parent().unwrap(), &copy);
            }
        })
        .unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        fs::rename(copy, path.parent().unwrap()).unwrap();
    };
    killed(&mut csv(&path));
    assert_eq!(predict(&mut lines(), "a", |_| {}).unwrap(), [0, 1, 2, 3], "CSV is not continued as JSON lines");
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    killed(&mut lines().sync_every(Duration::ZERO));
    assert_eq!(predict(&mut lines().indices(false), "a", |_| {}).unwrap(), [0, 1, 2, 3], "rows with an index");
}
