mod enums;
mod errors;
mod properties;
mod traps;

use std::{collections::BTreeMap, sync::LazyLock};

use insta::assert_snapshot;
use serde::Deserialize;

use super::*;
use crate::print::print_config;

/// How to change the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
enum Optim {
    Adam {
        #[serde(default)]
        beta_1: f32,
    },
    Sgd {
        #[serde(default)]
        momentum: Option<f64>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Act {
    Relu,
    Gelu,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Crop {
    size: u16,
    pad: i64,
}

/// Options that may be missing, in options that may be missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Outer {
    share: Option<f32>,
    inner: Option<Inner>,
    note: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Inner {
    at: Option<i64>,
    names: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Model {
    /// Units of the hidden layer.
    hidden: usize,
    lr: f64,
    act: Act,
    optim: Optim,
    crop: Option<Crop>,
    note: String,
    path: Option<std::path::PathBuf>,
    layers: Vec<u8>,
    names: Vec<String>,
    weights: BTreeMap<String, f64>,
    outer: Option<Outer>,
    /// A list of variants, such as callbacks.
    steps: Vec<Optim>,
    /// The key of the service.
    #[schemars(extend("writeOnly" = true))]
    key: String,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            hidden: 64,
            lr: 1e-3,
            act: Act::Relu,
            optim: Optim::Adam { beta_1: 0.9 },
            crop: None,
            note: String::new(),
            path: None,
            layers: vec![1, 2],
            names: Vec::new(),
            weights: BTreeMap::new(),
            outer: None,
            steps: Vec::new(),
            key: String::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    model: Model,
    fast: bool,
}

fn layers() -> Layers {
    static LAYERS: LazyLock<Layers> = LazyLock::new(|| Layers::of(&Config::default()).unwrap());
    LAYERS.clone()
}

fn flags(given: &[(&str, &str)]) -> Result<Config> {
    given.iter().fold(layers(), |layers, (name, value)| layers.flag(name, *value)).resolve()
}

fn file(text: &str, name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs_err::write(&path, text).unwrap();
    (folder, path)
}

/// The error of a file, without its folder.
fn file_error(text: &str, name: &str) -> String {
    let (folder, path) = file(text, name);
    let result = layers().file(&path).and_then(|layers| layers.resolve::<Config>());
    result.unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn later_layers_win() {
    let (_a, a) = file("model: {hidden: 1, lr: 1.0, note: a}\nfast: true", "a.yaml");
    let (_b, b) = file("[model]\nhidden = 2\nlr = 2.0", "b.toml");
    let env = [("APP__MODEL__HIDDEN".to_owned(), "3".to_owned()), ("OTHER".into(), "1".into())];
    // The order of the calls is not that of the layers.
    let layers = layers().flag("--model.hidden", "4").env("APP", env).unwrap().file(&a).unwrap().file(&b).unwrap();
    let config: Config = layers.resolve().unwrap();
    assert_eq!((config.model.hidden, config.model.lr, config.model.note.as_str(), config.fast), (4, 2.0, "a", true));
    let from = |path: [&str; 2]| layers.checked().unwrap().get(path).unwrap().source.to_string();
    assert!(from(["model", "lr"]).ends_with("b.toml:3:1") && from(["model", "note"]).ends_with("a.yaml:1:29"));
    assert_eq!((from(["model", "hidden"]).as_str(), from(["model", "act"]).as_str()), ("--model.hidden", "default"));
}

#[test]
fn the_text_of_a_string_is_kept_as_it_is() {
    for text in ["no", "1", "1e3", "null ", "{a: b", "[1]", "# x", "", " a", "0.5 epochs", "a: b", "日本", "'"] {
        assert_eq!(flags(&[("--model.note", text)]).unwrap().model.note, text);
        assert_eq!(flags(&[("--model.path", text)]).unwrap().model.path, Some(text.into()));
    }
    assert_eq!(flags(&[("--model.path", "a"), ("--model.path", "null")]).unwrap().model.path, None);
    let set = flags(&[("--model.names", "[no, 'a b', x]"), ("--model.layers", "[3, 4]")]).unwrap().model;
    assert_eq!((set.names, set.layers), (vec!["no".to_owned(), "a b".into(), "x".into()], vec![3, 4]));
}

#[test]
fn another_variant_replaces_the_options_of_the_first() {
    let sgd = |momentum| Optim::Sgd { momentum };
    assert_eq!(flags(&[("--model.optim.name", "sgd")]).unwrap().model.optim, sgd(None));
    // The order of the flags does not matter.
    for order in [[1, 0], [0, 1]] {
        let given = [("--model.optim.name", "sgd"), ("--model.optim.momentum", "0.5")];
        assert_eq!(flags(&order.map(|index| given[index])).unwrap().model.optim, sgd(Some(0.5)), "{order:?}");
        let given = [("--model.optim", "{name: sgd}"), ("--model.optim.momentum", "0.5")];
        assert_eq!(flags(&order.map(|index| given[index])).unwrap().model.optim, sgd(Some(0.5)), "{order:?}");
    }
    assert_eq!(flags(&[("--model.optim.beta_1", "0.5")]).unwrap().model.optim, Optim::Adam { beta_1: 0.5 });
    assert_eq!(flags(&[("--model.optim.name", "adam")]).unwrap().model.optim, Optim::Adam { beta_1: 0.9 });
}

#[test]
fn options_of_a_missing_section_exist() {
    assert_eq!(flags(&[("--model.crop.size", "3")]).unwrap().model.crop, Some(Crop { size: 3, pad: 0 }));
    assert_eq!(flags(&[("--model.weights.a", "1"), ("--model.weights", "{b: 2}")]).unwrap().model.weights.len(), 2);
    let env = [("APP__MODEL__WEIGHTS__B".to_owned(), "2".to_owned())];
    let config: Config = layers().env("APP", env).unwrap().resolve().unwrap();
    assert_eq!(config.model.weights, BTreeMap::from([("b".to_owned(), 2.0)]));
}

#[test]
fn errors_name_source_path_expectation_and_nearest() {
    let told = |given: &[(&str, &str)]| flags(given).unwrap_err().to_string();
    assert_snapshot!(told(&[("--model.hiden", "1")]), @r"
    --model.hiden: there is no option `model.hiden`
      help: did you mean `model.hidden`?
    ");
    assert_snapshot!(told(&[("--hidden", "1")]), @r"
    --hidden: there is no option `hidden`
      help: did you mean `model.hidden`?
    ");
    assert_snapshot!(told(&[("--model.hidden", "many")]), @"--model.hidden: `model.hidden`: expected a whole number, not the string `many`");
    assert_snapshot!(told(&[("--model.hidden", "1.5")]), @"--model.hidden: `model.hidden`: expected a whole number, not the number `1.5`");
    assert_snapshot!(told(&[("--model.hidden", "-1")]), @"--model.hidden: `model.hidden`: expected a whole number of at least 0, not the number `-1`");
    assert_snapshot!(told(&[("--model.act", "gelo")]), @r"
    --model.act: `model.act`: expected `relu` or `gelu`, not the string `gelo`
      help: did you mean `gelu`?
    ");
    assert_snapshot!(told(&[("--model.optim.name", "adm")]), @r"
    --model.optim.name: `model.optim.name`: expected `adam` or `sgd`, not the string `adm`
      help: did you mean `adam`?
    ");
    assert_snapshot!(told(&[("--model.optim.momentum", "1")]), @r"
    --model.optim.momentum: there is no option `model.optim.momentum` with this `model.optim.name`
      help: it has `beta_1`
    ");
    assert_snapshot!(told(&[("--model.layers", "[1, 300]")]), @"--model.layers: `model.layers[1]`: expected a whole number of at least 0 and at most 255, not the number `300`");
    assert_snapshot!(told(&[("--model.layers", "[1, 2")]), @"--model.layers: not valid YAML: unclosed bracket '['");
    assert_snapshot!(told(&[("--model.crop", "3")]), @"--model.crop: `model.crop`: expected a section or null, not the number `3`");
    assert_snapshot!(told(&[("--model.key", "geheim"), ("--model.hidden", "geheim")]), @"--model.hidden: `model.hidden`: expected a whole number, not the string `[secret]`");
}

#[test]
fn errors_of_files_have_line_and_column() {
    assert_snapshot!(file_error("model:\n  lr: 0.1\n  hiden: 3\n", "bad.yaml"), @r"
    bad.yaml:3:3: there is no option `model.hiden`
      help: did you mean `model.hidden`?
    ");
    assert_snapshot!(file_error("[model]\nlr = 0.1\nhiden = 3\n", "bad.toml"), @r"
    bad.toml:3:1: there is no option `model.hiden`
      help: did you mean `model.hidden`?
    ");
    assert_snapshot!(file_error("{\"model\": {\"lr\": 0.1,\n  \"hiden\": 3}}", "bad.json"), @r"
    bad.json:2:3: there is no option `model.hiden`
      help: did you mean `model.hidden`?
    ");
    assert_snapshot!(file_error("model:\n  hidden: 1\n  hidden: 2\n", "bad.yaml"), @"bad.yaml:3:3: `hidden` is given twice in one section");
    assert_snapshot!(file_error("model: [", "bad.yaml"), @"bad.yaml:1:8: not valid YAML: unclosed bracket '['");
    assert_snapshot!(file_error("model = ", "bad.toml"), @"bad.toml:1:9: not valid TOML: string values must be quoted, expected literal string");
    assert_snapshot!(file_error("{\"model\": }", "bad.json"), @"bad.json:1:11: not valid JSON: expected value");
    assert_snapshot!(file_error("- 1", "bad.yaml"), @"bad.yaml:1:1: a configuration has sections, and this is a list of 1");
    assert_snapshot!(file_error("a: 1", "bad.ini"), @r"
    bad.ini: the file has no known ending
      help: name it `*.yaml`, `*.yml`, `*.toml` or `*.json`
    ");
    assert_snapshot!(file_error("fast: 1\nmodel: {hiden: 1, lr: x}", "bad.yaml"), @r"
    bad.yaml:1:1: `fast`: expected `true` or `false`, not the number `1`
    bad.yaml:2:9: there is no option `model.hiden`
      help: did you mean `model.hidden`?
    bad.yaml:2:19: `model.lr`: expected a number, not the string `x`
    ");
    let (folder, path) = file("", "model.yaml");
    let error = layers().file(path.with_file_name("modell.yaml")).unwrap_err().to_string();
    assert_eq!(
        error.replace(&format!("{}/", folder.path().display()), ""),
        "modell.yaml: the file does not exist\n  help: did you mean `model.yaml`?"
    );
}

#[test]
fn a_wrong_variable_is_named() {
    let env = [("APP__MODEL__LRR".to_owned(), "0.5".to_owned())];
    assert_snapshot!(layers().env("APP", env).unwrap_err().to_string(), @r"
    APP__MODEL__LRR: there is no option `model.lrr`
      help: did you mean `APP__MODEL__LR`?
    ");
    let env = [("APP__MODEL__LR".to_owned(), "fast".to_owned())];
    let error = layers().env("APP", env).unwrap().resolve::<Config>().unwrap_err();
    assert_eq!(error.to_string(), "APP__MODEL__LR: `model.lr`: expected a number, not the string `fast`");
}

#[test]
fn optimizers_and_schedules_are_options() {
    use stormfire_optim::{OptimizerConfig, ScheduleConfig};

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Net {
        optimizer: OptimizerConfig,
        schedule: ScheduleConfig,
    }

    impl Default for Net {
        fn default() -> Self {
            Self { optimizer: OptimizerConfig::adam_w(1e-3), schedule: ScheduleConfig::Constant }
        }
    }

    let net = |flags: &[(&str, &str)]| {
        let layers = Layers::of(&Net::default()).unwrap();
        flags.iter().fold(layers, |layers, (name, value)| layers.flag(name, *value)).resolve::<Net>()
    };
    assert_eq!(net(&[("--optimizer.lr", "0.5")]).unwrap().optimizer, OptimizerConfig::adam_w(0.5));
    assert_eq!(net(&[("--optimizer", "{name: sgd, lr: 0.5}")]).unwrap().optimizer, OptimizerConfig::sgd(0.5));
    let flags = [("--schedule.warmup_steps", "10"), ("--schedule.name", "cosine")];
    assert_eq!(net(&flags).unwrap().schedule, ScheduleConfig::Cosine { min_lr: 0.0, warmup_steps: 10, steps: None });
    let told = |flags: &[(&str, &str)]| net(flags).unwrap_err().to_string();
    // The rate of another optimizer would be a wrong one.
    assert_snapshot!(told(&[("--optimizer.name", "sgd")]), @"--optimizer.name: the option `optimizer.lr` is missing");
    assert_snapshot!(told(&[("--optimizer.momentum", "0.9")]), @r"
    --optimizer.momentum: there is no option `optimizer.momentum` with this `optimizer.name`
      help: it has `amsgrad`, `beta_1`, `beta_2`, `epsilon`, `lr` or `weight_decay`
    ");
    assert_snapshot!(told(&[("--schedule", "{name: reduce_on_plateau, monitor: x, mode: up}")]), @"--schedule: `schedule.mode`: expected `min` or `max`, not the string `up`");
    let wrong = [
        ("--optimizer.lr", "-1"),
        ("--optimizer.lr", ".nan"),
        ("--optimizer.lr", ".inf"),
        ("--optimizer.beta_2", "1"),
        ("--optimizer.weight_decay", "-0.1"),
        ("--schedule", "{name: exponential, gamma: 0}"),
        ("--optimizer", "{name: rms_prop, lr: 0.1, alpha: 1}"),
        ("--optimizer", "{name: sgd, lr: 0.1, momentum: 0.9, dampening: 1.5}"),
        ("--schedule", "{name: cosine, min_lr: .inf}"),
        ("--schedule", "{name: step, step_size: 0}"),
        ("--schedule", "{name: step, step_size: 1, gamma: -0.1}"),
        ("--schedule", "{name: reduce_on_plateau, monitor: x, factor: 1}"),
    ];
    assert_snapshot!(wrong.map(|flag| told(&[flag])).join("\n"), @r"
    --optimizer.lr: `optimizer.lr`: expected a number of at least 0, not the number `-1`
    --optimizer.lr: `optimizer.lr`: expected a finite number of at least 0, not the number `NaN`
    --optimizer.lr: `optimizer.lr`: expected a finite number of at least 0, not the number `inf`
    --optimizer.beta_2: `optimizer.beta_2`: expected a number of at least 0 and less than 1, not the number `1`
    --optimizer.weight_decay: `optimizer.weight_decay`: expected a number of at least 0, not the number `-0.1`
    --schedule: `schedule.gamma`: expected a number of at most 1 and more than 0, not the number `0`
    --optimizer: `optimizer.alpha`: expected a number of at least 0 and less than 1, not the number `1`
    --optimizer: `optimizer.dampening`: expected a number of at least 0 and at most 1, not the number `1.5`
    --schedule: `schedule.min_lr`: expected a finite number of at least 0, not the number `inf`
    --schedule: `schedule.step_size`: expected a whole number of at least 1, not the number `0`
    --schedule: `schedule.gamma`: expected a number of at least 0, not the number `-0.1`
    --schedule: `schedule.factor`: expected a number of more than 0 and less than 1, not the number `1`
    ");
}

#[test]
fn printed_options_have_their_docs_and_no_secret() {
    let layers = layers().flag("--model.key", "geheim").flag("--model.optim.name", "sgd");
    let printed = print_config(&layers.checked().unwrap(), layers.schema(), true);
    assert_snapshot!(printed, @r#"
    model:
      # Units of the hidden layer.
      hidden: 64
      lr: 0.001
      act: relu
      # How to change the weights.
      optim:
        name: sgd
        momentum: null
      crop: null
      note: ""
      path: null
      layers: [1, 2]
      names: []
      weights: {}
      outer: null
      # A list of variants, such as callbacks.
      steps: []
      # The key of the service.
      # key: a secret, which is not shown
    fast: false
    "#);
}
