use burn::{
    lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig,
    module::{Module, ParamGroup},
    nn::{Linear, LinearConfig},
    optim::{AdamConfig, SgdConfig, momentum::MomentumConfig},
    tensor::{Device, Tensor},
};
use stormfire_checkpoint::{LoadOptions, Snapshot, restore};
use stormfire_values::Every;

use super::*;
use crate::{
    Optimizer, Schedule,
    for_trainer::{DriveOptimizer as _, DriveOptimizers as _},
    schedule::IntoSchedule,
    window::StepGradients,
};

#[derive(Module, Debug)]
struct Gan {
    generator: Linear,
    critic: Linear,
}

impl Gan {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        Self { generator: LinearConfig::new(2, 2).init(&device), critic: LinearConfig::new(2, 1).init(&device) }
    }

    fn optimizers(&self) -> Optimizers {
        let groups = AdamConfig::new().init().with_group(
            ParamGroup::from_predicate("bias"),
            SgdConfig::new().with_momentum(Some(MomentumConfig::new())).build(),
            None,
        );
        let schedule = Schedule::new(CosineAnnealingLrSchedulerConfig::new(0.1, 10)).every(Every::Steps(1));
        let mut optimizers: Optimizers = [
            Optimizer::new(groups, 0.1).named("generator").params_of(&self.generator).schedule(schedule),
            Optimizer::new(AdamConfig::new().with_amsgrad(true), 0.02).named("critic").params_of(&self.critic),
        ]
        .into();
        optimizers.start(self).unwrap();
        optimizers
    }

    /// The critic steps at every batch, the generator at every second one.
    fn fit_batch(&mut self, optimizers: &mut Optimizers, batch: u8) {
        let x = f32::from(batch);
        let x = Tensor::<2>::from_floats([[x, 1.0], [2.0, -x]], &Device::flex().autodiff());
        for index in if batch.is_multiple_of(2) { vec![0, 1] } else { vec![1] } {
            let loss = self.critic.forward(self.generator.forward(x.clone())).powi_scalar(2).sum();
            let optimizer = optimizers.at(index);
            let gradients = optimizer.gradients(loss.backward(), self);
            optimizer.update(self, StepGradients { params: gradients, is_sum: false });
            optimizer.step_schedule().unwrap();
        }
    }
}

type Saved = (Vec<(String, TensorData)>, Value, Vec<(String, TensorData)>);

/// The contents of a file, read on another thread. The JSON was converted to text and back.
fn save(gan: &Gan, optimizers: &Optimizers) -> Saved {
    let snapshot = optimizers.snapshot(&ParamPaths::of(gan)).unwrap();
    let (state, tensors) = std::thread::spawn(move || read(snapshot)).join().unwrap();
    (Snapshot::of_module(gan).unwrap().read().unwrap(), serde_json::from_str(&state.to_string()).unwrap(), tensors)
}

fn read(optimizers: OptimizersSnapshot) -> (Value, Vec<(String, TensorData)>) {
    let mut snapshot = Snapshot::default();
    let state = serde_json::to_value(optimizers.save(&mut snapshot).unwrap()).unwrap();
    let mut tensors = snapshot.read().unwrap();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    (state, tensors)
}

fn states(json: &Value) -> OptimizerStates {
    serde_json::from_value(json.clone()).unwrap()
}

fn trained() -> (Gan, Optimizers) {
    let mut gan = Gan::new();
    let mut optimizers = gan.optimizers();
    for batch in 0..5 {
        gan.fit_batch(&mut optimizers, batch);
    }
    (gan, optimizers)
}

