//! If any rank gets a request, all of them end at the same step.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use burn::{
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{
    Error,
    module::{
        Event, Hook,
        moment::Progress,
        requests::{SaveRequest, StopRequest},
    },
    prelude::*,
    ranks::threads,
    values::clock,
};

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
    /// Its time is up.
    TimeOut,
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
            Does::TimeOut => clock::advance(Duration::from_hours(6)),
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
    let validations: [Arc<Mutex<Vec<u64>>>; 2] = Default::default();
    let ended = threads::run(2, |rank| {
        let _stopped = clock::stop();
        let device = Device::flex();
        let acts = Acts { does: if rank == acting { does } else { Does::Nothing }, validations: Arc::clone(&validations[rank]) };
        let mut trainer = Trainer::new().max_epochs(2).no_logger().enable_checkpointing(false).enable_progress_bar(false);
        trainer = trainer.enable_model_summary(false).num_sanity_val_steps(0).handle_signals(false);
        trainer = trainer.val_check_interval(every).callback(acts).max_time(Duration::from_hours(5));
        let batches = |count| Loader::from_batches(vec![Tensor::<2>::ones([2, 1], &device); count]);
        let fit = trainer.fit(Line { layer: LinearConfig::new(1, 1).init(&device) }, (batches(20), batches(4)))?;
        Ok::<_, Error>((fit.stop, fit.progress))
    });
    let mut validations = validations.into_iter().map(|validations| validations.lock().unwrap().clone());
    let mut ended = ended.into_iter().map(|ended| (ended.map_err(|error| error.to_string()), validations.next().unwrap()));
    [ended.next().unwrap(), ended.next().unwrap()]
}

#[test]
fn both_ranks_end_at_the_same_step() {
    for acting in [0, 1] {
        for (does, steps) in [
            (Does::Stop, 5),
            (Does::TimeOut, 5),
            (Does::SkipEpoch, 15),
            (Does::SkipAtStart, 14),
            (Does::StopInValidation, 10),
            (Does::Nothing, 20),
        ] {
            let ended = two_ranks(acting, does, Every::Epochs(1));
            let what = format!("rank {acting}: {does:?}");
            let progress = ended.each_ref().map(|(ended, _)| ended.clone().unwrap().1);
            assert_eq!(progress[0].global_step, steps, "{what}");
            assert_eq!(progress[0], progress[1], "{what}");
            assert_eq!(ended[0].1, ended[1].1, "{what}: validations");
            if matches!(does, Does::Stop | Does::StopInValidation) {
                let stops = ended.map(|(ended, _)| ended.unwrap().0);
                assert_eq!(
                    stops,
                    [(); 2].map(|()| StopRequest { by: "Acts".into(), reason: "enough".into() }).map(Stop::Requested),
                    "{what}"
                );
            }
        }
    }
}

