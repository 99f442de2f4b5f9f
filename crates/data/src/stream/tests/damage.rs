use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use crate::{Error, Loader, Shards, stream::tests::pass};

pub(super) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The keys of the samples of one archive.
fn keys(folder: &Path, name: &str, bytes: &[u8]) -> Result<Vec<String>, Error> {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    pass(&Loader::stream(Shards::tar([path]), |mut samples, _| samples.remove(0).key), 0, 0)
}

#[test]
fn an_archive_that_ends_anywhere_before_its_end_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = tar(&[("a.cls", b"1"), ("a.txt", &[b'x'; 700]), ("b.cls", b"2")]);
    // Three files with their headers, then two blocks of zeros.
    let content = 3 * 512 + 512 + 1024 + 512;
    assert!(bytes.len() >= content + 1024);
    for end in 0..content + 512 {
        let error = keys(folder.path(), "cut.tar", &bytes[..end]).unwrap_err();
        assert!(matches!(&error, Error::DataFile { path, .. } if path.ends_with("cut.tar")), "{end}: {error}");
    }
    assert_eq!(keys(folder.path(), "whole.tar", &bytes).unwrap(), ["a", "b"]);
    let text =
        |end: usize| keys(folder.path(), "cut.tar", &bytes[..end]).unwrap_err().to_string().split_once("cut.tar`").unwrap().1.to_owned();
    insta::assert_snapshot!([0, 100, 513, 1024, 2000, 3072, content].map(text).join("\n"), @r"
    , record 0, byte 0: the archive is truncated: its end is missing
    , record 0, byte 0: failed to read entire block
    , record 0, byte 0: the archive is truncated: it ends at byte 513
    , record 0, byte 1024: the archive is truncated: its end is missing
    , record 0, byte 1024: the archive is truncated: it ends at byte 2000
    , record 0, byte 2560: the archive is truncated: it ends at byte 3072
    , record 1, byte 3584: the archive is truncated: its end is missing
    ");
}

#[test]
fn a_packed_archive_that_is_truncated_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&tar(&[("a.cls", b"1"), ("b.cls", b"2")])).unwrap();
    let bytes = encoder.finish().unwrap();
    assert_eq!(keys(folder.path(), "whole.tar.gz", &bytes).unwrap(), ["a", "b"]);
    for end in 0..bytes.len() {
        let error = keys(folder.path(), "cut.tgz", &bytes[..end]).unwrap_err();
        assert!(matches!(&error, Error::DataFile { path, .. } if path.ends_with("cut.tgz")), "{end}: {error}");
    }
}

#[test]
fn a_damaged_header_and_a_name_that_occurs_twice_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let text = |bytes: &[u8]| keys(folder.path(), "a.tar", bytes).unwrap_err().to_string().split_once("a.tar`").unwrap().1.to_owned();
    let mut bytes = tar(&[("a.cls", b"1"), ("b.cls", b"2")]);
    bytes[1024 + 20] ^= 1;
    assert_eq!(text(&bytes), ", record 0, byte 1024: archive header checksum mismatch");
    assert_eq!(text(&tar(&[("a.cls", b"1"), ("a.CLS", b"2")])), ", record 0, byte 1024: the sample `a` has two files `.cls`");
    assert_eq!(text(b"not a tar file"), ", record 0, byte 0: failed to read entire block");
}

fn lines(folder: &Path, bytes: &[u8]) -> String {
    let good = folder.join("good.jsonl");
    let bad = folder.join("bad.jsonl");
    fs::write(&good, "1\n2\n").unwrap();
    fs::write(&bad, bytes).unwrap();
    let loader = Loader::stream(Shards::<usize>::json_lines([good, bad]), |items, _| items).batch_size(2);
    let texts: Vec<String> = (0..4).map(|workers| pass(&loader.clone().workers(workers), 0, 0).unwrap_err().to_string()).collect();
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
    texts[0].split_once("bad.jsonl`").unwrap().1.to_owned()
}

#[test]
fn a_bad_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        lines(folder.path(), b"3\n\n4x\n"),
        lines(folder.path(), b"3\n\"four\"\n"),
        lines(folder.path(), b"3\n\xff\n"),
        lines(folder.path(), b"3\n4\n5\n[6\n7\n8"),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r#"
    , line 3: trailing characters at column 2
    , line 2: invalid type: string "four", expected usize at column 6
    , line 2: invalid utf-8 sequence of 1 bytes from index 0
    , line 4: invalid type: sequence, expected usize at column 0
    "#);
}

#[test]
fn an_error_and_a_panic_of_a_decoder_name_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, "1\n2\n3\n").unwrap();
    let text = |decode: fn(usize) -> Result<usize, crate::BoxError>| {
        let loader = Loader::stream(Shards::json_lines([path.clone()]).try_map(decode), |items, _| items);
        pass(&loader, 0, 0).unwrap_err().to_string().split_once("a.jsonl`").unwrap().1.to_owned()
    };
    assert_eq!(text(|item| if item == 2 { Err("not two".into()) } else { Ok(item) }), ", line 2: not two");
    assert_eq!(text(|item| if item == 3 { panic!("three") } else { Ok(item) }), ", line 3: three");
}

