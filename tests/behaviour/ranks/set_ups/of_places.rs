//! Ranks with tied weights, data with a state, periods of time, stores behind URLs, a server that lies, and resumes
//! within a validation on another number of ranks.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use stormfire::{data::Result as DataResult, loggers::MemoryLogger, prelude::*, ranks::threads, values::clock};

use super::{
    super::{self as ranks, tried_on_ranks},
    Odd, fit,
    of_endings::Interrupts,
    on_ranks, same,
};
use crate::{
    child::{folder, part, play},
    devices::{
        self,
        net::{Net, digits},
        set_ups::{assert_kept, lied_to, symbols, tied},
    },
    remote_folders::listed,
    support::{Batch, line_data, recording},
};

#[test]
fn a_tied_weight_gets_both_gradients() {
    let one = ranks::fit(tied(), symbols(), |trainer| trainer.accumulate_grad_batches(2)).unwrap();
    let two = tried_on_ranks(2, tied, symbols, |_, trainer| trainer);
    for ended in two {
        assert_eq!(ended.unwrap().weights, one.weights);
    }
}

/// Data that is other data in each epoch. The epoch is its state.
struct Grows {
    level: usize,
    loaded: Arc<Mutex<Vec<usize>>>,
}

impl DataModule for Grows {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> DataResult<Loader<Batch>> {
        let factor = self.level as f64;
        Ok(line_data(12, 2).map(move |(x, y)| (x, y * factor)))
    }

    fn state(&self) -> DataResult<Saved> {
        Ok(serde_json::json!(self.level).into())
    }

    fn load_state(&mut self, state: Saved) -> DataResult<()> {
        self.level = state.json().as_u64().unwrap() as usize + 1;
        self.loaded.lock().unwrap().push(self.level);
        Ok(())
    }
}

#[test]
fn data_with_a_state_has_it_on_every_rank() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = Arc::new(Mutex::new(Vec::new()));
    let data = || Grows { level: 1, loaded: Arc::clone(&loaded) };
    let path = folder.path().join("epoch=0.ckpt");
    let saving = ModelCheckpoint::new().dirpath(folder.path()).filename("{epoch}");
    on_ranks(2, "", data, |_, t| t.max_epochs(1).enable_checkpointing(true).callback(saving.clone()));
    assert!(loaded.lock().unwrap().is_empty());
    let one = fit("", data(), |t| t.accumulate_grad_batches(2).ckpt_path(path.as_path())).unwrap();
    let two: Vec<_> = on_ranks(2, "", data, |_, t| t.ckpt_path(path.as_path())).into_iter().map(|e| e.unwrap()).collect();
    assert_eq!(*loaded.lock().unwrap(), [2, 2, 2]);
    same("data with a state", &one, &two);
}

/// The rank whose batches take an hour, and the batches at which the validations of each rank start.
struct Slow {
    rank: usize,
    starts: Arc<Mutex<[Vec<u64>; 2]>>,
}

impl Callback<Odd> for Slow {
    fn on_train_batch_start(&mut self, _ctx: &mut Context<'_>, module: &mut Odd, _batch: &Batch, _batch_idx: usize) -> Result<()> {
        if module.global_rank() == self.rank {
            clock::advance(Duration::from_hours(1));
        }
        Ok(())
    }

    fn on_validation_start(&mut self, ctx: &mut Context<'_>, module: &mut Odd) -> Result<()> {
        self.starts.lock().unwrap()[module.global_rank()].push(ctx.global_step());
        Ok(())
    }
}

#[test]
fn a_period_of_time_ends_on_all_ranks_with_the_first() {
    let data = || (line_data(26, 2), line_data(7, 2));
    for rank in [0, 1] {
        let starts = Arc::default();
        let ended = threads::run(2, |_| {
            let _stopped = clock::stop();
            let every = Every::Time(Duration::from_hours(2));
            fit("", data(), |t| t.max_epochs(1).val_check_interval(every).callback(Slow { rank, starts: Arc::clone(&starts) }))
        });
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
        let starts = starts.lock().unwrap();
        assert_eq!(starts[0], starts[1], "rank {rank} is slow");
        assert_eq!(starts[0], [2, 4, 6], "rank {rank} is slow");
    }
}

