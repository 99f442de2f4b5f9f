//! Samplers, streams and augmented batches in a fit: its steps do not depend on workers, resumes and ranks.

use std::{fs, path::Path};

use burn::data::dataset::InMemDataset;
use insta::assert_snapshot;
use stormfire::{
    data::{ClassBalancedSampler, LengthSampler, Shards, StratifiedSampler, SubsetSampler, WeightedSampler, augment, random},
    prelude::*,
};

use super::{fit, on_ranks};
use crate::devices::net::{Digits, Net, digits, of_items};

const ITEMS: usize = 26;

/// A kind of training data. With `ITEMS`, it has seven batches or so in an epoch, the last of which is not full.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Weighted,
    Balanced,
    Stratified,
    Subset,
    ByLength,
    Stream,
    /// CSV files behind URLs.
    Table,
    Augmented,
}

pub(super) const KINDS: [Kind; 8] =
    [Kind::Weighted, Kind::Balanced, Kind::Stratified, Kind::Subset, Kind::ByLength, Kind::Stream, Kind::Table, Kind::Augmented];

impl Kind {
    /// `folder` has the shards with these items.
    pub(super) fn train(self, folder: &Path, items: usize, batch_size: usize) -> Loader<Digits> {
        let labels = (0..items).map(|item| item % 3);
        let all = || digits(items, batch_size);
        match self {
            Self::Weighted => all().sampler(WeightedSampler::new((1..=items).map(|item| item as f64))),
            Self::Balanced => all().sampler(ClassBalancedSampler::new(labels)),
            Self::Stratified => all().sampler(StratifiedSampler::new(labels)),
            Self::Subset => all().sampler(SubsetSampler::new(items / 10..items)),
            Self::ByLength => {
                let lengths =
                    LengthSampler::new((0..items).map(|item| 1 + item % 5)).max_tokens((7 * batch_size / 2).max(5)).multiple_of(1);
                Loader::collate(InMemDataset::new((0..items).collect()), of_items).batch_sampler(lengths)
            }
            Self::Stream => {
                let shards =
                    Shards::<usize>::json_lines(["a", "b", "c"].map(|name| folder.join(name))).shuffle_buffer(9).counted().unwrap();
                Loader::stream(shards, of_items).batch_size(batch_size).shuffle(true)
            }
            Self::Table => {
                let url = |name: &str| format!("file://{}", folder.join(name).display());
                let shards = Shards::<usize>::csv(["a.csv", "b.csv", "c.csv"].map(url)).shuffle_buffer(9).counted().unwrap();
                Loader::stream(shards, of_items).batch_size(batch_size).shuffle(true)
            }
            Self::Augmented => all().shuffle(true).map(|batch| {
                let points = augment::gaussian_noise(batch.points, 0.1, &mut random());
                Digits { points, ..batch }
            }),
        }
    }

    fn data(self, folder: &Path, workers: usize) -> (Loader<Digits>, Loader<Digits>) {
        (self.train(folder, ITEMS, 4).workers(workers), digits(10, 4))
    }
}

/// Three shards with these items, as JSON lines and as CSV.
pub(super) fn shards(all: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (all * 3 / 7, all / 2);
    for (name, items) in [("a", 0..first), ("b", first..second), ("c", second..all)] {
        let lines = items.map(|item| item.to_string()).collect::<Vec<_>>().join("\n");
        fs::write(folder.path().join(name).with_extension("csv"), format!("item\n{lines}")).unwrap();
        fs::write(folder.path().join(name), lines).unwrap();
    }
    folder
}

#[test]
fn a_fit_does_not_depend_on_workers_and_on_where_it_was_resumed() {
    let (folder, net) = (shards(ITEMS), Net::new());
    for kind in KINDS {
        let one = fit(net.clone(), kind.data(folder.path(), 0), |trainer| trainer.seed(7)).unwrap();
        let steps = one.progress.global_step;
        assert!(steps >= 12, "{kind:?}: {steps}");
        for workers in 1..4 {
            let other = fit(net.clone(), kind.data(folder.path(), workers), |trainer| trainer.seed(7)).unwrap();
            assert_eq!((other.weights, other.logged), (one.weights.clone(), one.logged.clone()), "{kind:?}: {workers} workers");
        }
        for stop in [1, steps / 2 - 1, steps / 2, steps / 2 + 2] {
            let path = folder.path().join("stopped.ckpt");
            let mut trainer = crate::support::quiet().seed(7).max_epochs(2).max_steps(stop).num_sanity_val_steps(0).handle_signals(false);
            let stopped = trainer.fit(net.of_its_own(), kind.data(folder.path(), 2)).unwrap();
            trainer.save_checkpoint(&stopped.module, &path).unwrap();
            let resumed = fit(net.clone(), kind.data(folder.path(), 1), |trainer| trainer.seed(7).ckpt_path(path.as_path())).unwrap();
            assert_eq!(
                (resumed.weights, resumed.progress),
                (one.weights.clone(), one.progress.clone()),
                "{kind:?}: resumed at step {stop}"
            );
        }
    }
}

#[test]
fn ranks_equal_one_rank() {
    let (folder, net) = (shards(ITEMS), Net::new());
    for kind in KINDS {
        for world in [2, 3] {
            let set = |trainer: Trainer<Net>, window: usize| trainer.seed(7).accumulate_grad_batches(window);
            let one = fit(net.clone(), kind.data(folder.path(), 1), |trainer| set(trainer, world)).unwrap();
            let several = on_ranks(world, &net, || kind.data(folder.path(), 1), |_, trainer| set(trainer, 1));
            for ended in &several {
                assert_eq!((&ended.weights, &ended.progress), (&one.weights, &one.progress), "{kind:?} on {world} ranks");
            }
        }
    }
}

