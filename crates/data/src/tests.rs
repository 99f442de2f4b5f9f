//! Behaviour across the files of this crate.

mod burn_loader;
mod combined;
mod data_module;
mod failures;
mod iterators;
mod order;
mod random;
mod ranks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use burn::{
    data::dataset::{Dataset, DatasetError},
    tensor::Device,
};

use crate::{Error, Loader, Position, Result};

/// `0..len`, of which item `n` takes longer than item `n + 1`, so that workers finish out of order.
struct Numbers {
    len: usize,
    calls: Arc<AtomicUsize>,
}

impl Numbers {
    fn new(len: usize) -> Self {
        Self { len, calls: Arc::default() }
    }
}

impl Dataset<usize> for Numbers {
    fn get(&self, index: usize) -> Result<usize, DatasetError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_micros(300 * (3 - index as u64 % 4)));
        Ok(index)
    }

    fn len(&self) -> usize {
        self.len
    }
}

fn numbers(len: usize) -> Loader<Vec<usize>> {
    Loader::collate(Numbers::new(len), |items, _| items)
}

/// The message of an error, and below it the hint.
fn text(error: &Error) -> String {
    error.hint().map_or_else(|| error.to_string(), |hint| format!("{error}\n  hint: {hint}"))
}

fn pass<B: Send + 'static>(loader: &Loader<B>, epoch: usize, batch: usize) -> Result<Vec<B>> {
    loader.batches(Position::new(epoch, batch), &Device::flex())?.map(|item| Ok(item?.value)).collect()
}

/// The values of epoch 0.
fn values<B: Send + 'static>(loader: &Loader<B>) -> Vec<B> {
    pass(loader, 0, 0).unwrap()
}

/// The batches of epoch 0, and whether each was known to be the last.
fn last_flags<B: Send + 'static>(loader: &Loader<B>) -> Vec<bool> {
    let mut batches = loader.batches(Position::default(), &Device::flex()).unwrap();
    assert!(!batches.is_last());
    let mut flags = Vec::new();
    while let Some(item) = batches.next() {
        item.unwrap();
        flags.push(batches.is_last());
    }
    flags
}

/// Each tail of epoch 1 must equal the tail of the uninterrupted pass.
fn assert_resumes<B: Send + 'static + PartialEq + std::fmt::Debug>(loader: &Loader<B>) {
    let whole = pass(loader, 1, 0).unwrap();
    for start in 0..=whole.len() {
        let tail = pass(loader, 1, start).unwrap();
        assert_eq!(tail, whole[start..], "from batch {start}");
    }
    let error = pass(loader, 1, whole.len() + 1).unwrap_err();
    let expected = format!("cannot start at batch {}: the pass has only {} batches", whole.len() + 1, whole.len());
    assert!(error.to_string().ends_with(&expected), "{error}");
}

/// Fails instead of hanging when `work` does not return.
fn must_return<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || drop(sender.send(work())));
    let result = receiver.recv_timeout(Duration::from_mins(1));
    if matches!(result, Err(mpsc::RecvTimeoutError::Timeout)) {
        panic!("hangs");
    }
    worker.join().unwrap();
    result.unwrap()
}