#[test]
fn missing_shards_and_wrong_counts_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    fs::write(path("a"), "1\n2\n3\n").unwrap();
    let missing = Loader::stream(Shards::<usize>::json_lines([path("a"), path("b")]), |items, _| items);
    let error = missing.check().unwrap_err().to_string();
    assert!(error.ends_with("b`: there is no such file"), "{error}");
    for (count, has) in [(2, "more records than the 2 that were counted"), (4, "3 records, and 4 were counted")] {
        for workers in [0, 2] {
            let shards = Shards::<usize>::json_lines([path("a")]).with_counts([count]);
            let error = pass(&Loader::stream(shards, |items, _| items).workers(workers), 0, 0).unwrap_err().to_string();
            assert!(error.ends_with(&format!("a`: it has {has}")), "{error}");
        }
    }
    assert!(Shards::<usize>::json_lines([path("b")]).counted().is_err());
}

/// GNU tar writes files with holes as sparse ones.
#[test]
fn sparse_and_contiguous_files_are_files_and_other_entries_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, content: &[u8], change: &dyn Fn(&mut tar::GnuHeader)| {
        let mut header = tar::Header::new_gnu();
        header.set_path(name).unwrap();
        header.set_size(content.len() as u64);
        header.set_entry_type(kind);
        change(header.as_gnu_mut().unwrap());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    };
    add("pax_global_header", tar::EntryType::XGlobalHeader, b"19 comment=abcdefg\n", &|_| ());
    add("a.txt", tar::EntryType::Continuous, b"one", &|_| ());
    add("b.txt", tar::EntryType::GNUSparse, &[b'x'; 512], &|header| {
        header.sparse[0].offset = *b"00000001000\0";
        header.sparse[0].numbytes = *b"00000001000\0";
        header.realsize = *b"00000002000\0";
    });
    add("c.txt", tar::EntryType::Fifo, b"", &|_| ());
    add("d.txt", tar::EntryType::Regular, b"", &|_| ());
    let path = folder.path().join("a.tar");
    fs::write(&path, builder.into_inner().unwrap()).unwrap();
    let samples = pass(&Loader::stream(Shards::tar([path]), |mut samples, _| samples.remove(0)), 0, 0).unwrap();
    let found: Vec<_> = samples.iter().map(|sample| (sample.key.as_str(), sample.file("txt").unwrap().to_vec())).collect();
    assert_eq!(found, [("a", b"one".to_vec()), ("b", [[0; 512], [b'x'; 512]].concat()), ("d", Vec::new())]);
}

#[test]
fn a_shard_that_is_removed_or_damaged_while_it_is_read_is_named_by_every_rank() {
    for workers in 0..4 {
        for world in 1..4 {
            for content in [None, Some("1\n2\n?\n")] {
                let folder = tempfile::tempdir().unwrap();
                let paths = ["a", "b", "c"].map(|name| folder.path().join(name));
                for path in &paths {
                    fs::write(path, "1\n2\n3\n").unwrap();
                }
                let loader = Loader::stream(Shards::<usize>::json_lines(paths.clone()).counted().unwrap(), |items, _| items);
                let loader = loader.batch_size(2).workers(workers);
                match content {
                    None => fs::remove_file(&paths[1]).unwrap(),
                    Some(content) => fs::write(&paths[1], content).unwrap(),
                }
                let mut named = 0;
                for rank in 0..world {
                    let Err(error) = pass(&loader.for_rank(rank, world).unwrap(), 0, 0) else { continue };
                    assert!(matches!(&error, Error::DataFile { path, .. } if *path == paths[1]), "{error}");
                    named += 1;
                }
                // A missing shard is in the way of every rank. A damaged record is one of a single rank.
                assert_eq!(named, if content.is_none() { world } else { 1 }, "{workers} workers, {world} ranks, {content:?}");
            }
        }
    }
}

#[test]
fn files_of_windows_may_start_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, rows) = (folder.path().join("a.jsonl"), folder.path().join("a.csv"));
    fs::write(&lines, "\u{feff}1\r\n2\r\n").unwrap();
    fs::write(&rows, "\u{feff}x,y\r\n1,2\r\n").unwrap();
    assert_eq!(pass(&Loader::stream(Shards::<usize>::json_lines([lines]), |items, _| items[0]), 0, 0).unwrap(), [1, 2]);
    let rows = Shards::<std::collections::HashMap<String, usize>>::csv([rows]);
    assert_eq!(pass(&Loader::stream(rows, |items, _| items[0]["x"]), 0, 0).unwrap(), [1]);
}

#[test]
fn shards_without_records_and_without_names_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("größe 猫 {x}.jsonl");
    fs::write(&empty, "\n\n").unwrap();
    let loader = |shards: Shards<usize>| Loader::stream(shards, |items, _| items).shuffle(true);
    let uncounted = Shards::json_lines([&empty, &empty]).shuffle_buffer(usize::MAX);
    for workers in 0..3 {
        assert_eq!(pass(&loader(uncounted.clone()).workers(workers), 0, 0).unwrap(), Vec::<Vec<usize>>::new());
        assert!(matches!(pass(&loader(uncounted.clone()).workers(workers), 0, 1), Err(Error::SeekPastEnd { batch: 1, length: 0 })));
    }
    assert!(matches!(loader(uncounted.counted().unwrap()).check(), Err(Error::Empty { .. })));
    let text = crate::shard_paths("data/{7..3}.tar").unwrap_err().to_string();
    assert_eq!(text, "the loader is empty: there are no numbers in the range of `data/{7..3}.tar`");
}
