mod damage;
mod formats;
mod resumes;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::tensor::Device;

use super::*;
use crate::{Loader, Stage, for_trainer::DriveLoader as _, random};

/// Shards of JSON lines with the numbers from 0 on.
fn numbers(folder: &Path, sizes: &[usize]) -> Vec<PathBuf> {
    let mut next = 0;
    let shard = |(index, size): (usize, &usize)| {
        let path = folder.join(format!("{index:02}.jsonl"));
        let lines: Vec<String> = (next..next + size).map(|number| number.to_string()).collect();
        next += size;
        fs::write(&path, lines.join("\n")).unwrap();
        path
    };
    sizes.iter().enumerate().map(shard).collect()
}

fn pass<B: Send + 'static>(loader: &Loader<B>, epoch: usize, batch: usize) -> Result<Vec<B>> {
    loader.batches(Position::new(epoch, batch), &Device::flex())?.map(|item| Ok(item?.value)).collect()
}

const SIZES: [usize; 6] = [7, 0, 13, 1, 9, 10];

fn loader(shards: Shards<usize>) -> Loader<Vec<usize>> {
    Loader::stream(shards, |items, _| items).batch_size(3)
}

#[test]
fn an_epoch_has_every_record_once_and_its_own_order() {
    let folder = tempfile::tempdir().unwrap();
    let paths = numbers(folder.path(), &SIZES);
    let in_order = loader(Shards::json_lines(paths.clone()));
    assert_eq!(pass(&in_order, 0, 0).unwrap().concat(), (0..40).collect::<Vec<_>>());
    assert_eq!(pass(&in_order, 1, 0).unwrap(), pass(&in_order, 0, 0).unwrap());
    let shuffled = loader(Shards::json_lines(paths).shuffle_buffer(8)).shuffle(true);
    let epochs: BTreeSet<Vec<usize>> = (0..5).map(|epoch| pass(&shuffled, epoch, 0).unwrap().concat()).collect();
    assert_eq!(epochs.len(), 5);
    for mut epoch in epochs {
        epoch.sort_unstable();
        assert_eq!(epoch, (0..40).collect::<Vec<_>>());
    }
    assert_ne!(pass(&shuffled.clone().seed(1), 0, 0).unwrap(), pass(&shuffled, 0, 0).unwrap());
    assert_eq!(pass(&shuffled.without_shuffle(), 3, 0).unwrap().concat(), (0..40).collect::<Vec<_>>());
}

/// Saved positions rely on a stable order.
#[test]
fn the_order_is_stable() {
    let folder = tempfile::tempdir().unwrap();
    let shuffled = loader(Shards::json_lines(numbers(folder.path(), &[3, 4, 5])).shuffle_buffer(4)).shuffle(true).seed(1);
    insta::assert_snapshot!(format!("{:?}", pass(&shuffled, 1, 0).unwrap().concat()), @"[7, 8, 9, 11, 10, 2, 3, 0, 1, 5, 6, 4]");
}

/// All settings, workers, starts and ranks give the batches of one pass without workers.
#[test]
fn batches_do_not_depend_on_workers_resumes_and_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let paths = numbers(folder.path(), &SIZES);
    for (shuffle, buffer, batch_size, drop_last) in
        [(false, 5, 3, false), (true, 1, 3, true), (true, 5, 3, false), (true, 7, 5, true), (true, 100, 4, false), (true, 6, 50, false)]
    {
        let what = format!("shuffle {shuffle}, buffer {buffer}, batch_size {batch_size}, drop_last {drop_last}");
        // Each time a new loader, which has learned nothing.
        let make = |is_counted: bool| {
            let shards = Shards::json_lines(paths.clone()).shuffle_buffer(buffer);
            let shards = if is_counted { shards.counted().unwrap() } else { shards };
            Loader::stream(shards, |items: Vec<usize>, _| (items, random().below(1000)))
                .batch_size(batch_size)
                .shuffle(shuffle)
                .drop_last(drop_last)
        };
        let whole = pass(&make(false), 2, 0).unwrap();
        let expected = if drop_last { 40 / batch_size } else { 40_usize.div_ceil(batch_size) };
        assert_eq!(whole.len(), expected, "{what}");
        assert_eq!(make(true).len(), Length::Batches(expected), "{what}");
        assert_eq!(make(false).len(), Length::Unknown, "{what}");
        for workers in 0..5 {
            for start in 0..=whole.len() {
                for is_counted in [false, true] {
                    let loader = make(is_counted).workers(workers);
                    assert_eq!(pass(&loader, 2, start).unwrap(), whole[start..], "{what}: {workers} workers, from {start}");
                }
                for world in 2..=3 {
                    let loader = make(true).workers(workers);
                    let ranks: Vec<_> = (0..world).map(|rank| pass(&loader.for_rank(rank, world).unwrap(), 2, start).unwrap()).collect();
                    for (batch, expected) in whole[start..].iter().enumerate() {
                        assert_eq!(&ranks[batch % world][batch / world], expected, "{what}: rank {} of {world}", batch % world);
                    }
                    assert_eq!(ranks.iter().map(Vec::len).sum::<usize>(), whole.len() - start, "{what}");
                }
            }
            for is_counted in [false, true] {
                let error = pass(&make(is_counted).workers(workers), 2, whole.len() + 1).unwrap_err();
                assert!(matches!(error, Error::SeekPastEnd { length, .. } if length == expected), "{what}: {error}");
            }
        }
    }
}