#[test]
fn ranks_refuse_a_stream_of_unknown_length_and_other_weights() {
    let (folder, net) = (shards(ITEMS), Net::new());
    let uncounted = || Loader::stream(Shards::<usize>::json_lines([folder.path().join("a")]), of_items).batch_size(4);
    let ended = stormfire::ranks::threads::run(2, |_| fit(net.of_its_own(), uncounted(), |trainer| trainer));
    assert_snapshot!(ended[0].as_ref().unwrap_err(), @"a loader made from shards cannot be shared by several ranks, because its batches may differ from rank to rank");
    let weighted = |rank: usize| digits(4, 1).sampler(WeightedSampler::new([1.0, 1.0, 1.0, 1.0 + rank as f64]).samples(50));
    let ended = stormfire::ranks::threads::run(2, |rank| fit(net.of_its_own(), weighted(rank), |trainer| trainer));
    assert_snapshot!(ended[0].as_ref().unwrap_err(), @"`ranks`: the order of loader 0 is `batch_size 1, shuffle false, seed none, drop_last false, sampler 41f37b4ff55881f5` on rank 0 and `batch_size 1, shuffle false, seed none, drop_last false, sampler 82ac5407ee4955f3` on rank 1");
    assert_eq!(ended[1].as_ref().unwrap_err().to_string(), ended[0].as_ref().unwrap_err().to_string());
}

#[test]
fn a_shard_that_is_damaged_or_removed_ends_the_fit_on_all_ranks() {
    for (world, workers) in [(2, 0), (2, 2), (3, 1)] {
        for content in [Some("11\n+\n"), None] {
            let (folder, net) = (shards(ITEMS), Net::new());
            // It is whole when its records are counted.
            let (train, val) = Kind::Stream.data(folder.path(), workers);
            let path = folder.path().join("b");
            match content {
                Some(content) => fs::write(&path, content).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let ended = stormfire::ranks::threads::run(world, |_| fit(net.of_its_own(), (train.clone(), val.clone()), |trainer| trainer));
            let texts: Vec<String> = ended.into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
            let expected = if content.is_some() { "b`, line 2: " } else { "b`: there is no " };
            assert!(texts.iter().any(|text| text.contains(expected)), "{world} ranks, {workers} workers: {texts:?}");
        }
    }
}

#[test]
fn shards_that_have_changed_are_noticed_on_resume() {
    let net = Net::new();
    let write = |folder: &Path, name: &str, items: std::ops::Range<usize>| {
        fs::write(folder.join(name), items.map(|item| item.to_string()).collect::<Vec<_>>().join("\n")).unwrap();
    };
    let errors = [(true, "more"), (true, "moved"), (false, "another"), (false, "fewer")].map(|(counted, change)| {
        let folder = shards(ITEMS);
        let path = folder.path().join("stopped.ckpt");
        let data = |names: &[&str]| {
            let shards = Shards::<usize>::json_lines(names.iter().map(|name| folder.path().join(name))).shuffle_buffer(4);
            let shards = if counted { shards.counted().unwrap() } else { shards };
            Loader::stream(shards, of_items).batch_size(4).shuffle(true)
        };
        let mut trainer = crate::support::quiet().seed(7).max_steps(3).handle_signals(false);
        let stopped = trainer.fit(net.of_its_own(), data(&["a", "b", "c"])).unwrap();
        trainer.save_checkpoint(&stopped.module, &path).unwrap();
        let mut names = vec!["a", "b", "c"];
        let changed: &[(&str, std::ops::Range<usize>)] = match change {
            "more" => &[("c", 13..27)],
            "moved" => &[("a", 0..10), ("b", 10..13)],
            "another" => &[("d", 26..30)],
            _ => &[("a", 0..3), ("b", 11..13), ("c", 13..14)],
        };
        for (name, items) in changed {
            write(folder.path(), name, items.clone());
        }
        if change == "another" {
            names.push("d");
        }
        let resumed = fit(net.clone(), data(&names), |trainer| trainer.seed(7).ckpt_path(path.as_path()));
        resumed.unwrap_err().to_string().replace(&folder.path().display().to_string(), "[folder]")
    });
    assert_snapshot!(errors.join("\n"), @r"
    checkpoint `[folder]/stopped.ckpt`: it was written in the middle of an epoch, and the training data is not the same: it has 27 items, the checkpoint's had 26
    checkpoint `[folder]/stopped.ckpt`: it was written in the middle of an epoch, and the training data is not the same: its loader has batch_size 4, shuffle true, seed 7, drop_last false, shuffle_buffer 4, 3 shards with records [10, 3, 13], the checkpoint's had batch_size 4, shuffle true, seed 7, drop_last false, shuffle_buffer 4, 3 shards with records [11, 2, 13]
    checkpoint `[folder]/stopped.ckpt`: it was written in the middle of an epoch, and the training data is not the same: its loader has batch_size 4, shuffle true, seed 7, drop_last false, shuffle_buffer 4, 4 shards with records not counted, the checkpoint's had batch_size 4, shuffle true, seed 7, drop_last false, shuffle_buffer 4, 3 shards with records not counted
    cannot start at batch 3: the pass has only 2 batches
    ");
}
