//! Predictions that are taken one by one, and the files that they are written to.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{Error, module::prediction_sink::Predicted, prelude::*, ranks::threads};

use crate::{
    devices::net::{Net, digits},
    error_text::error_text,
    support::{Batch, Line, line_data, quiet},
};

/// Number of predictions that exist.
static ALIVE: AtomicUsize = AtomicUsize::new(0);
/// The largest number of them.
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The numbers of the items of a batch of [`line_data`] of 100 items.
struct Numbers(Vec<usize>);

impl Numbers {
    fn new(numbers: Vec<usize>) -> Self {
        MOST.fetch_max(ALIVE.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(numbers)
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Module, Debug)]
struct Echo {
    line: Line,
}

impl Echo {
    fn new() -> Self {
        Self { line: Line::fixed() }
    }
}

impl LightningModule for Echo {
    type Batch = Batch;
}

impl PredictModule for Echo {
    type Prediction = Numbers;

    fn predict_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<Numbers> {
        Ok(Numbers::new(x.into_data().iter::<f32>().map(|x| (x * 100.0).round() as usize).collect()))
    }
}

/// All set-ups in one test, because they share the counters.
#[test]
fn each_prediction_comes_alone_in_order_with_the_indices_of_its_items() {
    for (devices, workers, shuffle) in [(1, 0, false), (1, 2, true), (1, 3, false), (2, 0, true), (2, 1, false)] {
        MOST.store(0, Ordering::SeqCst);
        let mut seen = Vec::new();
        let sink = |predicted: Predicted<Numbers>| {
            assert_eq!(predicted.indices.as_deref(), Some(predicted.prediction.0.as_slice()));
            seen.push((predicted.dataloader_idx, predicted.batch_idx, predicted.prediction.0.clone()));
            Ok(())
        };
        let loader = || line_data(100, 7).workers(workers).shuffle(shuffle);
        quiet().devices(devices).limit_predict_batches(10).predict_each(&Echo::new(), Loaders::from([loader(), loader()]), sink).unwrap();
        let order: Vec<_> = seen.iter().map(|(loader, batch, _)| (*loader, *batch)).collect();
        assert_eq!(order, (0..2).flat_map(|loader| (0..10).map(move |batch| (loader, batch))).collect::<Vec<_>>());
        assert_eq!(seen[0].2 == (0..7).collect::<Vec<_>>(), !shuffle);
        assert!(MOST.load(Ordering::SeqCst) <= devices, "{} predictions at once with {devices} devices", MOST.load(Ordering::SeqCst));
    }
    // An iterator has no dataset.
    let batches =
        line_data(100, 50).batches(stormfire::data::Position::default(), &Device::flex()).unwrap().map(|batch| batch.unwrap().value);
    let mut count = 0;
    quiet()
        .predict_each(&Echo::new(), Loader::from_iter(batches.collect::<Vec<_>>()), |predicted: Predicted<Numbers>| {
            assert_eq!(predicted.indices, None);
            count += predicted.prediction.0.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(count, 100);
    let fails = |_: Predicted<Numbers>| Err(Error::other("the disk is full"));
    assert_snapshot!(error_text(quiet().predict_each(&Echo::new(), line_data(4, 2), fails)), @"the disk is full");
}

fn csv(path: &Path) -> PredictionWriter<Vec<f32>> {
    PredictionWriter::csv(path, |scores: &Vec<f32>| Ok(scores.clone())).sync_every(Duration::ZERO)
}

fn loaders() -> Loaders<crate::devices::net::Digits> {
    Loaders::from([digits(22, 4).seed(3).shuffle(true), digits(9, 4)])
}

/// Copies a folder at the end of each batch, as a kill at that moment would leave it.
struct Copies {
    from: PathBuf,
    to: PathBuf,
    taken: usize,
}

impl<M: LightningModule> Callback<M> for Copies {
    fn on_predict_batch_end(&mut self, _: &mut Context<'_>, _: &mut M, _: &dyn std::any::Any, _: usize, _: usize) -> Result<()> {
        let to = self.to.join(self.taken.to_string());
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&self.from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        self.taken += 1;
        Ok(())
    }
}

#[test]
fn a_prediction_that_was_killed_at_any_batch_continues() {
    let net = Net::new();
    for devices in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
        let copies = Copies { from: whole.clone(), to: killed.clone(), taken: 0 };
        quiet().devices(devices).callback(copies).predict_each(&net, loaders(), csv(&whole.join("p.csv"))).unwrap();
        let expected = fs::read_to_string(whole.join("p.csv")).unwrap();
        assert_eq!(expected.lines().count(), 1 + 22 + 9);
        assert!(expected.starts_with("dataloader_idx,index,prediction\n0,"));
        assert!(expected.lines().last().unwrap().starts_with("1,8,"));
        for batch in 0..9 {
            let path = killed.join(batch.to_string()).join("p.csv");
            let mut predicted = 0;
            let counts = LambdaCallback::new().on_predict_batch_end(move |_, _, _, _, _| {
                predicted += 1;
                assert!(predicted <= 9 - batch / devices * devices, "a batch is predicted again");
                Ok(())
            });
            quiet().devices(devices).callback(counts).predict_each(&net, loaders(), csv(&path)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "killed at batch {batch} with {devices} devices");
        }
    }
}

#[test]
fn other_weights_or_data_start_from_scratch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.csv");
    let cut = |net: &Net, data: Loaders<crate::devices::net::Digits>| {
        let fails =
            LambdaCallback::new().on_predict_batch_end(|_, _, _, batch, _| if batch == 3 { Err(Error::other("stop")) } else { Ok(()) });
        quiet().callback(fails).predict_each(net, data, csv(&path)).unwrap_err();
    };
    let first = |net: &Net, data: Loaders<crate::devices::net::Digits>| {
        let first = std::sync::Arc::new(std::sync::Mutex::new(None));
        let note = first.clone();
        let notes = LambdaCallback::new().on_predict_batch_start(move |_, _, _, batch, _| {
            note.lock().unwrap().get_or_insert(batch);
            Ok(())
        });
        quiet().callback(notes).predict_each(net, data, csv(&path)).unwrap();
        let first = *first.lock().unwrap();
        first.unwrap()
    };
    let net = Net::new();
    cut(&net, loaders());
    assert_eq!(first(&net, loaders()), 3);
    cut(&net, loaders());
    assert_eq!(first(&net.clone().normalised(), loaders()), 0);
    cut(&net, loaders());
    assert_eq!(first(&net, Loaders::from([digits(22, 4).seed(4).shuffle(true), digits(9, 4)])), 0);
}

#[test]
fn several_ranks_write_the_file_of_one() {
    let net = Net::new();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    quiet().handle_signals(false).predict_each(&net, loaders(), csv(&path("one.csv"))).unwrap();
    let expected = fs::read_to_string(path("one.csv")).unwrap();
    for world in [2, 3] {
        let file = path(&format!("of-{world}.csv"));
        let run = |fails_at: Option<usize>| {
            threads::run(world, |rank| {
                let stop = LambdaCallback::new().on_predict_batch_end(move |_, _, _, batch, loader| {
                    let is_now = loader == 0 && Some(batch) == fails_at && rank == 1;
                    if is_now { Err(Error::other("stop")) } else { Ok(()) }
                });
                quiet().handle_signals(false).callback(stop).predict_each(&net.of_its_own(), loaders(), csv(&file))
            })
        };
        assert!(run(Some(1)).iter().all(Result::is_err));
        assert!(!file.exists());
        run(None).into_iter().for_each(Result::unwrap);
        assert_eq!(fs::read_to_string(&file).unwrap(), expected, "{world} ranks");
        let whole = path(&format!("whole-{world}.csv"));
        threads::run(world, |_| {
            let writer = csv(&whole).interval(stormfire::callbacks::WriteInterval::Epoch);
            quiet().handle_signals(false).predict_each(&net.of_its_own(), loaders(), writer)
        })
        .into_iter()
        .for_each(Result::unwrap);
        assert_eq!(fs::read_to_string(&whole).unwrap(), expected);
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_found_before_the_first_batch() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let never = LambdaCallback::new().on_predict_batch_start(|_, _, _, _, _| panic!("a batch starts"));
    let error = quiet().callback(never).predict_each(&Net::new(), digits(4, 2), csv(&folder.path().join("file/p.csv")));
    assert_snapshot!(error_text(error).replace(&folder.path().display().to_string(), "[folder]"), @"failed to create directory `[folder]/file`: File exists (os error 17)");
}
