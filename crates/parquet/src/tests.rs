//! Files of pyarrow, pandas and polars are in `samples`: `xtask/python/parquet_samples.py` has made them, and the JSON
//! lines with their rows.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use serde_json::Value as Json;

use crate::{Error, Reader, Type, Value, Writer};

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples")
}

fn rows_of(bytes: Vec<u8>) -> Result<Vec<Json>, Error> {
    let mut reader = Reader::open(bytes)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next()? {
        rows.push(row.into_type()?);
    }
    assert_eq!(reader.rows(), rows.len() as u64);
    Ok(rows)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(samples().join(name)).unwrap()
}

#[test]
fn files_of_other_programs_have_their_rows() {
    let names = [
        "plain.parquet",
        "dictionary-snappy.parquet",
        "gzip.parquet",
        "pages-v2.parquet",
        "small-groups-and-pages.parquet",
        "checksums.parquet",
        "nested.parquet",
        "pandas.parquet",
        "empty.parquet",
    ];
    for name in names {
        let expected = std::fs::read_to_string(samples().join(name.replace(".parquet", ".jsonl"))).unwrap();
        let expected: Vec<Json> = expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let found = rows_of(bytes_of(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "{name}, row {number}");
        }
    }
}

#[test]
fn unsupported_parquet_features_are_named() {
    let text = |name: &str| rows_of(bytes_of(name)).unwrap_err().to_string();
    assert_eq!(text("zstd.parquet"), "the compression Zstandard is not supported; write the file with Snappy, gzip or no compression");
    insta::assert_snapshot!(["delta.parquet", "decimals.parquet", "structs.parquet"].map(text).join("\n"), @r"
    the encoding DELTA_BINARY_PACKED of column `number` is not supported; write the file with the encodings PLAIN and dictionary
    the decimal numbers of `price` is not supported; write the file with floats or integers
    the list of structs `items` is not supported; write the file with a list for each field
    ");
}

/// No damage is a panic, and with checksums no damaged page is read.
#[test]
fn damaged_files_are_errors() {
    let whole = bytes_of("checksums.parquet");
    for end in 0..whole.len() {
        assert!(rows_of(whole[..end].to_vec()).is_err(), "{end} of {} bytes", whole.len());
    }
    let rows = rows_of(whole.clone()).unwrap();
    let mut noticed = 0;
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        match rows_of(damaged) {
            Err(_) => noticed += 1,
            // Statistics and the names of programs are not read. The number of a row group's bytes is not needed.
            Ok(found) => assert_eq!(found.len(), rows.len(), "byte {at}"),
        }
    }
    assert!(noticed * 2 > whole.len(), "{noticed} of {}", whole.len());
    assert!(Reader::open(b"PAR1PAR1".to_vec()).is_err());
}

#[test]
fn written_rows_are_read_back() {
    let columns = [("index", Type::Int), ("score", Type::Float), ("name", Type::Text), ("right", Type::Bool), ("never", Type::Int)];
    let mut writer = Writer::new(Vec::new(), columns).unwrap();
    let row = |index: i64| {
        let name = if index % 3 == 0 { Value::Null } else { Value::Text(format!("größe {index}").into()) };
        let score = match index % 5 {
            0 => f64::NAN,
            1 => f64::NEG_INFINITY,
            _ => index as f64 / 7.0,
        };
        [Value::Int(index * 1_000_003 - 7), Value::Float(score), name, Value::Bool(index % 2 == 0), Value::Null]
    };
    // More than a group.
    for index in 0..70_000 {
        writer.row(row(index)).unwrap();
    }
    let mut reader = Reader::open(writer.finish().unwrap()).unwrap();
    for index in 0..70_000 {
        let Some(Value::Row(names, values)) = reader.next().unwrap() else { panic!("row {index}") };
        assert_eq!(names.join(" "), "index score name right never");
        for (found, expected) in values.iter().zip(row(index)) {
            match (found, &expected) {
                (Value::Float(a), Value::Float(b)) => assert_eq!(a.to_bits(), b.to_bits()),
                (a, b) => assert_eq!(a, b),
            }
        }
    }
    assert!(reader.next().unwrap().is_none());
    let mut writer = Writer::new(Vec::new(), [("index", Type::Int)]).unwrap();
    let error = writer.row([Value::Text("x".into())]).unwrap_err();
    assert_eq!(error.to_string(), "column `index` has the type Int, and a row has \"x\"");
    assert!(writer.row([]).is_err() && writer.row([Value::Null, Value::Null]).is_err());
}

#[test]
fn a_value_of_another_type_names_its_column() {
    let mut writer = Writer::new(Vec::new(), [("index", Type::Int), ("name", Type::Text)]).unwrap();
    writer.row([Value::Int(1), Value::Text("x".into())]).unwrap();
    let row = Reader::open(writer.finish().unwrap()).unwrap().next().unwrap().unwrap();
    let names: Vec<Arc<str>> = vec![Arc::from("of")];
    let nested = Value::Row(Arc::from(names), vec![row.clone()]);
    let texts = [
        row.into_type::<BTreeMap<String, i64>>().unwrap_err().to_string(),
        nested.into_type::<BTreeMap<String, BTreeMap<String, i64>>>().unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
    column `name`: invalid type: string "x", expected i64
    column `of.name`: invalid type: string "x", expected i64
    "#);
}
