//! Two ranks in two threads: if any of them gets a request, both end at the same step.

use std::{
    cell::RefCell,
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use burn::{
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use stormfire_data::Loader;
use stormfire_module::{Callback, Context, Error, LightningModule, Result, StepOutput, moment::Progress};
use stormfire_optim::{Optimizer, Optimizers};
use stormfire_values::{Every, clock};

use super::*;
use crate::{Stop, Trainer};

thread_local! {
    static FAKE: RefCell<Option<Box<dyn Communicator>>> = const { RefCell::new(None) };
}

/// The rank of the next Trainer on this thread.
pub(super) fn fake() -> Option<Box<dyn Communicator>> {
    FAKE.take()
}

#[derive(Default)]
struct Meeting {
    rounds: u64,
    arrived: usize,
    said: Flags,
    agreed: Flags,
    gone: Option<(usize, String)>,
}

/// One of two ranks.
struct Rank {
    rank: usize,
    meeting: Arc<(Mutex<Meeting>, Condvar)>,
}

impl Communicator for Rank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        2
    }

    fn agree(&mut self, said: Flags) -> Result<Flags> {
        let (meeting, changed) = &*self.meeting;
        let mut now = meeting.lock().unwrap();
        let round = now.rounds;
        now.said = now.said.and(said);
        now.arrived += 1;
        if now.arrived == self.world() {
            (now.agreed, now.said, now.arrived) = (now.said, Flags::default(), 0);
            now.rounds += 1;
            changed.notify_all();
        }
        while now.rounds == round {
            if let Some((rank, reason)) = &now.gone {
                return Err(Error::other(format!("rank {rank} has failed: {reason}")));
            }
            let waited = changed.wait_timeout(now, Duration::from_mins(1)).unwrap();
            assert!(!waited.1.timed_out(), "the other rank does not come");
            now = waited.0;
        }
        Ok(now.agreed)
    }

    fn abort(&mut self, reason: &str) {
        let (meeting, changed) = &*self.meeting;
        meeting.lock().unwrap().gone.get_or_insert_with(|| (self.rank, reason.to_owned()));
        changed.notify_all();
    }
}

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
}

impl LightningModule for Line {
    type Batch = Tensor<2>;

    fn training_step(&self, x: Tensor<2>, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.layer.forward(x).powi_scalar(2).mean().into())
    }

    fn validation_step(&self, _x: Tensor<2>, _batch_idx: usize) -> Result<StepOutput> {
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

/// The action of one rank at its fifth batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Stop,
    SkipEpoch,
    SkipAtStart,
    StopInValidation,
    Fail,
    /// Validation is due by its clock.
    Wait,
    Nothing,
}

#[derive(Clone)]
struct Acts {
    does: Does,
    validations: Arc<Mutex<Vec<u64>>>,
}

impl Callback<Line> for Acts {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut Line, _batch: &Tensor<2>, batch_idx: usize) -> Result<()> {
        if (self.does, batch_idx, ctx.current_epoch()) == (Does::SkipAtStart, 4, 0) {
            ctx.skip_epoch();
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut Line, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if (batch_idx, ctx.current_epoch()) != (4, 0) {
            return Ok(());
        }
        match self.does {
            Does::Stop => ctx.stop("enough"),
            Does::SkipEpoch => ctx.skip_epoch(),
            Does::Fail => return Err(Error::other("the lamp fell over")),
            Does::Wait => clock::advance(Duration::from_hours(2)),
            _ => {}
        }
        Ok(())
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
        self.validations.lock().unwrap().push(ctx.global_step());
        if self.does == Does::StopInValidation {
            ctx.stop("enough");
        }
        Ok(())
    }
}

/// The result of a rank.
type Ended = (Result<(Stop, Progress), String>, Vec<u64>);

fn two_ranks(acting: usize, does: Does, every: Every) -> [Ended; 2] {
    let meeting = Arc::default();
    let run = |rank: usize| {
        let meeting = Arc::clone(&meeting);
        thread::spawn(move || {
            let _stopped = clock::stop();
            FAKE.set(Some(Box::new(Rank { rank, meeting })));
            let device = Device::flex();
            let acts = Acts { does: if rank == acting { does } else { Does::Nothing }, validations: Arc::default() };
            let validations = Arc::clone(&acts.validations);
            let mut trainer = Trainer::new().max_epochs(2).no_logger().enable_checkpointing(false).enable_progress_bar(false);
            trainer = trainer.enable_model_summary(false).num_sanity_val_steps(0).handle_signals(false);
            trainer = trainer.val_check_interval(every).callback(acts);
            let batches = |count| Loader::from_batches(vec![Tensor::<2>::ones([2, 1], &device); count]);
            let fit = trainer.fit(Line { layer: LinearConfig::new(1, 1).init(&device) }, (batches(10), batches(2)));
            let ended = fit.map(|fit| (fit.stop, fit.progress)).map_err(|error| error.to_string());
            let validations = validations.lock().unwrap().clone();
            (ended, validations)
        })
    };
    [run(0), run(1)].map(|rank| rank.join().unwrap())
}

#[test]
fn both_ranks_end_at_the_same_step() {
    for acting in [0, 1] {
        for (does, steps) in
            [(Does::Stop, 5), (Does::SkipEpoch, 15), (Does::SkipAtStart, 14), (Does::StopInValidation, 10), (Does::Nothing, 20)]
        {
            let ended = two_ranks(acting, does, Every::Epochs(1));
            let what = format!("rank {acting}: {does:?}");
            let progress = ended.each_ref().map(|(ended, _)| ended.clone().unwrap().1);
            assert_eq!(progress[0].global_step, steps, "{what}");
            assert_eq!(progress[0], progress[1], "{what}");
            assert_eq!(ended[0].1, ended[1].1, "{what}: validations");
            if matches!(does, Does::Stop | Does::StopInValidation) {
                let stops = ended.map(|(ended, _)| ended.unwrap().0);
                assert_eq!(stops[acting], Stop::Requested("enough".into()), "{what}");
                assert_eq!(stops[1 - acting], Stop::Requested("another rank requested it".into()), "{what}");
            }
        }
    }
}

#[test]
fn a_validation_is_due_for_both_when_it_is_for_one() {
    for acting in [0, 1] {
        let ended = two_ranks(acting, Does::Wait, Every::Time(Duration::from_hours(1)));
        assert_eq!(ended[0].1, ended[1].1);
        assert_eq!(ended[0].1.len(), 1, "rank {acting}");
    }
}

#[test]
fn a_rank_that_fails_ends_the_other_with_its_name() {
    for acting in [0, 1] {
        let ended = two_ranks(acting, Does::Fail, Every::Epochs(1)).map(|(ended, _)| ended.unwrap_err());
        assert!(ended[acting].contains("the lamp fell over"), "{}", ended[acting]);
        assert!(ended[1 - acting].starts_with(&format!("rank {acting} has failed: ")), "{}", ended[1 - acting]);
    }
}