#[test]
fn the_last_batch_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let shards = Shards::json_lines(numbers(folder.path(), &[4, 5]));
    for shards in [shards.clone(), shards.counted().unwrap()] {
        for workers in 0..3 {
            let loader = loader(shards.clone()).workers(workers);
            let mut batches = loader.batches(Position::default(), &Device::flex()).unwrap();
            let mut flags = Vec::new();
            while let Some(batch) = batches.next() {
                batch.unwrap();
                flags.push(batches.is_last());
            }
            assert_eq!(flags, [false, false, true]);
        }
    }
}

#[test]
fn a_start_in_the_middle_opens_no_shard_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let paths = numbers(folder.path(), &[10, 10, 10]);
    let counted = loader(Shards::json_lines(paths.clone()).counted().unwrap());
    let learned = loader(Shards::json_lines(paths.clone()));
    assert_eq!(pass(&learned, 0, 0).unwrap().len(), 10);
    let fresh = loader(Shards::json_lines(paths.clone()));
    fs::write(&paths[0], "damaged").unwrap();
    for loader in [&counted, &learned] {
        assert_eq!(pass(loader, 0, 5).unwrap().concat(), (15..30).collect::<Vec<_>>());
    }
    assert!(pass(&fresh, 0, 5).is_ok_and(|batches| batches.concat()[0] != 15), "it has to count the lines");
}

/// The most records that were in memory at the same time, and the number of decoded ones.
fn most_alive(buffer: usize, workers: usize, batch_size: usize) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let shards = Shards::json_lines(numbers(folder.path(), &[150, 250, 100])).shuffle_buffer(buffer);
    let (alive, most, decoded) = (shards.files.alive.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, counter) = (most.clone(), decoded.clone());
    let before = Arc::strong_count(&alive);
    let shards = shards.try_map(move |number: usize| {
        // The open shard has a handle, too.
        seen.fetch_max(Arc::strong_count(&alive) - before - 1, Ordering::Relaxed);
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    });
    let loader = Loader::stream(shards, |items, _| items).batch_size(batch_size).shuffle(true).workers(workers);
    assert_eq!(pass(&loader, 0, 0).unwrap().concat().len(), 500);
    (most.load(Ordering::Relaxed), decoded.load(Ordering::Relaxed))
}

#[test]
fn memory_is_bounded_by_the_buffer_and_the_batches_in_work() {
    for buffer in [1, 10, 64] {
        for workers in 0..5 {
            let (most, decoded) = most_alive(buffer, workers, 4);
            // Each worker makes one batch and has two ahead; one more is cut, and one waits for its thread.
            let batches = 1 + workers * (2 + 2);
            assert!(most <= buffer + 4 * batches, "{most} records with a buffer of {buffer} and {workers} workers");
            assert_eq!(decoded, 500);
        }
    }
    assert!(most_alive(64, 0, 4).0 > 50, "the test counts");
}

#[test]
fn a_rank_decodes_only_its_own_batches() {
    let folder = tempfile::tempdir().unwrap();
    let decoded = Arc::new(AtomicUsize::new(0));
    let counter = decoded.clone();
    let shards = Shards::json_lines(numbers(folder.path(), &[20, 20])).counted().unwrap().try_map(move |number: usize| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    });
    let batches = pass(&loader(shards).batch_size(5).shuffle(true).for_rank(1, 2).unwrap(), 0, 0).unwrap();
    assert_eq!((batches.len(), decoded.load(Ordering::Relaxed)), (4, 20));
}

#[test]
fn options_that_do_not_apply_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let shards = || Shards::json_lines(numbers(folder.path(), &[3]));
    let text = |error: Error| format!("{error}; {}", error.hint().unwrap_or_default());
    let texts = [
        text(loader(shards()).for_rank(0, 2).unwrap_err()),
        text(loader(shards()).sampler(crate::SubsetSampler::new([0])).check().unwrap_err()),
        text(loader(shards()).batch_size(0).check().unwrap_err()),
        text(loader(shards().shuffle_buffer(0)).check().unwrap_err()),
        text(loader(shards().with_counts([1, 2])).check().unwrap_err()),
        text(loader(Shards::json_lines(Vec::<PathBuf>::new())).check().unwrap_err()),
        text(loader(shards().with_counts([0])).check().unwrap_err()),
    ];
    insta::assert_snapshot!(texts.join("\n"), @r"
    a loader made from shards cannot be shared by several ranks, because its batches may differ from rank to rank; count the records before: `Shards::counted`, or `Shards::with_counts`
    `sampler` has no effect on a loader made from shards; `sampler` works on `Loader::new` with a dataset and a batcher; shards are read from the first to the last record
    `batch_size` cannot be 0; `batch_size` must be at least 1
    `shuffle_buffer` cannot be 0; `shuffle_buffer` must be at least 1
    there are 2 counts for 1 shards; 
    the loader is empty: there are no shards; check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    the loader is empty: its dataset has no items; check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    ");
}

#[test]
fn a_stream_is_a_data_module() {
    let folder = tempfile::tempdir().unwrap();
    let mut data = loader(Shards::json_lines(numbers(folder.path(), &[3])));
    crate::DataModule::setup(&mut data, Stage::Fit).unwrap();
    assert_eq!(crate::DataModule::train_dataloader(&mut data).unwrap().dataset_len(), None);
}
