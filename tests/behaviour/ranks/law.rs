//! The law, over plans of batches, windows, limits and ranks.

use stormfire::prelude::*;

use super::{
    Ended, Logged, contents,
    data::{self, KINDS, Kind},
    fit, on_ranks,
};
use crate::devices::net::{Digits, Net, digits};

/// Items of the training data and of the validation data, batch size, and the batches of a window on each rank.
#[derive(Clone, Copy, Debug)]
struct Plan {
    items: usize,
    validated: usize,
    batch_size: usize,
    window: usize,
    gives_sums: bool,
    limit: Option<usize>,
}

const PLAN: Plan = Plan { items: 24, validated: 10, batch_size: 4, window: 1, gives_sums: false, limit: None };

impl Plan {
    fn net(self) -> Net {
        if self.gives_sums { Net::new().of_sums() } else { Net::new() }
    }

    fn data(self) -> (Loader<Digits>, Loader<Digits>) {
        (digits(self.items, self.batch_size).shuffle(true).seed(3), digits(self.validated, self.batch_size))
    }

    fn set(self, trainer: Trainer<Net>, window: usize) -> Trainer<Net> {
        let trainer = trainer.accumulate_grad_batches(window).gradient_clip_val(0.05);
        match self.limit {
            Some(limit) => trainer.limit_train_batches(limit),
            None => trainer,
        }
    }
}

/// The values of epochs. Those of steps are compared in `values.rs`.
fn of_epochs(logged: &[Logged]) -> Vec<&Logged> {
    logged.iter().filter(|(name, ..)| !name.split('/').next().is_some_and(|name| name.ends_with("_step"))).collect()
}

#[track_caller]
fn assert_same(what: &str, one: &Ended, several: &[Ended], within: f32) {
    let logged = of_epochs(&several[0].logged);
    for (rank, ended) in several.iter().enumerate() {
        let difference = one.weights.iter().zip(&ended.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= within, "{what}, rank {rank}: {difference}");
        let difference = one.in_force.iter().zip(&ended.in_force).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= within, "{what}, rank {rank}, in force: {difference}");
        assert_eq!(several[0].in_force, ended.in_force, "{what}: all ranks have the same bits in force");
        assert_eq!((&one.progress, &one.stop), (&ended.progress, &ended.stop), "{what}, rank {rank}");
        assert_eq!(several[0].weights, ended.weights, "{what}: all ranks have the same bits");
        assert!(rank == 0 || ended.logged.is_empty(), "{what}: only rank 0 logs");
    }
    let names = |logged: &[&Logged]| logged.iter().map(|(name, step, _)| (name.clone(), *step)).collect::<Vec<_>>();
    let expected = of_epochs(&one.logged);
    assert_eq!(names(&expected), names(&logged), "{what}");
    for ((name, step, one), (_, _, several)) in expected.iter().zip(&logged) {
        assert!(
            // The area of a class without items.
            (one.is_nan() && several.is_nan()) || (one - several).abs() <= f64::from(within.max(1e-9)) * 10.0 * one.abs().max(1.0),
            "{what}: {name} at {step:?}: {one}, {several}"
        );
    }
}

#[test]
fn ranks_equal_one_rank_with_a_larger_window() {
    let plans = [
        PLAN,
        Plan { gives_sums: true, items: 23, ..PLAN },
        Plan { items: 26, validated: 13, ..PLAN },
        Plan { items: 31, window: 2, ..PLAN },
        Plan { items: 40, batch_size: 3, window: 3, gives_sums: true, ..PLAN },
        Plan { items: 40, limit: Some(5), ..PLAN },
        // Fewer batches than ranks.
        Plan { items: 5, validated: 3, ..PLAN },
    ];
    for plan in plans {
        for world in [2, 3] {
            let one = fit(plan.net(), plan.data(), |trainer| plan.set(trainer, plan.window * world)).unwrap();
            let several = on_ranks(world, &plan.net(), || plan.data(), |_, trainer| plan.set(trainer, plan.window));
            // With one batch in a window, two ranks even add in the same order.
            let within = if plan.window == 1 { 0.0 } else { 2e-7 };
            assert_same(&format!("{plan:?} on {world} ranks"), &one, &several, within);
        }
    }
}

#[test]
fn the_checkpoint_is_that_of_one_rank() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |name: &str| folder.path().join(name).join("checkpoints/epoch=1-step=4.ckpt");
    let set = |trainer: Trainer<Net>, name: &str| {
        let dirpath = folder.path().join(name).join("checkpoints");
        trainer.enable_checkpointing(true).callback(ModelCheckpoint::new().dirpath(dirpath).save_top_k(1).every(Every::Epochs(1)))
    };
    let plan = Plan { items: 16, ..PLAN };
    fit(plan.net(), plan.data(), |trainer| set(plan.set(trainer, 2), "one")).unwrap();
    on_ranks(2, &plan.net(), || plan.data(), |_, trainer| set(plan.set(trainer, 1), "two"));
    let (one, two) = (contents(&saved("one")), contents(&saved("two")));
    assert_eq!(one, two);
}

