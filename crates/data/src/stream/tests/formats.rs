use std::{fs, path::Path};

use burn::data::dataset::Dataset;

use crate::{Loader, Sample, Shards, shard_paths, split_files, stream::tests::pass};

fn samples(path: impl AsRef<Path>) -> Vec<Sample> {
    pass(&Loader::stream(Shards::tar([path.as_ref()]), |mut samples: Vec<Sample>, _| samples.remove(0)), 0, 0).unwrap()
}

type Files = Vec<(&'static str, Vec<u8>)>;

/// Archives of Python's `tarfile` in its three formats, with long names, folders and links. The expected samples are
/// those of webdataset 1.0.2, but for `.hidden`, which webdataset takes for a file of a sample `sub/`.
#[test]
fn samples_are_those_of_webdataset() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stream/fixtures");
    let long = format!("sub/{}", "x".repeat(180));
    let expected: [(&str, Files); 5] = [
        ("sub/0001", vec![("cls", b"7\n".to_vec()), ("png", b"\x89PNG".to_vec()), ("seg.png", b"mask".to_vec())]),
        (&long, vec![("json", b"{}".to_vec()), ("txt", vec![b'a'; 600])]),
        ("sub/0002", vec![("cls", Vec::new())]),
        ("other/0002", vec![("cls", b"3".to_vec())]),
        ("café/猫", vec![("txt", b"cat".to_vec())]),
    ];
    for format in ["pax", "gnu", "ustar"] {
        let found = samples(folder.join(format!("{format}.tar.gz")));
        let expected: Vec<_> = expected.iter().filter(|(key, _)| format != "ustar" || (key.len() < 100 && key.is_ascii())).collect();
        assert_eq!(found.len(), expected.len(), "{format}");
        for (sample, (key, files)) in found.iter().zip(expected) {
            assert_eq!(sample.key, *key, "{format}");
            let found: Vec<_> = sample.files.iter().map(|(name, content)| (name.as_str(), content.clone())).collect();
            assert_eq!(&found, files, "{format}");
        }
    }
    let first = &samples(folder.join("pax.tar.gz"))[0];
    assert_eq!(first.text("cls").unwrap(), "7");
    assert_eq!(first.file("jpg").unwrap_err().to_string(), "the sample `sub/0001` has no file `.jpg`, only cls, png, seg.png");
    assert!(first.text("png").is_err(), "not UTF-8");
}

#[test]
fn lines_may_be_empty_and_end_in_any_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "{\"x\": 1}\r\n\n  \n{\"x\": 2}\n{\"x\": 3}").unwrap();
    let rows = pass(&Loader::stream(Shards::<serde_json::Value>::json_lines([path]), |rows, _| rows[0]["x"].as_u64().unwrap()), 0, 0);
    assert_eq!(rows.unwrap(), [1, 2, 3]);
}

/// Files of pyarrow, with a page or two for each few rows.
#[test]
fn parquet_files_are_read_from_any_row_on() {
    #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
    struct Row {
        number: Option<i64>,
        text: Option<String>,
        small: i8,
    }
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../parquet/samples");
    let name = |name: &str| samples.join(format!("{name}.parquet"));
    let paths = [name("small-groups-and-pages"), name("empty"), name("dictionary-snappy")];
    let expected: Vec<Row> = [150_i64, 100]
        .into_iter()
        .flat_map(|rows| {
            (0..rows).map(|index| Row {
                number: (index % 7 != 3).then(|| index * 1_000_003 - 5),
                text: (index % 6 != 2).then(|| format!("größe {}", index % 10)),
                small: i8::try_from(index % 200 - 100).unwrap(),
            })
        })
        .collect();
    let counted = Shards::<Row>::parquet(paths.clone()).counted().unwrap();
    assert_eq!(counted.counts(), Some(&[150, 0, 100][..]));
    for shards in [Shards::<Row>::parquet(paths.clone()), counted] {
        let loader = |workers: usize| Loader::stream(shards.clone(), |rows, _| rows).batch_size(7).workers(workers);
        let whole = pass(&loader(0), 0, 0).unwrap();
        assert_eq!(whole.concat(), expected);
        for (workers, start) in [(2, 0), (0, 3), (1, 21), (3, 22), (0, 35)] {
            assert_eq!(pass(&loader(workers), 0, start).unwrap(), whole[start..], "{workers} workers from batch {start} on");
        }
        let shuffled = |workers: usize| loader(workers).shuffle(true);
        assert_eq!(pass(&shuffled(3), 1, 9).unwrap(), pass(&shuffled(0), 1, 0).unwrap()[9..]);
    }
    let text = |path: &Path| pass(&Loader::stream(Shards::<Row>::parquet([path]), |rows, _| rows), 0, 0).unwrap_err().to_string();
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.parquet");
    let bytes = fs::read(name("checksums")).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    assert!(text(&cut).contains("cut.parquet") && text(&cut).contains("truncated"), "{}", text(&cut));
    let mut damaged = bytes.clone();
    damaged[100] ^= 1;
    fs::write(&cut, damaged).unwrap();
    assert!(text(&cut).contains("cut.parquet") && text(&cut).contains("record 0"), "{}", text(&cut));
    assert!(text(&name("zstd")).contains("the compression Zstandard is not supported"), "{}", text(&name("zstd")));
    assert!(text(&name("nested")).contains("it has no column `small`, only "), "{}", text(&name("nested")));
}

