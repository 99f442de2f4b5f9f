//! A million predictions: in order, one batch in memory at a time, and exact after a failure.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::{data::dataset::InMemDataset, prelude::*};
use stormfire::{Error, prelude::*};

use crate::support::{Line, quiet};

const ITEMS: usize = 1_000_000;
const BATCH_SIZE: usize = 1000;
/// The batch in which the first run fails.
const FAILS_AT: usize = 600;

/// The number of predicted items in memory, and the largest number of them.
#[derive(Debug, Default)]
struct Alive {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// The predictions of a batch.
struct Doubles {
    numbers: Vec<usize>,
    alive: Arc<Alive>,
}

impl Drop for Doubles {
    fn drop(&mut self) {
        self.alive.now.fetch_sub(self.numbers.len(), Ordering::SeqCst);
    }
}

/// Predicts twice each number.
#[derive(Module, Debug)]
struct Doubling {
    line: Line,
    #[module(skip)]
    alive: Arc<Alive>,
}

impl LightningModule for Doubling {
    type Batch = Vec<usize>;
}

impl PredictModule for Doubling {
    type Prediction = Doubles;

    fn predict_step(&self, items: Vec<usize>, _batch_idx: usize) -> Result<Doubles> {
        let now = self.alive.now.fetch_add(items.len(), Ordering::SeqCst) + items.len();
        self.alive.most.fetch_max(now, Ordering::SeqCst);
        Ok(Doubles { numbers: items.iter().map(|item| 2 * item).collect(), alive: Arc::clone(&self.alive) })
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a writer takes a function that may fail")]
fn rows(doubles: &Doubles) -> Result<Vec<usize>> {
    Ok(doubles.numbers.clone())
}

/// Predicts a million items in two runs, the first of which fails, and compares each line of the file.
fn check(writer: impl Fn(&Path) -> PredictionWriter<Doubles>, header: Option<&str>, line: impl Fn(usize) -> String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("predictions");
    let module = Doubling { line: Line::fixed(), alive: Arc::default() };
    let data = || Loader::collate(InMemDataset::new((0..ITEMS).collect()), |items: Vec<usize>, _: &Device| items).batch_size(BATCH_SIZE);
    let fails =
        LambdaCallback::new().on_predict_batch_end(|_, _, _, batch, _| if batch == FAILS_AT { Err(Error::other("stop")) } else { Ok(()) });
    quiet().callback(fails).predict_each(&module, data(), writer(&path)).unwrap_err();
    assert!(!path.exists());
    let continues = LambdaCallback::new().on_predict_batch_start(|_, _, _, batch, _| {
        assert!(batch >= FAILS_AT, "batch {batch} is predicted again");
        Ok(())
    });
    quiet().callback(continues).predict_each(&module, data(), writer(&path)).unwrap();
    assert_eq!(module.alive.most.load(Ordering::SeqCst), BATCH_SIZE, "the most predictions in memory");
    assert_eq!(module.alive.now.load(Ordering::SeqCst), 0);
    let mut lines = BufReader::new(File::open(&path).unwrap()).lines().map(|line| line.unwrap());
    assert_eq!(header.and_then(|_| lines.next()).as_deref(), header);
    for item in 0..ITEMS {
        assert_eq!(lines.next(), Some(line(item)));
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn a_million_rows_of_csv_are_in_order_with_one_batch_in_memory() {
    check(|path| PredictionWriter::csv(path, rows), Some("index,prediction"), |item| format!("{item},{}", 2 * item));
}

#[test]
fn a_million_lines_of_json_are_in_order_with_one_batch_in_memory() {
    let line = |item: usize| format!("{{\"index\":{item},\"prediction\":{}}}", 2 * item);
    check(|path| PredictionWriter::json_lines(path, rows), None, line);
}