/// Numbers of a plan, from a seed.
struct Draw(stormfire::data::Random);

impl Draw {
    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.0.below(choices.len())]
    }
}

/// A callback that changes the training, or averages it.
#[derive(Clone, Copy, Debug)]
enum Part {
    None,
    Ema,
    Stochastic,
    Pruning,
    Spikes,
    Backbone,
    Stages,
}

impl Part {
    fn add(self, trainer: Trainer<Net>) -> Trainer<Net> {
        match self {
            Self::None => trainer,
            Self::Ema => trainer.callback(Ema::half_life("3 steps").every("2 steps")).callback(OptimizerMonitor::new()),
            Self::Stochastic => trainer.callback(StochasticWeightAveraging::new(0.02).start_epoch(1).annealing(2, "linear")),
            Self::Pruning => trainer.callback(ModelPruning::new(0.2)).callback(WeightAveraging::new()),
            Self::Spikes => trainer.callback(SpikeDetection::new(SpikeAction::Skip).rtol(0.02).window(3)),
            Self::Backbone => trainer.callback(BackboneFinetuning::new("hidden").unfreeze_at_epoch(1)),
            Self::Stages => trainer.callback(Finetuning::new("hidden").unfreeze_at(1, "hidden")),
        }
    }
}

/// Plans that are drawn: `STORMFIRE_RANK_PLANS` of them, by default 16.
#[test]
fn drawn_plans_equal_one_rank() {
    let plans = std::env::var("STORMFIRE_RANK_PLANS").ok().and_then(|plans| plans.parse().ok()).unwrap_or(16);
    for seed in 0..plans {
        let mut draw = Draw(stormfire::data::Random::new(seed));
        let (world, window) = (draw.of(&[2, 3]), draw.of(&[1, 1, 2, 3]));
        let plan = Plan {
            items: 1 + draw.0.below(60),
            validated: 1 + draw.0.below(20),
            batch_size: draw.of(&[1, 2, 4, 5]),
            window,
            gives_sums: draw.of(&[false, true]),
            limit: draw.of(&[None, None, Some(1), Some(4)]),
        };
        let workers = draw.0.below(3);
        let epochs = 1 + draw.0.below(3);
        // Only where windows end, since ranks stop nowhere else.
        let every = draw.of(&[Every::Epochs(1), Every::Steps(2), Every::Steps(3)]);
        let max_steps = draw.of(&[None, None, Some(3)]);
        let kind = draw.of(&[None; 3].into_iter().chain(KINDS.map(Some)).collect::<Vec<_>>());
        let net = || if seed % 2 == 0 { plan.net().with_metrics() } else { plan.net() };
        let shards = data::shards(plan.items);
        let callback = draw.of(&[Part::None, Part::Ema, Part::Stochastic, Part::Pruning, Part::Spikes, Part::Backbone, Part::Stages]);
        let data = || {
            let (train, val) = plan.data();
            let train = kind.map_or(train, |kind: Kind| kind.train(shards.path(), plan.items, plan.batch_size));
            (train.workers(workers), val)
        };
        let set = |trainer: Trainer<Net>, window: usize| {
            let trainer = callback.add(plan.set(trainer, window).max_epochs(epochs).val_check_interval(every));
            match max_steps {
                Some(max) => trainer.max_steps(max),
                None => trainer,
            }
        };
        let what = format!(
            "seed {seed}: {plan:?} on {world} ranks, {workers} workers, {epochs} epochs, {every}, {max_steps:?}, {callback:?}, {kind:?}"
        );
        let one = fit(net(), data(), |trainer| set(trainer, window * world)).unwrap();
        let several = on_ranks(world, &net(), data, |_, trainer| set(trainer, window));
        assert_same(&what, &one, &several, if window == 1 { 0.0 } else { 2e-6 });
        // From a checkpoint of some ranks to other ranks.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("end.ckpt");
        let begun = |trainer: Trainer<Net>| set(trainer, window).max_steps(2);
        let saved = stormfire::ranks::threads::run(world, |_| {
            let mut trainer = begun(crate::support::quiet().num_sanity_val_steps(0).handle_signals(false));
            let fit = trainer.fit(net().of_its_own(), data())?;
            trainer.save_checkpoint(&fit.module, &path)
        });
        assert!(saved.iter().all(std::result::Result::is_ok), "{what}: {saved:?}");
        let same = on_ranks(world, &net(), data, |_, trainer| set(trainer, window).ckpt_path(path.as_path()));
        assert_eq!(same[0].weights, several[0].weights, "{what}: resumed on as many ranks");
        let other = fit(net(), data(), |trainer| set(trainer, window * world).ckpt_path(path.as_path())).unwrap();
        let difference = one.weights.iter().zip(&other.weights).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference <= 2e-6 && one.progress == other.progress, "{what}: resumed on one rank: {difference}");
    }
}