#[test]
fn patterns_and_folders_are_paths() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.jsonl", "a.jsonl", ".hidden"] {
        fs::write(folder.path().join(name), "1").unwrap();
    }
    fs::create_dir(folder.path().join("more")).unwrap();
    assert_eq!(shard_paths(folder.path()).unwrap(), [folder.path().join("a.jsonl"), folder.path().join("b.jsonl")]);
    let error = shard_paths(folder.path().join("more")).unwrap_err();
    assert!(error.to_string().starts_with("the loader is empty: there are no files in `"), "{error}");
    let names = |pattern: &str| shard_paths(pattern).unwrap().iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(names("s3://b/{9..11}.tar"), ["s3://b/9.tar", "s3://b/10.tar", "s3://b/11.tar"]);
    assert_eq!(names("{098..100}/x"), ["098/x", "099/x", "100/x"]);
    assert_eq!(names("{a..b}.tar"), ["{a..b}.tar"]);
    assert_eq!(names("a.tar"), ["a.tar"]);
}

#[cfg(feature = "remote")]
#[test]
fn shards_in_a_store_are_read() {
    let url = |name: &str| std::path::PathBuf::from(format!("memory://data-stream/train/{name}"));
    for (name, text) in [("a.jsonl", "1\n2\n"), ("b.jsonl", "3\n")] {
        stormfire_store::files::write(&url(name), text.len() as u64, |writer| writer.write_all(text.as_bytes())).unwrap();
    }
    let paths = shard_paths("memory://data-stream/train").unwrap();
    assert_eq!(paths, [url("a.jsonl"), url("b.jsonl")]);
    let loader = |paths| Loader::stream(Shards::<usize>::json_lines(paths), |items, _| items).batch_size(2);
    assert_eq!(pass(&loader(paths), 0, 0).unwrap(), [vec![1, 2], vec![3]]);
    let error = pass(&loader(vec![url("a.jsonl"), url("c.jsonl")]), 0, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the data file `memory://data-stream/train/c.jsonl`: there is no file `memory://data-stream/train/c.jsonl`"
    );
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Message {
    text: String,
    is_spam: bool,
    score: Option<f32>,
}

#[test]
fn rows_are_read_by_the_names_of_their_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("train.csv"), "is_spam,score,text\ntrue,0.5,\"two\nlines, quoted\"\nfalse,,plain\n").unwrap();
    fs::write(path("train.tsv"), "text\tis_spam\tscore\na, b\ttrue\t1\n").unwrap();
    let read = |name: &str| -> Vec<Message> { Shards::csv([path(name)]).read().unwrap().iter().map(std::result::Result::unwrap).collect() };
    let message = |text: &str, is_spam, score| Message { text: text.to_owned(), is_spam, score };
    assert_eq!(read("train.csv"), [message("two\nlines, quoted", true, Some(0.5)), message("plain", false, None)]);
    assert_eq!(read("train.tsv"), [message("a, b", true, Some(1.0))]);
    let streamed = pass(&Loader::stream(Shards::<Message>::csv([path("train.csv")]), |rows, _| rows[0].text.clone()), 0, 1);
    assert_eq!(streamed.unwrap(), ["plain"]);
}

