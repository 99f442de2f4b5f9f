use std::path::Path;

use super::*;

fn logger(folder: &Path) -> CsvLogger {
    CsvLogger::new(folder).name("").version("run")
}

fn table(folder: &Path) -> String {
    fs_err::read_to_string(folder.join("run/metrics.csv")).unwrap()
}

/// The table as a CSV reader sees it: columns, and rows by column, without empty cells.
fn read(folder: &Path) -> Vec<Vec<(String, String)>> {
    let text = table(folder);
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = |row: ::csv::StringRecord| {
        assert!(row.len() <= header.len(), "{row:?} is longer than {header:?}");
        let cells = header.iter().zip(row.iter()).filter(|(_, cell)| !cell.is_empty());
        cells.map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

#[test]
fn calls_of_one_step_share_a_row_and_saving_does_not_close_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path()).aggregate("loss", Reduce::Last);
    logger.log_metrics(&[("loss", 0.5)].into(), Some(0)).unwrap();
    logger.save().unwrap();
    assert_eq!(table(folder.path()), "step,epoch,loss\n0,,0.5\n");
    logger.log_metrics(&[("loss", 0.25), ("epoch", 0.0)].into(), Some(0)).unwrap();
    logger.log_metrics(&[("acc", 1.0)].into(), Some(0)).unwrap();
    logger.save().unwrap();
    assert_eq!(table(folder.path()), "step,epoch,loss,acc\n0,0,0.25,1\n");
    // A shorter value leaves no remains of the longer one.
    logger.log_metrics(&[("loss", 3.0)].into(), Some(0)).unwrap();
    logger.finalize(Status::Success).unwrap();
    assert_eq!(table(folder.path()), "step,epoch,loss,acc\n0,0,3,1\n");
    logger.log_metrics(&[("test_acc", 0.5)].into(), Some(0)).unwrap();
    logger.log_metrics(&[("loss", 9.0)].into(), Some(2)).unwrap();
    logger.log_metrics(&[("loss", 8.0)].into(), Some(1)).unwrap();
    logger.finalize(Status::Success).unwrap();
    assert_eq!(table(folder.path()), "step,epoch,loss,acc,test_acc\n0,0,3,1,0.5\n2,,9,,\n1,,8,,\n");
}

#[test]
fn a_run_that_fails_without_a_row_leaves_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path());
    logger.open().unwrap();
    logger.finalize(Status::Failed).unwrap();
    assert_eq!(fs_err::read_dir(folder.path().join("run")).unwrap().count(), 0);
    logger.finalize(Status::Success).unwrap();
    assert_eq!(table(folder.path()), "step,epoch\n");
}

#[test]
fn values_of_one_step_are_reduced_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open =
        || logger(folder.path()).prefix("p").aggregate("n", Reduce::Sum).aggregate("best", Reduce::Max).aggregate_default(Reduce::Mean);
    let log = |logger: &mut CsvLogger, loss: f64| {
        logger.log_metrics(&[("loss", loss), ("n", 1.0), ("best", loss), ("epoch", loss)].into(), Some(4)).unwrap();
    };
    let mut first = open();
    log(&mut first, 0.1);
    log(&mut first, f64::from(0.7_f32));
    let position = first.position().unwrap().to_string();
    log(&mut first, 9.0);
    drop(first);
    let mut second = open();
    second.resume(serde_json::from_str(&position).unwrap()).unwrap();
    log(&mut second, 0.3);
    second.finalize(Status::Success).unwrap();
    let mean = (0.1 + f64::from(0.7_f32) + 0.3) / 3.0;
    assert_eq!(table(folder.path()), format!("step,epoch,p-loss,p-n,p-best\n4,0.3,{mean},3,0.7\n"));
}

#[test]
fn a_missing_step_continues_from_the_last_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path()).prefix("p");
    logger.log_metrics(&[("a", 1.0)].into(), None).unwrap();
    logger.log_metrics(&[("a", 2.0)].into(), None).unwrap();
    logger.log_metrics(&[("a", 3.0), ("step", 7.0), ("epoch", 1.0)].into(), None).unwrap();
    logger.log_metrics(&[("a", 4.0), ("step", 7.0)].into(), Some(9)).unwrap();
    logger.save().unwrap();
    assert_eq!(table(folder.path()), "step,epoch,p-a\n0,,1\n1,,2\n7,1,3\n9,,4\n");
}

