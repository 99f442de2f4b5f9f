use std::sync::Arc;

use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderBuilder, batcher::Batcher},
        dataset::{Dataset, DatasetError, InMemDataset},
    },
    tensor::Device,
};

use super::{assert_resumes, last_flags, must_return, pass, values};
use crate::{CombinedLoader, Error, Length, Loader, Position, Result, for_trainer::DriveLoader as _, random};

#[derive(Clone)]
struct Keep {
    hates: Option<usize>,
}

impl Batcher<usize, Vec<usize>> for Keep {
    fn batch(&self, items: Vec<usize>, _device: &Device) -> Vec<usize> {
        if let Some(hated) = self.hates {
            assert!(!items.contains(&hated), "not {hated}");
        }
        items
    }
}

fn burn(len: usize, workers: usize, hates: Option<usize>) -> Arc<dyn DataLoader<Vec<usize>>> {
    DataLoaderBuilder::new(Keep { hates })
        .batch_size(4)
        .num_workers(workers)
        .set_device(Device::flex())
        .build(InMemDataset::new((0..len).collect()))
}

#[test]
fn batches_pass_through() {
    for workers in [0, 1] {
        let loader: Loader<_> = burn(10, workers, None).into();
        assert_eq!(loader.len(), Length::Unknown);
        assert_eq!(loader.dataset_len(), Some(10));
        for epoch in 0..3 {
            assert_eq!(pass(&loader, epoch, 0).unwrap(), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
        }
        assert_eq!(last_flags(&loader), [false, false, true]);
        let batches = loader.batches(Position::default(), &Device::flex()).unwrap();
        assert_eq!(batches.map(|item| item.unwrap().items).collect::<Vec<_>>(), [Some(4), Some(4), Some(2)]);
        assert_resumes(&loader);
        assert_eq!(loader.items_per_batch(4).len(), Length::Batches(3));
    }
}

#[test]
fn several_workers_deliver_everything() {
    let loader = Loader::from_burn(burn(100, 3, None));
    for epoch in 0..3 {
        let mut items = pass(&loader, epoch, 0).unwrap().concat();
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn an_empty_dataset_has_no_batches() {
    for workers in [0, 2] {
        assert!(values(&Loader::from_burn(burn(0, workers, None))).is_empty());
    }
}

#[test]
fn panics_do_not_shorten_the_epoch_silently() {
    for workers in [0, 1, 2] {
        must_return(move || {
            let loader = Loader::from_burn(burn(64, workers, Some(30)));
            // burn's loader is unusable after a panic. This loader is not.
            for _ in 0..2 {
                let error = pass(&loader, 0, 0).unwrap_err();
                match (workers, &error) {
                    (0, Error::Panic { batch: 7, message, .. }) => assert_eq!(message, "not 30"),
                    (1.., Error::Truncated { total: 64, processed }) => assert!(*processed < 64),
                    _ => panic!("{workers} workers: {error}"),
                }
                assert!(error.hint().is_some());
            }
        });
    }
}

struct Torn;

impl Dataset<usize> for Torn {
    fn get(&self, index: usize) -> Result<usize, DatasetError> {
        if index == 5 { Err(DatasetError::new(std::io::Error::other("torn"))) } else { Ok(index) }
    }

    fn len(&self) -> usize {
        12
    }
}

#[test]
fn dataset_errors_come_through() {
    for workers in [0, 1, 2] {
        let loader: Arc<dyn DataLoader<_>> =
            DataLoaderBuilder::new(Keep { hates: None }).batch_size(2).num_workers(workers).set_device(Device::flex()).build(Torn);
        let error = pass(&Loader::from_burn(loader), 0, 0).unwrap_err();
        assert!(matches!(error, Error::Dataset { .. }) && error.to_string().ends_with("torn"), "{error}");
    }
}

#[test]
fn early_drop_and_passes_at_the_same_time() {
    for workers in [0, 1, 2] {
        must_return(move || {
            // More batches than burn's queue of 100 holds.
            let loader = Loader::from_burn(burn(2000, workers, None));
            let mut outer = loader.batches(Position::default(), &Device::flex()).unwrap();
            for _ in 0..3 {
                outer.next().unwrap().unwrap();
                assert_eq!(values(&loader).len(), 500);
            }
            drop(outer);
            assert_eq!(values(&loader).len(), 500);
        });
    }
}

#[test]
fn burns_own_options_stay_with_burn() {
    let error = pass(&Loader::from_burn(burn(4, 0, None)).batch_size(2), 0, 0).unwrap_err();
    assert_eq!(error.to_string(), "`batch_size` has no effect on a loader made from burn's data loader");
    assert!(error.hint().unwrap().contains("`DataLoaderBuilder`"));
}

/// Returns its items, and a number that it draws.
#[derive(Clone)]
struct Draws;

impl Batcher<usize, (Vec<usize>, usize)> for Draws {
    fn batch(&self, items: Vec<usize>, _device: &Device) -> (Vec<usize>, usize) {
        (items, random().below(1 << 40))
    }
}

#[test]
fn several_of_them_combine_and_resume_exactly() {
    for workers in [0, 1] {
        must_return(move || {
            let burn = |len: usize| {
                let builder = DataLoaderBuilder::new(Draws).batch_size(4).num_workers(workers).set_device(Device::flex());
                builder.build(InMemDataset::new((0..len).collect::<Vec<usize>>()))
            };
            let (short, long) = (burn(10), burn(22));
            // One loader of burn may serve twice.
            let loaders = || [Loader::from_burn(short.clone()), Loader::from_burn(long.clone()), Loader::from_burn(short.clone())];
            let sized = || loaders().map(|loader| loader.items_per_batch(4));
            for loader in [CombinedLoader::sequential(loaders()), CombinedLoader::sequential(sized())] {
                let loader = loader.with_run_seed(7);
                assert_eq!(values(&loader).iter().map(|(items, _)| items.len()).sum::<usize>(), 42, "{workers} workers");
                check_combined(&loader, workers);
            }
            for (combine, rows) in [(CombinedLoader::min_size as fn(_) -> _, 3), (CombinedLoader::max_size_cycle, 6)] {
                for loader in [combine(loaders()), combine(sized())] {
                    let loader = loader.with_run_seed(7);
                    assert_eq!(values(&loader).len(), rows, "{workers} workers");
                    check_combined(&loader, workers);
                }
            }
            check_combined(&CombinedLoader::max_size(loaders()).with_run_seed(7), workers);
        });
    }
}

/// The rest of a pass from any batch on is that of the whole pass. burn's workers do not know for which batch they
/// draw.
fn check_combined<B: std::fmt::Debug + Drawn + Send + 'static>(loader: &Loader<B>, workers: usize) {
    let of = |epoch, start| pass(loader, epoch, start).unwrap().into_iter().map(|row| row.items(workers == 0)).collect::<Vec<_>>();
    for epoch in 0..2 {
        let whole = of(epoch, 0);
        for start in 0..=whole.len() {
            assert_eq!(of(epoch, start), whole[start..], "{workers} workers, epoch {epoch}, from {start}");
        }
        let mut drawn: Vec<_> = whole.iter().flatten().filter_map(|(_, drawn)| *drawn).collect();
        let all = drawn.len();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), all, "each loader draws its own");
    }
}

/// The items of a row of batches, with what was drawn for each of them if that follows from the seed.
trait Drawn {
    fn items(self, with_drawn: bool) -> Vec<(Vec<usize>, Option<usize>)>;
}

impl Drawn for (Vec<usize>, usize) {
    fn items(self, with_drawn: bool) -> Vec<(Vec<usize>, Option<usize>)> {
        vec![(self.0, with_drawn.then_some(self.1))]
    }
}

impl<B: Drawn> Drawn for Vec<B> {
    fn items(self, with_drawn: bool) -> Vec<(Vec<usize>, Option<usize>)> {
        self.into_iter().flat_map(|batch| batch.items(with_drawn)).collect()
    }
}

impl<B: Drawn> Drawn for Option<B> {
    fn items(self, with_drawn: bool) -> Vec<(Vec<usize>, Option<usize>)> {
        self.map(|batch| batch.items(with_drawn)).unwrap_or_default()
    }
}
