use burn::{
    module::{Module, Param, ParamGroup},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::{
        AdaGradConfig, AdafactorConfig, AdamConfig, AdamWConfig, AdanConfig, GradientsParams, LambConfig, LionConfig, MuonConfig,
        RmsPropConfig, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig,
    },
    tensor::{DType, Device, Tensor as DeviceTensor},
};
use insta::assert_snapshot;

use super::*;
use crate::{LoadOptions, NamedTensors, restore};

#[derive(Module, Debug)]
struct Net {
    norm: BatchNorm,
    hidden: Linear,
    head: Param<DeviceTensor<2>>,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            norm: BatchNormConfig::new(2).init(device),
            hidden: LinearConfig::new(2, 4).init(device),
            head: Param::from_data([[0.5], [-0.25], [0.75], [1.0]], device),
        }
    }
}

fn device() -> Device {
    Device::flex().autodiff()
}

/// An update. `batch` determines the data.
fn step(net: &Net, optimizer: &mut ModuleOptimizer, batch: u8) -> Net {
    let x = f32::from(batch);
    let x = DeviceTensor::<2>::from_floats([[x, 1.0], [0.5, x * 0.3], [-1.0, 2.0 - x]], &device());
    let output = net.hidden.forward(net.norm.forward(x)).tanh().matmul(net.head.val());
    let gradients = GradientsParams::from_grads(output.powi_scalar(2).sum().backward(), net);
    optimizer.step(0.01, net.clone(), gradients)
}

type Numbers = Map<String, Value>;
type Tensors = BTreeMap<String, TensorData>;
type Saved = (NamedTensors, Numbers, Tensors);

fn read(optimizer: &ModuleOptimizer, name: &str, paths: &ParamPaths) -> (Numbers, NamedTensors) {
    let mut snapshot = Snapshot::default();
    let numbers = super::save(optimizer, name, paths, &mut snapshot).unwrap();
    (numbers, snapshot.read().unwrap())
}

/// The state after a file: the numbers were converted to text and back.
fn save(net: &Net, optimizer: &ModuleOptimizer) -> Saved {
    let (numbers, tensors) = read(optimizer, "opt", &ParamPaths::of(net));
    let numbers = serde_json::from_str(&Value::Object(numbers).to_string()).unwrap();
    (Snapshot::of_module(net).unwrap().read().unwrap(), numbers, tensors.into_iter().collect())
}

type New = fn() -> ModuleOptimizer;

const EVERY_OPTIMIZER: [(&str, New); 14] = [
    ("SGD", || SgdConfig::new().init()),
    ("SGD with momentum", || SgdConfig::new().with_momentum(Some(MomentumConfig::new())).init()),
    ("SGD with decay", || SgdConfig::new().with_weight_decay(Some(WeightDecayConfig::new(0.1))).init()),
    ("Adam", || AdamConfig::new().init()),
    ("AMSGrad", || AdamConfig::new().with_amsgrad(true).init()),
    ("AdamW", || AdamWConfig::new().init()),
    ("RMSprop", || RmsPropConfig::new().init()),
    ("centered RMSprop", || RmsPropConfig::new().with_centered(true).with_momentum(0.0).init()),
    ("AdaGrad", || AdaGradConfig::new().init()),
    ("Adafactor", || AdafactorConfig::new().init()),
    ("Adan", || AdanConfig::new().init()),
    ("LAMB", || LambConfig::new().init()),
    ("Lion", || LionConfig::new().init()),
    // Muon supports only matrices.
    ("Muon and groups", || {
        let others = ParamGroup::from_any_regexes(vec!["^norm", "bias$"]).unwrap();
        let head = ParamGroup::from_predicate("head");
        MuonConfig::new().init().with_group(others, AdamConfig::new().build(), None).with_group(head, SgdConfig::new().build(), None)
    }),
];