/// A checkpoint of rank 0 has the author of the stop, also if another rank requested it.
#[test]
fn a_stop_of_any_rank_survives_a_resume() {
    for acting in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let fit = |does, from: Option<&str>| {
            let ended = threads::run(2, |rank| {
                let device = Device::flex();
                let does = if rank == acting { does } else { Does::Nothing };
                let saving = ModelCheckpoint::new().dirpath(folder.path()).filename("end").save_on_train_epoch_end(true);
                let mut trainer = Trainer::new().max_epochs(2).no_logger().enable_progress_bar(false).enable_model_summary(false);
                trainer = trainer.handle_signals(false).callback(Acts { does, validations: Arc::default() }).callback(saving);
                if let Some(from) = from {
                    trainer = trainer.ckpt_path(folder.path().join(from));
                }
                let batches = Loader::from_batches(vec![Tensor::<2>::ones([2, 1], &device); 20]);
                let fit = trainer.fit(Line { layer: LinearConfig::new(1, 1).init(&device) }, batches)?;
                Ok::<_, Error>((fit.stop, fit.progress.global_step))
            });
            ended.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        };
        let stopped = vec![(Stop::Requested(StopRequest { by: "Acts".into(), reason: "enough".into() }), 5); 2];
        assert_eq!(fit(Does::Stop, None), stopped, "rank {acting}");
        assert_eq!(fit(Does::Nothing, Some("end.ckpt")), stopped, "rank {acting}, resumed");
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
    let ended = [0, 1].map(|acting| two_ranks(acting, Does::Fail, Every::Epochs(1)).map(|(ended, _)| ended.unwrap_err()).join("\n"));
    assert_snapshot!(ended.join("\n"), @r"
    the lamp fell over (in `on_train_batch_end` of `Acts`, epoch 0, batch 4)
    rank 0 has failed: the lamp fell over (in `on_train_batch_end` of `Acts`, epoch 0, batch 4)
    rank 1 has failed: the lamp fell over (in `on_train_batch_end` of `Acts`, epoch 0, batch 4)
    the lamp fell over (in `on_train_batch_end` of `Acts`, epoch 0, batch 4)
    ");
}

/// Makes a request on one rank, in the hook of this name, at its second call.
struct AsksIn {
    hook: &'static str,
    rank: usize,
    asks: Asks,
    calls: usize,
}

#[derive(Clone, Copy, Debug)]
enum Asks {
    Stop,
    Skip,
    Save,
}

impl Callback<Line> for AsksIn {
    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut Line, event: &mut Event<'_, Tensor<2>>) -> Result<()> {
        if event.hook().name() != self.hook {
            return Ok(());
        }
        self.calls += 1;
        let is_once = matches!(event.hook(), Hook::FitStart | Hook::TrainStart | Hook::TrainEnd);
        if module.global_rank() == self.rank && (self.calls == 2 || is_once) {
            match self.asks {
                Asks::Stop => ctx.stop("enough"),
                Asks::Skip => ctx.skip_epoch(),
                Asks::Save => {
                    let path = std::env::temp_dir().join(format!("stormfire-{}-{}.ckpt", std::process::id(), self.hook));
                    ctx.save_checkpoint(SaveRequest { path, ..SaveRequest::default() });
                }
            }
        }
        Ok(())
    }
}

#[test]
fn a_request_in_any_hook_is_that_of_all_ranks() {
    let hooks = [
        "on_fit_start",
        "on_train_start",
        "on_train_epoch_start",
        "on_train_batch_start",
        "on_before_optimizer_step",
        "on_train_batch_end",
        "on_validation_start",
        "on_validation_batch_end",
        "on_validation_epoch_end",
        "on_validation_end",
        "on_train_epoch_end",
        "on_train_end",
    ];
    for hook in hooks {
        for asking in [0, 1] {
            for asks in [Asks::Stop, Asks::Skip, Asks::Save] {
                let what = format!("{hook}, rank {asking}, {asks:?}");
                let ended = threads::run(2, |_| {
                    let device = Device::flex();
                    let mut trainer = Trainer::new().max_epochs(3).no_logger().enable_checkpointing(false).enable_progress_bar(false);
                    trainer = trainer.enable_model_summary(false).num_sanity_val_steps(0).handle_signals(false);
                    trainer = trainer.val_check_interval(Every::Batches(4)).callback(AsksIn { hook, rank: asking, asks, calls: 0 });
                    let batches = |count| Loader::from_batches(vec![Tensor::<2>::ones([2, 1], &device); count]);
                    let fit = trainer.fit(Line { layer: LinearConfig::new(1, 1).init(&device) }, (batches(9), batches(3)))?;
                    Ok::<_, Error>((fit.progress, matches!(fit.stop, Stop::Requested(_))))
                });
                let ended: Vec<_> = ended.into_iter().map(|ended| ended.unwrap_or_else(|error| panic!("{what}: {error}"))).collect();
                assert_eq!(ended[0], ended[1], "{what}");
            }
        }
    }
}
