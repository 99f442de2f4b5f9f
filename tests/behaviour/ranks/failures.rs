//! A rank that fails ends all of them, with its number and its reason, whenever it does.

use insta::assert_snapshot;
use stormfire::{Error, prelude::*, ranks::threads};

use crate::{
    devices::net::{Net, digits},
    support::quiet,
};

/// Fails on one rank in the hook of this name.
struct FailsIn {
    hook: &'static str,
    rank: usize,
    panics: bool,
}

impl<M: LightningModule> Callback<M> for FailsIn {
    fn on_event(&mut self, _ctx: &mut Context<'_>, module: &mut M, event: &mut stormfire::module::Event<'_, M::Batch>) -> Result<()> {
        if event.hook().name() == self.hook && module.global_rank() == self.rank {
            assert!(!self.panics, "the lamp fell over");
            return Err(Error::other("the lamp fell over"));
        }
        Ok(())
    }
}

fn ended(hook: &'static str, failing: usize, panics: bool) -> Vec<String> {
    let ended = threads::run(3, |_| {
        let trainer = quiet().max_epochs(2).handle_signals(false).callback(FailsIn { hook, rank: failing, panics });
        let mut trainer = trainer;
        trainer.fit(Net::new().of_its_own(), (digits(26, 4), digits(9, 4))).map(drop)
    });
    ended.into_iter().map(|ended| ended.unwrap_err().to_string()).collect()
}

#[test]
fn a_failure_in_any_hook_ends_all_ranks() {
    let hooks = [
        "setup",
        "on_fit_start",
        "on_sanity_check_start",
        "on_train_start",
        "on_train_epoch_start",
        "on_train_batch_start",
        "on_before_zero_grad",
        "on_before_backward",
        "on_after_backward",
        "on_before_optimizer_step",
        "on_train_batch_end",
        "on_validation_batch_start",
        "on_validation_epoch_end",
        "on_validation_end",
        "on_train_epoch_end",
        "on_train_end",
    ];
    for hook in hooks {
        for failing in [0, 1] {
            for panics in [false, true] {
                let errors = ended(hook, failing, panics);
                for (rank, error) in errors.iter().enumerate() {
                    assert!(error.contains("the lamp fell over"), "{hook}, rank {rank} of those with {failing}: {error}");
                    let is_named = error.contains(&format!("rank {failing} has failed"));
                    assert_eq!(is_named, rank != failing, "{hook}: rank {rank}: {error}");
                }
            }
        }
    }
}

#[test]
fn different_options_are_named() {
    let ended = threads::run(2, |rank| {
        let mut trainer = quiet().max_epochs(1 + rank).handle_signals(false);
        trainer.fit(Net::new().of_its_own(), digits(8, 4)).map(drop)
    });
    let errors: Vec<_> = ended.into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors.join("\n"), @r"
    `ranks`: the option `max_epochs` is `1` on rank 0 and `2` on rank 1
    `ranks`: the option `max_epochs` is `1` on rank 0 and `2` on rank 1
    ");
}

#[test]
fn a_different_module_is_named() {
    let ended = threads::run(2, |rank| {
        let net = if rank == 0 { Net::new() } else { Net::new().normalised() };
        let mut trainer = quiet().max_epochs(1).handle_signals(false);
        trainer.fit(net.of_its_own(), digits(8, 4)).map(drop)
    });
    let errors: Vec<_> = ended.into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors.join("\n"), @r"
    `ranks`: the number of parameters is `80` on rank 0 and `144` on rank 1
    `ranks`: the number of parameters is `80` on rank 0 and `144` on rank 1
    ");
}

#[test]
fn a_refused_start_of_one_rank_ends_the_others() {
    let ended = threads::run(2, |rank| {
        let trainer = quiet().max_epochs(1).handle_signals(false);
        let mut trainer = if rank == 1 { trainer.gradient_clip_val(-1.0) } else { trainer };
        trainer.fit(Net::new().of_its_own(), digits(8, 4)).map(drop)
    });
    let errors: Vec<_> = ended.into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors.join("\n"), @r"
    rank 1 has failed: `gradient_clip_val`: -1 is not a positive number
    `gradient_clip_val`: -1 is not a positive number
    ");
}

#[test]
fn data_of_different_lengths_is_named() {
    let ended = threads::run(2, |rank| {
        let mut trainer = quiet().max_epochs(1).handle_signals(false);
        trainer.fit(Net::new().of_its_own(), digits(8 + 8 * rank, 4)).map(drop)
    });
    let errors: Vec<_> = ended.into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors.join("\n"), @r"
    `ranks`: the number of items of loader 0 is `8` on rank 0 and `16` on rank 1
    `ranks`: the number of items of loader 0 is `8` on rank 0 and `16` on rank 1
    ");
}

#[test]
fn an_iterator_cannot_be_shared() {
    let ended = threads::run(2, |_| {
        let mut trainer = quiet().max_epochs(1).handle_signals(false);
        let batches = Loader::from_fn(|_| (0..4).map(|_| crate::devices::net::batch()));
        trainer.fit(Net::new().of_its_own(), batches).map(drop)
    });
    let errors: Vec<_> = ended.into_iter().map(|ended| ended.unwrap_err().to_string()).collect();
    assert_snapshot!(errors.join("\n"), @r"
    a loader made from an iterator cannot be shared by several ranks, because its batches may differ from rank to rank
    a loader made from an iterator cannot be shared by several ranks, because its batches may differ from rank to rank
    ");
}