#[test]
fn ranks_continue_below_a_url() {
    let root = Path::new("memory://ranks/of/today");
    let data = || (digits(24, 4).shuffle(true).seed(3), digits(10, 4));
    let saving = || ModelCheckpoint::new().monitor("val_loss").save_top_k(1).save_last(true).filename("{epoch}");
    let run = |epochs: usize| {
        let set = |trainer: Trainer<Net>| {
            trainer.enable_checkpointing(true).default_root_dir(root).ckpt_path("last").max_epochs(epochs).callback(saving())
        };
        ranks::on_ranks(2, &Net::new(), data, |_, trainer| set(trainer)).remove(0)
    };
    let whole = ranks::on_ranks(2, &Net::new(), data, |_, trainer| trainer.max_epochs(3)).remove(0);
    let begun = run(1);
    assert_eq!(begun.progress.epoch, 1);
    let continued = run(3);
    assert_eq!((&continued.weights, &continued.progress), (&whole.weights, &whole.progress));
    let left = listed(&root.join("checkpoints"));
    assert!(left.len() == 2 && left.contains(&"last.ckpt".to_owned()), "{left:?}");
}

#[test]
fn nothing_is_lost_at_a_server_that_lies() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let memories = [MemoryLogger::new(), MemoryLogger::new()];
    let ended = threads::run(2, |rank| {
        let trainer = recording(&memories[rank]).max_epochs(2).log_every_n_steps(1).handle_signals(false);
        let data = (digits(40, 4), digits(10, 4));
        trainer.logger(lied_to(folders[rank].path())).fit(Net::new().of_its_own(), data).map(drop)
    });
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert_kept(folders[0].path(), &memories[0]);
    assert!(memories[1].rows().is_empty() && !folders[1].path().join(".stormfire").exists(), "only rank 0 logs");
}

/// Helper test for a child process, because it raises signals.
#[test]
#[ignore = "a part of `a_validation_continues_on_another_number_of_ranks`"]
fn is_interrupted_in_validations() {
    if folder().is_none() {
        return;
    }
    let data = || (digits(48, 4).shuffle(true).seed(5), digits(30, 4));
    let set = |trainer: Trainer<Net>, world: usize| {
        trainer.accumulate_grad_batches(6 / world).val_check_interval(Every::Steps(1)).handle_signals(true)
    };
    let whole = ranks::fit(Net::new(), data(), |trainer| set(trainer, 1)).unwrap();
    for (first, rounds) in [(3, 0), (3, 1), (2, 0), (2, 2), (1, 0), (1, 4)] {
        let folder = tempfile::tempdir().unwrap();
        let at = Arc::new(Mutex::new(rounds));
        let interrupted = ranks::on_ranks(first, &Net::new(), data, |_, trainer| {
            let saving = OnExceptionCheckpoint::new(folder.path());
            set(trainer, first).callback(Interrupts { hook: "on_validation_batch_end", at: Arc::clone(&at) }).callback(saving)
        });
        stormfire::forget_interrupt();
        assert!(interrupted[0].stop.is_interrupted(), "{first} ranks, round {rounds}");
        for world in [1, 2, 3] {
            let path = folder.path().join("on_exception.ckpt");
            let rest = ranks::on_ranks(world, &Net::new(), data, |_, trainer| set(trainer, world).ckpt_path(path.as_path())).remove(0);
            let what = format!("{first} ranks, round {rounds}, then {world}");
            let difference = whole.weights.iter().zip(&rest.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference <= 2e-6 && whole.progress == rest.progress, "{what}: {difference}");
            let of = |logged: &[devices::Logged]| {
                let epochs = logged.iter().filter(|(name, ..)| name.starts_with("val") && !name.ends_with("_step"));
                epochs.map(|(name, step, value)| format!("{name} {step:?} {value:.5}")).collect::<Vec<_>>()
            };
            assert_eq!(of(&whole.logged), of(&rest.logged), "{what}");
        }
    }
}

#[test]
fn a_validation_continues_on_another_number_of_ranks() {
    play(part("ranks::set_ups::of_places::is_interrupted_in_validations", tempfile::tempdir().unwrap().path()));
}
