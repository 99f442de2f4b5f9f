//! Fits of several ranks that resume: exactly with as many ranks, and with another number wherever a window of
//! gradients ends.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use stormfire::{Error, checkpoint::LoadOptions, prelude::*, ranks::threads};
use stormfire_module::for_trainer::scope::moment;

use super::{Ended, Logged, fit, on_ranks};
use crate::{
    devices::{
        self,
        net::{Digits, Net, digits},
    },
    files::names,
    support::quiet,
};

/// Ten batches for training and four for validation.
fn data() -> (Loader<Digits>, Loader<Digits>) {
    (digits(40, 4).shuffle(true).seed(5), digits(13, 4))
}

fn saving(trainer: Trainer<Net>, folder: &Path, every: Every) -> Trainer<Net> {
    let save = ModelCheckpoint::new().dirpath(folder).every(every).save_top_k(SaveTopK::All).filename("{step}");
    trainer.enable_checkpointing(true).callback(save)
}

fn checkpoints(folder: &Path) -> Vec<PathBuf> {
    names(folder).into_iter().map(|name| folder.join(name)).collect()
}

fn epochs(logged: &[Logged]) -> Vec<&Logged> {
    logged.iter().filter(|(name, ..)| !name.ends_with("_step")).collect()
}

/// The values of a continued run are the last ones of the whole.
#[track_caller]
fn assert_continues(what: &str, whole: &Ended, ended: &Ended, within: f64) {
    let difference = whole.weights.iter().zip(&ended.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(f64::from(difference) <= within, "{what}: {difference}");
    assert_eq!(whole.progress, ended.progress, "{what}");
    let (whole, ended) = (epochs(&whole.logged), epochs(&ended.logged));
    let rest = &whole[whole.len() - ended.len()..];
    for ((name, step, one), (again, at, other)) in rest.iter().zip(&ended) {
        assert_eq!((name, step), (again, at), "{what}");
        assert!((one - other).abs() <= within.max(0.0) * 10.0 * one.abs().max(1.0), "{what}: {name} at {step:?}: {one}, {other}");
    }
}

#[test]
fn a_fit_resumes_with_as_many_ranks_bit_for_bit() {
    for (window, every) in [(1, Every::Steps(1)), (2, Every::Batches(1))] {
        let folder = tempfile::tempdir().unwrap();
        let set = |trainer: Trainer<Net>| trainer.accumulate_grad_batches(window).val_check_interval(Every::Batches(6));
        let whole = on_ranks(2, &Net::new(), data, |_, trainer| saving(set(trainer), folder.path(), every));
        let saved = checkpoints(folder.path());
        assert!(saved.len() >= 5, "{saved:?}");
        for checkpoint in saved {
            let ended = on_ranks(2, &Net::new(), data, |_, trainer| set(trainer).ckpt_path(checkpoint.as_path()));
            let what = format!("window {window}, {}", checkpoint.display());
            for (whole, ended) in whole.iter().zip(&ended) {
                assert_continues(&what, whole, ended, 0.0);
            }
        }
    }
}

#[test]
fn a_fit_resumes_with_another_number_of_ranks() {
    let net = Net::new();
    let windows = [(1, 6), (2, 3), (3, 2)];
    let one = fit(net.clone(), data(), |trainer| trainer.accumulate_grad_batches(6)).unwrap();
    for (world, window) in windows {
        let folder = tempfile::tempdir().unwrap();
        on_ranks(world, &net, data, |_, trainer| saving(trainer.accumulate_grad_batches(window), folder.path(), Every::Steps(1)));
        for checkpoint in checkpoints(folder.path()) {
            for (other, window) in windows {
                let ended =
                    on_ranks(other, &net, data, |_, trainer| trainer.accumulate_grad_batches(window).ckpt_path(checkpoint.as_path()));
                let what = format!("{world} ranks, then {other}, {}", checkpoint.display());
                assert_continues(&what, &one, &ended[0], 2e-7);
            }
        }
    }
}

/// The epochs and batches at which validations of a rank start.
#[derive(Clone, Default)]
struct Starts(Arc<Mutex<Vec<(usize, usize)>>>);

impl Callback<Net> for Starts {
    fn on_validation_start(&mut self, _ctx: &mut Context<'_>, _module: &mut Net) -> Result<()> {
        let moment = moment();
        self.0.lock().unwrap().push((moment.epoch, moment.batch_idx));
        Ok(())
    }
}

#[test]
fn a_resumed_fit_knows_the_batch_that_it_is_at() {
    let folder = tempfile::tempdir().unwrap();
    // The last round has one batch.
    let data = || (digits(36, 4), digits(5, 4));
    let run = |set: &(dyn Fn(Trainer<Net>) -> Trainer<Net> + Sync)| {
        let seen = [Starts::default(), Starts::default()];
        on_ranks(2, &Net::new(), data, |rank, trainer| set(trainer.val_check_interval(Every::Steps(1)).callback(seen[rank].clone())));
        seen.map(|seen| std::mem::take(&mut *seen.0.lock().unwrap()))
    };
    let whole = run(&|trainer| saving(trainer, folder.path(), Every::Steps(1)));
    assert_eq!(whole[0], (0..2).flat_map(|epoch| (0..5).map(move |batch| (epoch, batch))).collect::<Vec<_>>());
    for checkpoint in checkpoints(folder.path()) {
        let resumed = run(&|trainer| trainer.ckpt_path(checkpoint.as_path()));
        for (whole, resumed) in whole.iter().zip(resumed) {
            assert!(!resumed.is_empty() && whole.ends_with(&resumed), "{}: {resumed:?} of {whole:?}", checkpoint.display());
        }
    }
}

#[test]
fn the_last_checkpoint_is_found_for_all_ranks() {
    let folder = tempfile::tempdir().unwrap();
    let run = |max_epochs: usize| {
        let ended = threads::run(2, |_| {
            let trainer = Trainer::new().default_root_dir(folder.path()).enable_progress_bar(false).enable_model_summary(false);
            let mut trainer = trainer.max_epochs(max_epochs).ckpt_path("last").handle_signals(false);
            let fit = trainer.fit(Net::new().of_its_own(), data())?;
            let folder = trainer.log_dir().map(Path::to_path_buf);
            let best = trainer.get::<ModelCheckpoint>().and_then(|saving| saving.best_model_path().map(Path::to_path_buf));
            Ok::<_, Error>((fit.progress.batches, devices::values(&fit.module), folder, best))
        });
        ended.into_iter().map(|ended| ended.unwrap()).collect::<Vec<_>>()
    };
    let first = run(1);
    let second = run(2);
    assert_eq!((first[0].0, second[0].0), (10, 20));
    assert_eq!(first[0], first[1], "all ranks know the folder and the checkpoint");
    assert_eq!(second[0], second[1]);
    assert_eq!(names(&folder.path().join("lightning_logs")), ["version_0"]);
    let whole = on_ranks(2, &Net::new(), data, |_, trainer| trainer);
    assert_eq!(second[0].1, whole[0].weights);
}

#[test]
fn a_trainer_trains_further_on_every_rank() {
    let whole = on_ranks(2, &Net::new(), data, |_, trainer| trainer.max_steps(7));
    let ended = threads::run(2, |_| {
        let mut trainer = quiet().max_steps(3).num_sanity_val_steps(0).handle_signals(false);
        let begun = trainer.fit(Net::new().of_its_own(), data())?;
        trainer.set_max_steps(7);
        let fit = trainer.fit_further(begun.module, data())?;
        Ok::<_, Error>((devices::values(&fit.module), fit.progress))
    });
    for (ended, whole) in ended.into_iter().zip(whole) {
        assert_eq!(ended.unwrap(), (whole.weights, whole.progress));
    }
}

#[test]
fn batch_normalization_has_the_statistics_of_all_ranks() {
    let net = Net::new().normalised();
    let folder = tempfile::tempdir().unwrap();
    let several = on_ranks(2, &net, data, |_, trainer| saving(trainer, folder.path(), Every::Epochs(1)));
    assert_eq!(several[0].weights, several[1].weights);
    // The same as threads that share each batch of twice the size, in another order of the sums.
    let both = (digits(40, 8), digits(13, 8));
    let fixed = || (digits(40, 4), digits(13, 4));
    let ranks = on_ranks(2, &net, fixed, |_, trainer| trainer.max_steps(1));
    let parts = fit(net.clone(), both, |trainer| trainer.devices(2).max_steps(1)).unwrap();
    let of = Net::running_mean();
    for (ranks, parts) in ranks[0].weights[of.clone()].iter().zip(&parts.weights[of]) {
        assert!((ranks - parts).abs() < 1e-6, "{ranks}, {parts}");
    }
    let last = folder.path().join("step=10.ckpt");
    let loaded = Net::new().normalised().load_weights(&last, &LoadOptions::default()).unwrap().0;
    assert_eq!(devices::values(&loaded), several[0].weights);
}
