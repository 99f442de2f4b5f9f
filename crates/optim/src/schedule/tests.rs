use burn::{
    lr_scheduler::{
        cosine::CosineAnnealingLrSchedulerConfig, exponential::ExponentialLrSchedulerConfig, linear::LinearLrSchedulerConfig,
        module_lr_scheduler::ModuleLrSchedulerConfig,
    },
    module::{ParamGroup, ParamId},
};

use super::*;

/// Nothing was logged.
#[derive(Debug)]
struct Missing;

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("missing")
    }
}

impl From<Error> for Missing {
    fn from(error: Error) -> Self {
        panic!("{error}")
    }
}

impl LookupError for Missing {
    fn is_missing(&self) -> bool {
        true
    }
}

fn no_metric(_name: &str) -> Result<Option<f64>, Missing> {
    Err(Missing)
}

fn rates(mut schedule: Schedule, ticks: &[Tick]) -> Vec<f64> {
    schedule.start("Adam", 0.5, &[]).unwrap();
    let mut rates = vec![schedule.rate().unwrap().base()];
    for tick in ticks {
        schedule.step("Adam", tick, &mut |_| Ok::<_, Error>(Some(1.0))).unwrap();
        rates.push(schedule.rate().unwrap().base());
    }
    rates
}

#[test]
fn a_schedule_steps_when_it_is_due() {
    let linear = || LinearLrSchedulerConfig::new(0.8, 0.4, 4);
    let steps = [Tick::of_step(1), Tick::of_epoch(1), Tick::of_step(2)];
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9);
    assert!(close(&rates(Schedule::new(linear()), &steps), &[0.8, 0.8, 0.7, 0.7]));
    assert!(close(&rates(Schedule::new(linear()).every(Every::Steps(1)), &steps), &[0.8, 0.7, 0.7, 0.6]));
    assert!(close(&rates(Schedule::new(linear()).every(Every::Steps(2)), &steps), &[0.8, 0.8, 0.8, 0.7]));
    let plateau = Schedule::new(ReduceLrOnPlateau::new().patience(0)).monitor("val_loss");
    let epochs = [Tick::of_epoch(1), Tick::of_epoch(2)];
    assert!(close(&rates(plateau, &epochs), &[0.5, 0.5, 0.05]));
}

/// An optimizer may step several times in one batch.
#[test]
fn a_watching_schedule_checks_once_for_each_passed_period() {
    let plateau = || Schedule::new(ReduceLrOnPlateau::new().patience(0)).monitor("val_loss").every(Every::Steps(4));
    let looks = |steps: &[u64]| {
        let ticks: Vec<_> = steps.iter().map(|&step| Tick::of_step(step)).collect();
        // The first check has no previous value. Each later one reduces the rate by a factor of ten.
        rates(plateau(), &ticks).last().map_or(0, |rate| (0.5 / rate).log10().round() as u32)
    };
    assert_eq!(looks(&[4, 8, 12]), 2);
    assert_eq!(looks(&[3, 6, 9, 12]), 2);
    assert_eq!(looks(&[3, 5, 5, 7, 9]), 1);
    assert_eq!(looks(&[3, 13, 13, 15]), 0);
    assert_eq!(looks(&[5, 13, 16]), 2);
}