#[test]
fn names_are_quoted_where_csv_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = logger(folder.path());
    writer.log_metrics(&[("a,b", 1.0), ("say \"x\"", 2.0), ("two\nlines", 3.0)].into(), Some(0)).unwrap();
    // Dropping the writer saves.
    drop(writer);
    let mut writer = logger(folder.path());
    writer.log_metrics(&[("two\nlines", 4.0), ("ü", 5.0)].into(), Some(1)).unwrap();
    writer.save().unwrap();
    let cell = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [
        vec![cell("step", "0"), cell("a,b", "1"), cell("say \"x\"", "2"), cell("two\nlines", "3")],
        vec![cell("step", "1"), cell("two\nlines", "4"), cell("ü", "5")],
    ];
    assert_eq!(read(folder.path()), expected);
}

#[test]
fn late_columns_of_a_large_table_grow_the_header_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path());
    let (rows, late) = (20_000_u64, 200_u64);
    let file = folder.path().join("run/metrics.csv");
    let mut replaced = 0;
    let mut last = None;
    for step in 0..rows {
        logger.log_metrics(&[("loss", 0.123_456_789), ("constant", 1e-9)].into(), Some(step)).unwrap();
        if step % (rows / late) == rows / late - 1 {
            logger.log_metrics(&[(format!("late_{}", step / (rows / late)), step as f64)].into(), Some(step)).unwrap();
            logger.save().unwrap();
            let id = identity(&file);
            replaced += u32::from(last.replace(id) != Some(id));
        }
    }
    // One rewrite per column while the file is small, then one per doubling of the reserve.
    assert!(replaced < 100, "{replaced} rewrites for {late} columns");
    assert!(table(folder.path()).contains("\n\n"), "no reserve was needed");
    let check = || {
        let read = read(folder.path());
        assert_eq!(read.len() as u64, rows);
        for (step, row) in (0..).zip(&read) {
            assert_eq!(row[0].1, step.to_string());
            let is_late = step % (rows / late) == rows / late - 1;
            assert_eq!(row.len(), 3 + usize::from(is_late));
            assert!(!is_late || row[3] == (format!("late_{}", step / (rows / late)), step.to_string()));
        }
    };
    check();
    logger.finalize(Status::Success).unwrap();
    check();
    let tidy = table(folder.path());
    assert!(tidy.lines().all(|line| line.matches(',').count() as u64 == 3 + late));
}

#[cfg(unix)]
fn identity(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs_err::metadata(path).unwrap())
}

#[cfg(not(unix))]
fn identity(_: &Path) -> u64 {
    0
}

#[test]
fn a_file_that_is_there_is_continued() {
    for (left, expected) in [
        ("", "step,epoch,a\n5,,1\n"),
        ("step,ep", "step,epoch,a\n5,,1\n"),
        ("step,epoch,b\n1,,2\n3,0,0.", "step,epoch,b,a\n1,,2,\n5,,,1\n"),
        ("step,epoch,a\n1,,2\n\n\n", "step,epoch,a\n1,,2\n5,,1\n"),
        // Lightning's own format: sorted columns, other line ends.
        ("a,epoch,step\r\n7.5,0,1\r\n", "a,epoch,step\n7.5,0,1\n1,,5\n"),
        ("b\n\"x,y\"\n", "b,step,epoch,a\n\"x,y\",,,\n,5,,1\n"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir(folder.path().join("run")).unwrap();
        fs_err::write(folder.path().join("run/metrics.csv"), left).unwrap();
        fs_err::write(folder.path().join("run/.saving-killed"), "step").unwrap();
        let mut logger = logger(folder.path());
        logger.log_metrics(&[("a", 1.0)].into(), Some(5)).unwrap();
        logger.save().unwrap();
        logger.finalize(Status::Failed).unwrap();
        assert_eq!(table(folder.path()), expected, "from {left:?}");
        assert_eq!(fs_err::read_dir(folder.path().join("run")).unwrap().count(), 1);
    }
}

#[test]
fn rows_are_saved_every_n_and_memory_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path()).flush_logs_every_n_steps(3);
    for step in 0..4 {
        logger.log_metrics(&[("a", 1.0)].into(), Some(step)).unwrap();
        let lines = table(folder.path()).lines().count();
        assert_eq!(lines, if step < 3 { 1 } else { 5 });
    }
}

