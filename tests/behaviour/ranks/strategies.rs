//! The options that say how a training is divided.

use insta::assert_snapshot;
use stormfire::{Error, prelude::*, ranks::threads};

use crate::{
    devices::net::{Net, digits},
    support::quiet,
};

fn start(set: impl FnOnce(Trainer<Net>) -> Trainer<Net>) -> Result<Fit<Net>, Error> {
    set(quiet().max_epochs(1)).fit(Net::new(), digits(8, 4))
}

#[test]
fn options_that_need_other_processes_are_refused() {
    let refused: [fn(Trainer<Net>) -> Trainer<Net>; 4] = [
        |trainer| trainer.strategy("mpi"),
        |trainer| trainer.num_nodes(2),
        |trainer| trainer.strategy("single").devices(2),
        |trainer| trainer.strategy("ddp"),
    ];
    assert_snapshot!(refused.map(|set| start(set).unwrap_err().to_string()).join("\n"), @r#"
    `strategy`: `mpi` needs several processes, and no launcher has started this one
    `num_nodes`: 2 machines are set, and there is one process
    `devices`: `strategy("single")` uses one device, and 2 are set
    `strategy`: cannot read `ddp` as a strategy: it is not a known value
    "#);
}

#[test]
fn options_that_fit_one_process_are_taken() {
    for fit in [
        start(|trainer| trainer.strategy("single").num_nodes(1)),
        start(|trainer| trainer.strategy("single").devices("auto")),
        start(|trainer| trainer.strategy("threads").devices(2)),
        start(|trainer| trainer.strategy("auto").devices(2)),
    ] {
        assert_eq!(fit.unwrap().progress.batches, 2);
    }
}

#[test]
fn each_rank_of_threads_has_its_own_threads() {
    let ended = threads::run(2, |_| {
        let mut trainer = quiet().max_epochs(1).handle_signals(false).strategy("threads").devices(2);
        trainer.fit(Net::new().of_its_own(), digits(8, 4)).map(|fit| fit.progress.batches)
    });
    assert_eq!(ended.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [2, 2]);
}