#[test]
fn every_optimizer_continues_with_every_bit() {
    for (name, new) in EVERY_OPTIMIZER {
        let (mut net, mut optimizer) = (Net::new(&device()), new());
        for batch in 0..5 {
            net = step(&net, &mut optimizer, batch);
        }
        let (weights, numbers, mut tensors) = save(&net, &optimizer);

        let (fresh, _) = restore(Net::new(&device()), weights, &LoadOptions::new().adopt_dtype(true)).unwrap();
        let mut continued = load(new(), "opt", &numbers, &mut tensors, &ParamPaths::of(&fresh)).unwrap();
        assert!(tensors.is_empty(), "{name}: every tensor is used");
        let mut fresh = fresh;
        assert_eq!(save(&fresh, &continued), save(&net, &optimizer), "{name}: loaded");
        for batch in 5..10 {
            net = step(&net, &mut optimizer, batch);
            fresh = step(&fresh, &mut continued, batch);
        }
        assert_eq!(save(&fresh, &continued), save(&net, &optimizer), "{name}: trained on");
    }
}

#[test]
fn names_and_numbers_can_be_read_by_a_person() {
    let mut optimizer = AdamConfig::new().init();
    let net = step(&Net::new(&device()), &mut optimizer, 1);
    let (_, numbers, tensors) = save(&net, &optimizer);
    assert_eq!(numbers["hidden.weight"], serde_json::json!({"__rank": 2, "momentum.time": 1}));
    let names: Vec<_> = tensors.keys().filter(|name| name.contains("/hidden.weight/")).collect();
    assert_eq!(names, ["optimizer/opt/hidden.weight/momentum.moment_1", "optimizer/opt/hidden.weight/momentum.moment_2"]);
    assert_eq!(tensors[names[0]].shape().as_slice(), [2, 4]);
}

#[test]
fn optimizers_do_not_take_each_others_state() {
    let mut optimizer = AdamConfig::new().init();
    let net = step(&Net::new(&device()), &mut optimizer, 1);
    let paths = ParamPaths::of(&net);
    let (numbers, own) = read(&optimizer, "a", &paths);
    let (_, mut other) = read(&optimizer, "a/b", &paths);
    let mut tensors: BTreeMap<_, _> = own.into_iter().chain(other.clone()).collect();
    load(AdamConfig::new().init(), "a", &numbers, &mut tensors, &paths).unwrap();
    other.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(tensors.into_iter().collect::<Vec<_>>(), other);
}

