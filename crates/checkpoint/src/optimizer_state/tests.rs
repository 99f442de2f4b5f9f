use burn::{
    module::{Module, Param, ParamGroup},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::{
        AdaGradConfig, AdafactorConfig, AdamConfig, AdamWConfig, AdanConfig, GradientsParams, LambConfig, LionConfig, MuonConfig,
        RmsPropConfig, SgdConfig, decay::WeightDecayConfig, momentum::MomentumConfig,
    },
    tensor::{DType, Device, Tensor as DeviceTensor},
};

use super::*;
use crate::{LoadOptions, Snapshot, restore};

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

/// One update; `batch` stands for the data.
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

/// What a file would hold: the numbers have gone through text.
fn save(net: &Net, optimizer: &ModuleOptimizer) -> Saved {
    let (numbers, tensors) = read(optimizer, "opt", &ParamPaths::of(net)).unwrap();
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
    // Muon is for matrices alone.
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
    let (numbers, own) = read(&optimizer, "a", &paths).unwrap();
    let (_, other) = read(&optimizer, "a/b", &paths).unwrap();
    let mut tensors: BTreeMap<_, _> = own.into_iter().chain(other.clone()).collect();
    load(AdamConfig::new().init(), "a", &numbers, &mut tensors, &paths).unwrap();
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
    let check = |new: ModuleOptimizer, (numbers, mut tensors): (Numbers, Tensors), paths: &ParamPaths, part: &str| {
        let Err(error) = load(new, "opt", &numbers, &mut tensors, paths) else { panic!("accepted: {part}") };
        assert!(error.to_string().contains(part) && error.hint().is_some(), "{error}");
    };
    let adam = || AdamConfig::new().init();

    let algorithm = "it has no use for the saved `head/momentum.moment_1`";
    check(SgdConfig::new().with_momentum(Some(MomentumConfig::new())).init(), saved(), &paths, algorithm);
    check(SgdConfig::new().init(), saved(), &paths, algorithm);

    // burn makes every state of the device's default type; a cast would go unnoticed until the next step panics.
    let (numbers, tensors) = saved();
    let double = tensors.into_iter().map(|(name, data)| (name, data.convert_dtype(DType::F64))).collect();
    check(adam(), (numbers, double), &paths, "burn would change the number type of `head/momentum.moment_1`");

    let layer = LinearConfig::new(2, 4).init(&device());
    check(adam(), saved(), &ParamPaths::of(&layer), "the module does not have: `head`, `hidden.bias`, `hidden.weight`, `norm.beta`");

    let mut torn = saved();
    torn.1.remove("optimizer/opt/head/momentum.moment_1");
    check(adam(), torn, &paths, "it has no use for the saved `head/__rank`");

    let edited = |edit: fn(&mut (Numbers, Tensors))| {
        let mut state = saved();
        edit(&mut state);
        state
    };
    let other_rank = "`head` has another number of dimensions";
    let tensor = edited(|(_, tensors)| {
        tensors.insert("optimizer/opt/head/momentum.moment_1".into(), TensorData::from([1.0f32]));
    });
    check(adam(), tensor, &paths, other_rank);
    check(adam(), edited(|(numbers, _)| numbers["head"]["__rank"] = 3.into()), &paths, other_rank);
    check(adam(), edited(|(numbers, _)| drop(numbers.remove("head"))), &paths, other_rank);
    check(adam(), edited(|(numbers, _)| numbers["head"]["momentum.time"] = "soon".into()), &paths, "`head/momentum.time` holds");
}

/// What two algorithms of one kind read, the first seen through burn's record and the second directly.
fn both_ways<O: burn::optim::Optimizer + Clone>(algorithm: O) -> [Saved; 2] {
    let begin = Net::new(&device());
    let (mut opaque, mut clear) = (ModuleOptimizer::from(algorithm.clone()), ModuleOptimizer::from(Transparent(algorithm)));
    let (mut first, mut second) = (begin.clone(), begin);
    for batch in 0..3 {
        first = step(&first, &mut opaque, batch);
        second = step(&second, &mut clear, batch);
    }
    [save(&first, &opaque), save(&second, &clear)]
}

#[test]
fn a_transparent_optimizer_saves_what_a_plain_one_does_and_loads_it() {
    let momentum = Some(MomentumConfig::new());
    let all = [
        both_ways(AdamConfig::new().build()),
        both_ways(AdamConfig::new().with_amsgrad(true).build()),
        both_ways(AdamWConfig::new().build()),
        both_ways(AdanConfig::new().build()),
        both_ways(LambConfig::new().build()),
        both_ways(LionConfig::new().build()),
        both_ways(AdafactorConfig::new().build()),
        both_ways(SgdConfig::new().with_momentum(momentum).build()),
    ];
    for [plain, transparent] in all {
        assert_eq!(plain.1, transparent.1);
        assert_eq!(plain.2, transparent.2);
        assert!(!plain.2.is_empty());
    }
    let net = Net::new(&device());
    let mut optimizer = ModuleOptimizer::from(Transparent(AdamConfig::new().build()));
    let net = step(&net, &mut optimizer, 1);
    let (_, numbers, mut tensors) = save(&net, &optimizer);
    let plain = load(AdamConfig::new().init(), "opt", &numbers, &mut tensors.clone(), &ParamPaths::of(&net)).unwrap();
    let fresh = ModuleOptimizer::from(Transparent(AdamConfig::new().build()));
    let transparent = load(fresh, "opt", &numbers, &mut tensors, &ParamPaths::of(&net)).unwrap();
    assert_eq!(save(&net, &plain).2, save(&net, &transparent).2);
}