#[test]
fn an_invalid_schedule_is_refused_at_the_start() {
    let schedules = [
        Schedule::new(0.1).every(Every::Batches(3)),
        Schedule::new(ReduceLrOnPlateau::new()),
        Schedule::new(0.1).monitor("val_loss"),
        Schedule::new(LinearLrSchedulerConfig::new(2.0, 0.1, 10)),
    ];
    let errors = schedules.map(|mut schedule| {
        let error = schedule.start("Adam", 0.1, &[]).unwrap_err();
        format!("{error}\n  hint: {}", error.hint().unwrap())
    });
    insta::assert_snapshot!(errors.join("\n"), @r"
    optimizer `Adam`: a schedule cannot step every 3 batches
      hint: use `Every::Steps(n)` or `Every::Epochs(n)`
    optimizer `Adam`: `ReduceLrOnPlateau` has no metric to watch
      hint: name one with `Schedule::monitor`
    optimizer `Adam`: only `ReduceLrOnPlateau` watches a metric
      hint: remove `monitor`
    optimizer `Adam`: the schedule is not valid: Initial learning rate must be greater than 0 and at most 1
      hint: see burn's documentation of this scheduler
    ");
}

#[test]
fn a_missing_metric_is_an_error_only_if_strict() {
    let plateau = || Schedule::new(ReduceLrOnPlateau::new()).monitor("val_loss");
    for (mut schedule, is_error) in [(plateau(), true), (plateau().strict(false), false)] {
        schedule.start("Adam", 0.1, &[]).unwrap();
        assert_eq!(schedule.step("Adam", &Tick::of_epoch(1), &mut no_metric).is_err(), is_error);
    }
}

/// The rates of the default group and of `head`.
fn both(schedule: &Schedule) -> [f64; 2] {
    let rate = schedule.rate().unwrap();
    [rate.base(), rate.lr_from_param(ParamId::new(), Some("head.weight"))]
}

#[test]
#[expect(clippy::float_cmp, reason = "a continued schedule is exact")]
fn a_loaded_schedule_has_the_rates_of_all_groups_and_continues() {
    let new = || {
        let groups = ModuleLrSchedulerConfig::new(CosineAnnealingLrSchedulerConfig::new(0.1, 10).into())
            .with_group(ParamGroup::from_predicate("head"), ExponentialLrSchedulerConfig::new(0.7, 0.9));
        Schedule::new(groups).every(Every::Steps(1))
    };
    for saved_after in [0, 1, 5] {
        let (mut first, mut second) = (new(), new());
        first.start("Adam", 0.1, &[]).unwrap();
        second.start("Adam", 0.1, &[]).unwrap();
        for n in 1..=saved_after {
            first.step("Adam", &Tick::of_step(n), &mut no_metric).unwrap();
        }
        let text = serde_json::to_string(&first.state("Adam").unwrap()).unwrap();
        second.load_state("Adam", serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(both(&first), both(&second), "{text}");
        assert_eq!(first.state("Adam").unwrap(), second.state("Adam").unwrap());
        for n in saved_after + 1..saved_after + 4 {
            first.step("Adam", &Tick::of_step(n), &mut no_metric).unwrap();
            second.step("Adam", &Tick::of_step(n), &mut no_metric).unwrap();
            assert_eq!(both(&first), both(&second), "{text}");
        }
    }
}

#[test]
fn the_state_of_another_schedule_is_refused() {
    let cosine = || Schedule::new(CosineAnnealingLrSchedulerConfig::new(0.1, 10));
    let linear = || Schedule::new(LinearLrSchedulerConfig::new(0.1, 0.01, 10));
    let plateau = || Schedule::new(ReduceLrOnPlateau::new()).monitor("val_loss");
    let errors = [(cosine(), linear()), (cosine(), plateau()), (plateau(), cosine())].map(|(mut saved, mut loaded)| {
        saved.start("Adam", 0.1, &[]).unwrap();
        loaded.start("Adam", 0.1, &[]).unwrap();
        let error = loaded.load_state("Adam", saved.state("Adam").unwrap()).unwrap_err();
        format!("{error}\n  hint: {}", error.hint().unwrap())
    });
    insta::assert_snapshot!(errors.join("\n"), @r"
    optimizer `Adam`: the checkpoint has the state of another schedule: `0.current_iter` instead of `0.remaining_iters`
      hint: configure the schedule as it was when the checkpoint was saved, or load the weights alone
    optimizer `Adam`: the checkpoint has the state of another schedule: a scheduler of burn instead of a `ReduceLrOnPlateau`
      hint: configure the schedule as it was when the checkpoint was saved, or load the weights alone
    optimizer `Adam`: the checkpoint has the state of another schedule: a `ReduceLrOnPlateau` instead of a scheduler of burn
      hint: configure the schedule as it was when the checkpoint was saved, or load the weights alone
    ");
}