/// The error and its hint for a CSV file with this content.
fn error_of<T: serde::de::DeserializeOwned>(content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, content).unwrap();
    let error = Shards::<T>::csv([&path]).read().err().unwrap();
    let hint = error.hint().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
    format!("{error}{hint}").replace(&path.display().to_string(), "a.csv")
}

#[test]
fn a_bad_row_is_named_with_its_column_and_value() {
    let texts = [
        &b"text,is_spam,score\na,true,1\nb,maybe,1\n"[..],
        b"text,is_spam,score\n\"a\nb\",true,1\nc,true\n",
        b"text,is_spam,score\n\xff,true,1\n",
        b"text,is_spam,score\na,,1\n",
        b"text,is_spam,score\na,true,abc\n",
        b"text,is_spam,score\na,true,NA\n",
    ];
    insta::assert_snapshot!(texts.map(error_of::<Message>).join("\n"), @r#"
    the data file `a.csv`, line 3, column `is_spam`: `maybe` is not `true` or `false`
    the data file `a.csv`, line 4: the row has 2 fields, and the rows before have 3
    the data file `a.csv`, line 2, column `text`: the field is not UTF-8 from its byte 0 on
      hint: save the file as UTF-8
    the data file `a.csv`, line 2, column `is_spam`: the field is empty, and `true` or `false` is expected
      hint: an empty field is a missing value, if the field of the row's type is an `Option`
    the data file `a.csv`, line 2, column `score`: `abc` is not a number (invalid float literal)
    the data file `a.csv`, line 2, column `score`: `NA` is not a number (invalid float literal)
      hint: an empty field is a missing value, if the field of the row's type is an `Option`; `.missing(["NA"])` reads `NA` as an empty field
    "#);
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    House,
    Flat,
}

#[derive(Debug, serde::Deserialize)]
#[expect(dead_code, reason = "no row is valid")]
struct Home {
    floor: u8,
    kind: Kind,
}

#[test]
fn whole_numbers_and_words_are_named_too() {
    let texts = [&b"floor,kind\n300,flat\n"[..], b"floor,kind\n-1,flat\n", b"floor,kind\n1.5,house\n", b"floor,kind\n1,boat\n"];
    insta::assert_snapshot!(texts.map(error_of::<Home>).join("\n"), @"
    the data file `a.csv`, line 2, column `floor`: `300` is outside of the range of the field's type
    the data file `a.csv`, line 2, column `floor`: `-1` is outside of the range of the field's type
    the data file `a.csv`, line 2, column `floor`: `1.5` is not a whole number (invalid digit found in string)
    the data file `a.csv`, line 2, column `kind`: unknown variant `boat`, expected `house` or `flat`
    ");
}

#[test]
fn a_missing_column_is_named_with_the_others() {
    let many: Vec<String> = (0..30).map(|column| format!("c{column},")).collect();
    let many = many.concat();
    let texts = [
        "text,score\na,1\n".to_owned(),
        "text,is_spams,score\na,true,1\n".to_owned(),
        "text;is_spam;score\na;true;1\n".to_owned(),
        "text\tis_spam\na\ttrue\n".to_owned(),
        format!("{many}text\n{}a\n", ",".repeat(30)),
    ];
    insta::assert_snapshot!(texts.map(|text| error_of::<Message>(text.as_bytes())).join("\n"), @r"
    the data file `a.csv`: it has no column `is_spam`, only `text`, `score`
    the data file `a.csv`: it has no column `is_spam`, only `text`, `is_spams`, `score`
      hint: did you mean `is_spams`?
    the data file `a.csv`: it has no column `text`, only `text;is_spam;score`
      hint: the file seems to have another delimiter: call `.delimiter(b';')`
    the data file `a.csv`: it has no column `text`, only `text is_spam`
      hint: the file seems to have another delimiter: call `.delimiter(b'\t')`
    the data file `a.csv`: it has no column `is_spam`, only `c0`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7`, `c8`, `c9`, `c10`, `c11`, `c12`, `c13`, `c14`, `c15`, `c16`, `c17`, `c18`, `c19` and 11 more
    ");
}

#[test]
fn a_bad_row_of_a_later_file_is_named_by_a_pass_that_starts_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.csv"), folder.path().join("bad.csv.gz"));
    fs::write(&good, "text,is_spam\na,true\nb,true\n").unwrap();
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(&bad).unwrap(), flate2::Compression::default());
    std::io::Write::write_all(&mut encoder, b"is_spam,text\ntrue,c\ntrue,d\n?,e\n").unwrap();
    encoder.finish().unwrap();
    let shards = Shards::<Message>::csv([good, bad]).counted().unwrap();
    for workers in [0, 2] {
        let loader = Loader::stream(shards.clone(), |rows, _| rows).workers(workers);
        let error = pass(&loader, 0, 3).unwrap_err();
        assert!(error.to_string().ends_with("bad.csv.gz`, line 4, column `is_spam`: `?` is not `true` or `false`"), "{error}");
    }
}

#[test]
fn another_delimiter_and_words_for_missing_values_are_options() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "text;is_spam;score\na, b;true;NA\nNA;false;1\nc;true;\n").unwrap();
    let shards = Shards::<Message>::csv([&path]).delimiter(b';').missing(["NA", "?"]);
    let found: Vec<Message> = shards.read().unwrap().iter().map(Result::unwrap).collect();
    let message = |text: &str, is_spam, score| Message { text: text.to_owned(), is_spam, score };
    let expected = [message("a, b", true, None), message("", false, Some(1.0)), message("c", true, None)];
    assert_eq!(found, expected);
    let counted = shards.counted().unwrap();
    assert_eq!(counted.counts(), Some(&[3][..]));
    assert_eq!(pass(&Loader::stream(counted, |rows, _| rows).batch_size(2), 0, 1).unwrap().concat(), expected[2..]);
    let text = |error: crate::Error| error.to_string();
    let texts = [
        text(Shards::<usize>::json_lines([&path]).delimiter(b';').read().err().unwrap()),
        text(Loader::stream(Shards::tar([&path]).missing(["NA"]), |samples, _| samples).check().unwrap_err()),
        text(Shards::<Message>::csv([&path]).delimiter(b'"').counted().unwrap_err()),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
    `delimiter` and `missing` are options of CSV files, which these shards are not
    `delimiter` and `missing` are options of CSV files, which these shards are not
    the delimiter of CSV files cannot be `b'"'`
    "#);
}

#[test]
fn files_of_a_split_are_found_in_hugging_faces_layouts() {
    let folder = tempfile::tempdir().unwrap();
    let names = |layout: &[&str], split: &str| -> Result<Vec<String>, String> {
        let root = folder.path().join("layout");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        for name in layout {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = split_files(&root, split).map_err(|error| error.to_string().replace(&root.display().to_string(), "DIR"))?;
        Ok(found.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect())
    };
    let ok = |names: &[&str]| Ok(names.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(names(&["train.csv", "test.csv", "README.md"], "train"), ok(&["train.csv"]));
    assert_eq!(
        names(&["data/train-00001-of-00002.jsonl", "data/train-00000-of-00002.jsonl", "data/test-00000-of-00001.jsonl"], "train"),
        ok(&["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"])
    );
    assert_eq!(names(&["train/b.csv", "train/a.csv", "train/.hidden", "dev/a.csv"], "train"), ok(&["train/a.csv", "train/b.csv"]));
    assert_eq!(names(&["train.csv", "my_val.csv", "evaluate.csv"], "validation"), ok(&["my_val.csv"]));
    assert_eq!(names(&["my-eval.csv", "contest.csv"], "test"), ok(&["my-eval.csv"]));
    assert_eq!(names(&["extra.csv"], "extra"), ok(&["extra.csv"]));
    let error = names(&["contest.csv", "retrain.csv"], "test").unwrap_err();
    assert_eq!(error, "the loader is empty: there are no files of the split `test` in `DIR`, which has contest.csv, retrain.csv");
}