#[test]
fn hyperparameters_are_written_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path());
    let params = |key: &str, value: f32| {
        let mut params = Hyperparams::new();
        params.insert(key, value).unwrap();
        params
    };
    logger.log_hyperparams(&params("lr", 0.1), &Metrics::new()).unwrap();
    logger.log_hyperparams(&params("decay", 1e-5), &Metrics::new()).unwrap();
    let yaml = fs_err::read_to_string(folder.path().join("run/hparams.yaml")).unwrap();
    assert_eq!(yaml, "lr: 0.1\ndecay: 0.00001\n");
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(folder.path().join("run/metrics.csv")).unwrap();
    let error = logger(folder.path()).open().unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(&folder.path().display().to_string(), "[folder]"), @"failed to open `[folder]/run/metrics.csv`: Is a directory (os error 21)");
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let error = logger(&file).open().unwrap_err();
    insta::assert_snapshot!(error.hint().unwrap().replace(&folder.path().display().to_string(), "[folder]"), @"a file is in the way of a log folder; move it or choose another `save_dir`");
}

#[test]
fn a_row_whose_column_does_not_fit_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = logger(folder.path());
    logger.log_metrics(&[("a", 1.0)].into(), Some(0)).unwrap();
    logger.save().unwrap();
    // Without its folder the file cannot be replaced, as on a full disk.
    let (here, away) = (folder.path().join("run"), folder.path().join("away"));
    fs_err::rename(&here, &away).unwrap();
    logger.log_metrics(&[("b", 2.0)].into(), Some(1)).unwrap();
    logger.save().unwrap_err();
    logger.log_metrics(&[("a", 3.0)].into(), Some(2)).unwrap();
    logger.save().unwrap_err();
    assert_eq!(fs_err::read_to_string(away.join("metrics.csv")).unwrap(), "step,epoch,a\n0,,1\n");
    fs_err::rename(&away, &here).unwrap();
    logger.save().unwrap();
    assert_eq!(table(folder.path()), "step,epoch,a,b\n0,,1,\n1,,,2\n2,,3,\n");
}

#[test]
fn lines_of_json_say_what_the_table_says() {
    let folder = tempfile::tempdir().unwrap();
    let lines = || fs_err::read_to_string(folder.path().join("run/metrics.jsonl")).unwrap();
    let mut writer = logger(folder.path()).jsonl(true).prefix("p");
    writer.log_metrics(&[("a \"x\"", f64::from(0.1_f32)), ("epoch", 1.0)].into(), Some(0)).unwrap();
    writer.log_metrics(&[("nan", f64::NAN), ("up", f64::INFINITY)].into(), Some(1)).unwrap();
    writer.save().unwrap();
    let first = "{\"step\":0,\"epoch\":1,\"p-a \\\"x\\\"\":0.1}\n";
    assert_eq!(lines(), format!("{first}{{\"step\":1,\"p-nan\":\"NaN\",\"p-up\":\"Infinity\"}}\n"));
    writer.log_metrics(&[("nan", 1.0), ("down", f64::NEG_INFINITY)].into(), Some(1)).unwrap();
    drop(writer);
    let second = "{\"step\":1,\"p-nan\":\"NaN\",\"p-up\":\"Infinity\",\"p-down\":\"-Infinity\"}\n";
    assert_eq!(lines(), format!("{first}{second}"));
    // An incomplete line is removed.
    fs_err::write(folder.path().join("run/metrics.jsonl"), format!("{first}{{\"step\":1,\"p")).unwrap();
    let mut writer = logger(folder.path()).jsonl(true);
    writer.log_metrics(&[("b", 2.0)].into(), Some(2)).unwrap();
    writer.finalize(Status::Success).unwrap();
    assert_eq!(lines(), format!("{first}{{\"step\":2,\"b\":2}}\n"));
}