#[test]
fn several_optimizers_continue_with_every_bit() {
    let (mut gan, mut optimizers) = trained();
    let snapshot = optimizers.snapshot(&ParamPaths::of(&gan)).unwrap();
    let saved = save(&gan, &optimizers);

    let (mut continued, _) = restore(Gan::new(), saved.0.clone(), &LoadOptions::new().adopt_dtype(true)).unwrap();
    let mut loaded = continued.optimizers();
    // There may be other tensors between them.
    let tensors = saved.2.iter().chain(&saved.0).cloned();
    loaded.load(states(&saved.1), tensors, &ParamPaths::of(&continued)).unwrap();
    assert_eq!(save(&continued, &loaded), saved);
    assert_eq!(loaded.iter().map(Optimizer::steps).collect::<Vec<_>>(), [3, 5]);
    for batch in 5..10 {
        gan.fit_batch(&mut optimizers, batch);
        continued.fit_batch(&mut loaded, batch);
    }
    assert_eq!(save(&continued, &loaded), save(&gan, &optimizers));
    assert_ne!(save(&gan, &optimizers), saved);
    let (state, tensors) = read(snapshot);
    assert_eq!((state, tensors), (saved.1, saved.2), "a snapshot keeps the moment");
}

#[test]
fn the_state_is_readable() {
    let (gan, optimizers) = trained();
    let (_, state, tensors) = save(&gan, &optimizers);
    let generator = &state[0];
    assert_eq!((&generator["name"], &generator["steps"]), (&"generator".into(), &3.into()));
    assert_eq!(generator["schedule"], serde_json::json!({"scheduler": {"before_last_step": {"0.current_iter": 2}, "looks": 3}}));
    assert_eq!(generator["parameters"]["generator.weight"], serde_json::json!({"__rank": 2, "momentum.time": 3}));
    assert!(tensors.iter().any(|(name, _)| name == "optimizer/generator/generator.bias/momentum.velocity"));
}

#[test]
fn other_optimizers_are_refused_by_name() {
    let (gan, optimizers) = trained();
    let (_, state, tensors) = save(&gan, &optimizers);
    let sgd = |name: &str| Optimizer::new(SgdConfig::new(), 0.1).named(name);
    let adam = |name: &str| Optimizer::new(AdamConfig::new(), 0.1).named(name);
    let constant = || 0.1.into_schedule();
    let cosine = || CosineAnnealingLrSchedulerConfig::new(0.1, 10).into_schedule();
    let others: [Optimizers; 7] = [
        Optimizers::none(),
        adam("generator").into(),
        [adam("critic"), adam("generator")].into(),
        [adam("generator"), adam("critic")].into(),
        [adam("generator").schedule(constant()), adam("critic")].into(),
        [sgd("generator").schedule(cosine()), adam("critic")].into(),
        [gan.optimizers().all.remove(0), adam("critic").schedule(constant())].into(),
    ];
    let errors = others.map(|mut optimizers| {
        optimizers.start(&gan).unwrap_or(());
        let error = optimizers.load(states(&state), tensors.clone(), &ParamPaths::of(&gan)).unwrap_err();
        format!("{error}\n  hint: {}", error.hint().unwrap())
    });
    insta::assert_snapshot!(errors.join("\n"), @r"
    optimizer `generator`: the checkpoint has `generator`, `critic`, in this order; `configure_optimizers` returns none
      hint: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    optimizer `critic`: the checkpoint has `generator`, `critic`, in this order; `configure_optimizers` returns `generator`
      hint: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    optimizer `critic`: the checkpoint has `generator`, `critic`, in this order; `configure_optimizers` returns `critic`, `generator`
      hint: configure the optimizers of the checkpoint, named with `Optimizer::named`, or load its weights alone
    optimizer `generator`: the checkpoint has a schedule for it, but none is configured
      hint: add `Optimizer::schedule` as it was, or load the weights alone
    optimizer `generator`: the checkpoint has the state of another schedule: `0.current_iter` instead of ``
      hint: configure the schedule as it was when the checkpoint was saved, or load the weights alone
    optimizer `generator`: it does not use the saved `generator.weight/momentum.moment_1`, `generator.weight/momentum.moment_2`, `generator.weight/momentum.time`
      hint: configure the algorithm, its options and its parameter groups as they were when the state was saved
    optimizer `critic`: it has a schedule, but the checkpoint has none for it
      hint: remove the schedule to continue, or load the weights alone
    ");
}

#[test]
fn a_snapshot_can_go_to_another_thread() {
    fn send<T: Send>() {}
    send::<OptimizersSnapshot>();
}