#[test]
fn a_state_that_does_not_belong_here_is_refused() {
    let mut optimizer = AdamConfig::new().init();
    let net = step(&Net::new(&device()), &mut optimizer, 1);
    let saved = || {
        let (_, numbers, tensors) = save(&net, &optimizer);
        (numbers, tensors)
    };
    let paths = ParamPaths::of(&net);
    let refused = |new: ModuleOptimizer, (numbers, mut tensors): (Numbers, Tensors), paths: &ParamPaths| {
        let Err(error) = load(new, "opt", &numbers, &mut tensors, paths) else { panic!("a foreign state is accepted") };
        format!("{error}\n  hint: {}", error.hint().unwrap())
    };
    let adam = || AdamConfig::new().init();

    let other_algorithms = [
        refused(SgdConfig::new().with_momentum(Some(MomentumConfig::new())).init(), saved(), &paths),
        refused(SgdConfig::new().init(), saved(), &paths),
    ];

    // burn creates every state in the default dtype of the device. A cast would only be noticed when the next step
    // panics.
    let (numbers, tensors) = saved();
    let double = tensors.into_iter().map(|(name, data)| (name, data.convert_dtype(DType::F64))).collect();
    let other_type = refused(adam(), (numbers, double), &paths);

    let layer = LinearConfig::new(2, 4).init(&device());
    let other_module = refused(adam(), saved(), &ParamPaths::of(&layer));

    let edited = |edit: fn(&mut (Numbers, Tensors))| {
        let mut state = saved();
        edit(&mut state);
        refused(adam(), state, &paths)
    };
    let others = [
        edited(|(_, tensors)| drop(tensors.remove("optimizer/opt/head/momentum.moment_1"))),
        edited(|(_, tensors)| drop(tensors.insert("optimizer/opt/head/momentum.moment_1".into(), TensorData::from([1.0f32])))),
        edited(|(numbers, _)| numbers["head"]["__rank"] = 3.into()),
        edited(|(numbers, _)| drop(numbers.remove("head"))),
        edited(|(numbers, _)| numbers["head"]["momentum.time"] = "soon".into()),
    ];
    assert_snapshot!([other_algorithms.join("\n"), other_type, other_module, others.join("\n")].join("\n"), @r#"
    optimizer `opt`: it does not use the saved `head/momentum.moment_1`, `head/momentum.moment_2`, `head/momentum.time`, `hidden.bias/momentum.moment_1`, `hidden.bias/momentum.moment_2`, `hidden.bias/momentum.time`, `hidden.weight/momentum.moment_1`, `hidden.weight/momentum.moment_2`, `hidden.weight/momentum.time`, `norm.beta/momentum.moment_1`, `norm.beta/momentum.moment_2`, `norm.beta/momentum.time`, `norm.gamma/momentum.moment_1`, `norm.gamma/momentum.moment_2`, `norm.gamma/momentum.time`
      hint: configure the algorithm, its options and its parameter groups as they were when the state was saved
    optimizer `opt`: it does not use the saved `head/momentum.moment_1`, `head/momentum.moment_2`, `head/momentum.time`, `hidden.bias/momentum.moment_1`, `hidden.bias/momentum.moment_2`, `hidden.bias/momentum.time`, `hidden.weight/momentum.moment_1`, `hidden.weight/momentum.moment_2`, `hidden.weight/momentum.time`, `norm.beta/momentum.moment_1`, `norm.beta/momentum.moment_2`, `norm.beta/momentum.time`, `norm.gamma/momentum.moment_1`, `norm.gamma/momentum.moment_2`, `norm.gamma/momentum.time`
      hint: configure the algorithm, its options and its parameter groups as they were when the state was saved
    optimizer `opt`: burn would change the number type of `head/momentum.moment_1`, `head/momentum.moment_2`, `hidden.bias/momentum.moment_1`, `hidden.bias/momentum.moment_2`, `hidden.weight/momentum.moment_1`, `hidden.weight/momentum.moment_2`, `norm.beta/momentum.moment_1`, `norm.beta/momentum.moment_2`, `norm.gamma/momentum.moment_1`, `norm.gamma/momentum.moment_2`
      hint: burn restores states in the default type of the device: set it with `Device::configure` when the program starts
    optimizer `opt`: the checkpoint has state for parameters that the module does not have: `head`, `hidden.bias`, `hidden.weight`, `norm.beta`, `norm.gamma`
      hint: build the module as it was when it was saved, or load its weights alone
    optimizer `opt`: it does not use the saved `head/__rank`, `head/momentum.moment_2`, `head/momentum.time`
      hint: configure the algorithm, its options and its parameter groups as they were when the state was saved
    optimizer `opt`: the saved state of `head` has another number of dimensions than the parameter
      hint: build the module as it was when it was saved, or load its weights alone
    optimizer `opt`: the saved state of `head` has another number of dimensions than the parameter
      hint: build the module as it was when it was saved, or load its weights alone
    optimizer `opt`: the saved state of `head` has another number of dimensions than the parameter
      hint: build the module as it was when it was saved, or load its weights alone
    `head/momentum.time` is "soon", which is not a number of an optimizer or schedule
      hint: the checkpoint is damaged or was edited manually: use another one
    "#);
}

/// The states of two equal optimizers after some steps: the first is burn's own, the second is transparent.
fn both_ways(burns: ModuleOptimizer, transparent: ModuleOptimizer) -> [Saved; 2] {
    let begin = Snapshot::of_module(&Net::new(&device())).unwrap().read().unwrap();
    [burns, transparent].map(|mut optimizer| {
        let (mut net, _) = restore(Net::new(&device()), begin.clone(), &LoadOptions::new()).unwrap();
        for batch in 0..4 {
            net = step(&net, &mut optimizer, batch);
        }
        save(&net, &optimizer)
    })
}

macro_rules! transparent {
    ($config:expr) => {
        ($config.init(), ModuleOptimizer::from(Transparent($config.build())))
    };
    ($config:expr, $made_by:ident) => {
        ($config.init(), $made_by(&$config, Destination::Own))
    };
}

fn every_transparent_optimizer() -> Vec<(&'static str, (ModuleOptimizer, ModuleOptimizer))> {
    let decay = || Some(WeightDecayConfig::new(0.1));
    let momentum = MomentumConfig::new;
    vec![
        ("SGD", transparent!(SgdConfig::new(), sgd)),
        ("SGD with decay", transparent!(SgdConfig::new().with_weight_decay(decay()), sgd)),
        ("SGD with momentum", transparent!(SgdConfig::new().with_momentum(Some(momentum())).with_weight_decay(decay()), sgd)),
        ("SGD of Nesterov", transparent!(SgdConfig::new().with_momentum(Some(momentum().with_nesterov(true))), sgd)),
        ("Adam", transparent!(AdamConfig::new())),
        ("AMSGrad", transparent!(AdamConfig::new().with_amsgrad(true))),
        ("AdamW", transparent!(AdamWConfig::new())),
        ("RMSprop", transparent!(RmsPropConfig::new().with_weight_decay(decay()), rms_prop)),
        ("centered RMSprop", transparent!(RmsPropConfig::new().with_centered(true), rms_prop)),
        ("RMSprop without momentum", transparent!(RmsPropConfig::new().with_momentum(0.0), rms_prop)),
        ("AdaGrad", transparent!(AdaGradConfig::new().with_lr_decay(0.1).with_weight_decay(decay()), ada_grad)),
        ("Adafactor", transparent!(AdafactorConfig::new())),
        ("Adan", transparent!(AdanConfig::new())),
        ("LAMB", transparent!(LambConfig::new())),
        ("Lion", transparent!(LionConfig::new())),
    ]
}

#[test]
fn a_transparent_optimizer_updates_and_saves_as_burns_own_does() {
    for (name, (burns, transparent)) in every_transparent_optimizer() {
        let [burns, transparent] = both_ways(burns, transparent);
        assert_eq!(burns, transparent, "{name}");
        assert_eq!(burns.2.is_empty(), ["SGD", "SGD with decay"].contains(&name), "{name}");
    }
}

/// Muon supports only matrices.
#[test]
fn a_transparent_muon_updates_and_saves_as_burns_own_does() {
    let begin = LinearConfig::new(2, 3).with_bias(false).init(&device());
    for momentum in [MomentumConfig::new(), MomentumConfig::new().with_nesterov(true)] {
        let config = MuonConfig::new().with_momentum(momentum).with_weight_decay(Some(WeightDecayConfig::new(0.1)));
        let trained = [config.init(), muon(&config, Destination::Own)].map(|mut optimizer| {
            let mut layer = begin.clone();
            for batch in 1..5u8 {
                let x = DeviceTensor::<2>::from_floats([[f32::from(batch), 1.0]], &device());
                let gradients = GradientsParams::from_grads(layer.forward(x).tanh().sum().backward(), &layer);
                layer = optimizer.step(0.01, layer, gradients);
            }
            let (numbers, tensors) = read(&optimizer, "opt", &ParamPaths::of(&layer));
            (layer.weight.val().into_data(), numbers, tensors)
        });
        assert_eq!(trained[0], trained[1]);
        assert_eq!(trained[0].2.len(), 1);
    }
}

#[test]
fn a_transparent_optimizer_leaves_the_device_with_everything_else() {
    for (name, (burns, mut transparent)) in every_transparent_optimizer() {
        let net = step(&Net::new(&device()), &mut transparent, 1);
        let mut snapshot = Snapshot::of_module(&net).unwrap();
        let numbers = super::save(&transparent, "opt", &ParamPaths::of(&net), &mut snapshot).unwrap();
        assert!(snapshot.entries().iter().all(|entry| !entry.is_read()), "{name}: nothing is read before");

        let mut tensors = snapshot.read().unwrap().into_iter().collect();
        let loaded = load(burns, "opt", &numbers, &mut tensors, &ParamPaths::of(&net)).unwrap();
        assert_eq!(save(&net, &loaded), save(&net, &transparent), "{name}: burn's own loads it");
    }
}
