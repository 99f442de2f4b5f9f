//! Known traps for users and programs.

use super::*;
use crate::{node::Tree, print::inline};

#[test]
fn an_empty_text_is_not_null() {
    for text in ["", " ", "# none", "---"] {
        let error = flags(&[("model.crop", text)]).unwrap_err().to_string();
        assert_eq!(error, "model.crop: the option `model.crop` has no value\n  help: for no value, write `null`", "{text:?}");
    }
    for text in ["null", "Null", "NULL", "~"] {
        assert_eq!(flags(&[("model.crop", text)]).unwrap().model.crop, None);
    }
    assert_eq!(flags(&[("model.note", "")]).unwrap().model.note, "");
    // Without a null among its values.
    let error = flags(&[("model.hidden", "")]).unwrap_err().to_string();
    assert_eq!(error, "model.hidden: the option `model.hidden` has no value\n  help: it takes a whole number");
    assert_eq!(flags(&[("model.hiden", "")]).unwrap_err().to_string(), "model.hiden: the option `model.hiden` has no value");
}

#[test]
fn a_boolean_is_read_alike_after_a_blank_and_after_an_equals_sign() {
    let fast = |words: &[&str]| layers().args(words).and_then(|layers| layers.resolve::<Config>()).map(|config| config.fast);
    for (text, expected) in [("true", true), ("True", true), ("TRUE", true), ("false", false), ("False", false), ("FALSE", false)] {
        let joined = format!("--fast={text}");
        assert_eq!((fast(&["--fast", text]), fast(&[joined.as_str()])), (Ok(expected), Ok(expected)), "{text}");
    }
    assert_eq!((fast(&["--fast"]), fast(&["--fast", "model.note=x"])), (Ok(true), Ok(true)));
    let told = |words: &[&str]| fast(words).unwrap_err().to_string();
    let expected = "--fast: `fast`: expected `true` or `false`, not the number `0`";
    assert_eq!((told(&["--fast", "0"]).as_str(), told(&["--fast=0"]).as_str()), (expected, expected));
    assert_eq!(told(&["--fast", "fit"]), "--fast: `fast`: expected `true` or `false`, not the string `fit`");
}

#[test]
fn a_section_with_all_options_commented_out_changes_nothing() {
    let (_folder, path) = file("model:\n  # hidden: 3\n", "a.yaml");
    assert_eq!(layers().file(&path).unwrap().resolve::<Config>().unwrap(), Config::default());
    assert!(file_error("model: {hidden: null}", "a.yaml").contains("model.hidden"));
}

/// The options of the section that it replaces would be lost without a word.
#[test]
fn a_value_in_place_of_a_section_is_refused_also_below_its_options() {
    let told = |assignments: &[(&str, &str)]| flags(assignments).unwrap_err().to_string();
    assert_eq!(told(&[("model", "1"), ("model.lr", "0.5")]), "model: `model`: expected a section, not the number `1`");
    assert_eq!(
        told(&[("model.optim.name", "sgd"), ("model.optim", "adam")]),
        "model.optim: `model.optim`: expected a section, not the string `adam`"
    );
    let (_folder, path) = file("model: [1]\n", "a.yaml");
    let error = layers().file(&path).unwrap().flag("model.lr", "0.5").resolve::<Config>().unwrap_err().to_string();
    assert!(error.contains("a.yaml:1:") && error.ends_with(": `model`: expected a section, not a list of 1"), "{error}");
    // A section that may be missing is one again.
    assert_eq!(flags(&[("model.crop", "null"), ("model.crop.size", "3")]).unwrap().model.crop, Some(Crop { size: 3, pad: 0 }));
}

#[test]
fn a_name_with_a_point_in_a_file_is_explained() {
    assert_snapshot!(file_error("model.crop.size: 3", "a.yaml"), @"
    a.yaml:1:1: the name `model.crop.size` has a point, which is for command lines
      help: write sections: `model: {crop: {size: …}}`
    ");
}

#[test]
fn a_variable_with_one_underscore_too_few_is_an_error() {
    let of = |name: &str| layers().env("APP", [(name.to_owned(), "3".to_owned())]).and_then(|layers| layers.resolve::<Config>());
    assert_eq!(of("APP__MODEL__HIDDEN").unwrap().model.hidden, 3);
    for name in ["APP_MODEL_HIDDEN", "APP_MODEL__HIDDEN"] {
        let error = of(name).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains("did you mean `APP__MODEL__HIDDEN`?"), "{error}");
    }
    assert_eq!(of("APP_FAST").unwrap_err().to_string(), "APP_FAST: there is no option `fast`\n  help: did you mean `APP__FAST`?");
    for name in ["APP_HOME", "APP_MODEL", "APPMODEL__LR"] {
        assert_eq!(of(name).unwrap(), Config::default(), "{name}");
    }
}

#[test]
fn the_prefix_of_a_variable_is_not_compared() {
    let told = |name: &str| layers().env("STORMFIRE", [(name.to_owned(), "3".to_owned())]).unwrap_err().to_string();
    assert_eq!(told("STORMFIRE__LR"), "STORMFIRE__LR: there is no option `lr`\n  help: did you mean `STORMFIRE__MODEL__LR`?");
    assert_eq!(told("STORMFIRE__XYZ"), "STORMFIRE__XYZ: there is no option `xyz`");
}

#[test]
fn printed_numbers_are_numbers_for_every_reader() {
    let source = crate::source::Source::default_value();
    let print = |value: f64| inline(&Node::new(Tree::Float(value), &source));
    assert_eq!([1e-5, 1.5e-7, 1e20, 0.5].map(print), ["1.0e-5", "1.5e-7", "1.0e+20", "0.5"]);
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Server {
    url: String,
    #[schemars(extend("writeOnly" = true))]
    token: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
struct Options {
    optim: Optim,
    share: f32,
    servers: Vec<Server>,
    by_name: BTreeMap<String, Server>,
}

impl Default for Options {
    fn default() -> Self {
        Self { optim: Optim::Sgd { momentum: Some(0.9) }, share: 0.5, servers: Vec::new(), by_name: BTreeMap::new() }
    }
}

fn options_with(given: &[(&str, &str)]) -> Layers {
    given.iter().fold(Layers::of(&Options::default()).unwrap(), |layers, (name, value)| layers.flag(name, *value))
}

#[test]
fn a_variant_that_is_chosen_back_is_printed_as_it_was_read() {
    let (_folder, adam) = file("optim: {name: adam}", "a.yaml");
    let layers = Layers::of(&Options::default()).unwrap().file(&adam).unwrap().flag("optim.name", "sgd");
    let read: Options = layers.resolve().unwrap();
    assert_eq!(read.optim, Optim::Sgd { momentum: None });
    let printed = print_config(&layers.checked().unwrap(), layers.schema(), true);
    let (_folder, again) = file(&printed, "b.yaml");
    assert_eq!(Layers::of(&Options::default()).unwrap().file(&again).unwrap().resolve::<Options>().unwrap(), read);
}

#[test]
fn secrets_in_lists_and_maps_are_not_shown() {
    let servers = [("servers", "[{url: a, token: s3cret}]"), ("by_name", "{b: {url: b, token: s3cret}}")];
    let layers = options_with(&servers);
    let config = layers.checked().unwrap();
    for shown in [print_config(&config, layers.schema(), true), format!("{:?}", secret::without(&config, layers.schema()))] {
        assert!(shown.contains("url") && !shown.contains("s3cret"), "{shown}");
    }
    let wrong = options_with(&[("servers", "[{token: [s3cret]}]")]).resolve::<Options>().unwrap_err().to_string();
    assert!(!wrong.contains("s3cret"), "{wrong}");
}

#[test]
fn a_number_that_is_too_large_is_not_infinite() {
    let error = options_with(&[("share", "1e39")]).resolve::<Options>().unwrap_err().to_string();
    assert_eq!(error, "share: `share`: expected a number of at most 3.4028235e38, not the number `1e39`");
    assert!(options_with(&[("share", ".inf")]).resolve::<Options>().unwrap().share.is_infinite());
}

#[test]
fn a_name_of_any_depth_is_read_without_a_panic() {
    let name = vec!["a"; 30_000].join(".");
    let error = options_with(&[(&name, "1")]).resolve::<Options>().unwrap_err().to_string();
    assert!(error.contains("an option has at most 64 names, this one has 30000"));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Maps {
    factors: BTreeMap<u32, f64>,
    shifts: BTreeMap<i64, Server>,
    weights: BTreeMap<String, f64>,
    nested: BTreeMap<String, BTreeMap<String, u8>>,
}

impl Default for Maps {
    fn default() -> Self {
        let nested = BTreeMap::from([("a".to_owned(), BTreeMap::from([("b".to_owned(), 1)]))]);
        Self { factors: BTreeMap::from([(1, 0.5)]), shifts: BTreeMap::new(), weights: BTreeMap::from([("a".into(), 1.0)]), nested }
    }
}

fn maps(given: &[(&str, &str)]) -> Result<Maps> {
    given.iter().fold(Layers::of(&Maps::default()).unwrap(), |layers, (name, value)| layers.flag(name, *value)).resolve()
}

#[test]
fn numbers_are_names_in_maps() {
    assert_eq!(maps(&[("--factors", "{4: 8}"), ("--factors.7", "9")]).unwrap().factors, BTreeMap::from([(1, 0.5), (4, 8.0), (7, 9.0)]));
    assert_eq!(maps(&[("--shifts", "{-4: {url: x}}")]).unwrap().shifts[&-4].url, "x");
    let (_folder, path) = file("factors:\n  0: 1\n  4: 8\n", "a.yaml");
    let read: Maps = Layers::of(&Maps::default()).unwrap().file(&path).unwrap().resolve().unwrap();
    assert_eq!(read.factors, BTreeMap::from([(0, 1.0), (1, 0.5), (4, 8.0)]));
    let told = |given: &[(&str, &str)]| maps(given).unwrap_err().to_string();
    assert_snapshot!(told(&[("--factors", "{-1: 8}")]), @"--factors: `factors`: expected whole numbers as names, not `-1`");
    assert_snapshot!(told(&[("--factors", "{a: 8}")]), @"--factors: `factors`: expected whole numbers as names, not `a`");
    assert_snapshot!(told(&[("--factors.1", "x")]), @"--factors.1: `factors.1`: expected a number, not the string `x`");
    assert_snapshot!(told(&[("--factors", "{99999999999: 1}")]), @r#"--factors: `factors.99999999999`: invalid type: string "99999999999", expected u32"#);
    assert_snapshot!(told(&[("--shifts", "{-4: {ur: x}}")]), @r"
    --shifts: there is no option `shifts.-4.ur`
      help: did you mean `shifts.-4.url`?
    ");
    // Secrets in them are secrets.
    let layers = Layers::of(&Maps::default()).unwrap().flag("shifts", "{1: {url: a, token: s3cret}}");
    let shown = print_config(&layers.checked().unwrap(), layers.schema(), true);
    assert!(shown.contains("url: a") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn empty_braces_empty_a_map() {
    assert!(maps(&[("--weights", "{}")]).unwrap().weights.is_empty());
    assert!(maps(&[("--nested.a", "{}")]).unwrap().nested["a"].is_empty());
    assert_eq!(maps(&[("--weights", "{}"), ("--weights.b", "2")]).unwrap().weights, BTreeMap::from([("b".into(), 2.0)]));
    assert!(maps(&[("--weights.b", "2"), ("--weights", "{}")]).unwrap().weights.is_empty());
    for (text, ending) in [("weights: {}\nfactors: {}", "a.yaml"), ("weights = {}\nfactors = {}", "a.toml")] {
        let (_folder, path) = file(text, ending);
        let read: Maps = Layers::of(&Maps::default()).unwrap().file(&path).unwrap().resolve().unwrap();
        assert!(read.weights.is_empty() && read.factors.is_empty(), "{read:?}");
    }
    // A section keeps its options.
    assert_eq!(flags(&[("--model", "{}")]).unwrap(), Config::default());
}

#[test]
fn a_later_null_takes_a_section_away() {
    let size = |given: &[(&str, &str)]| flags(given).unwrap().model.crop.map(|crop| crop.size);
    assert_eq!(size(&[("--model.crop.size", "3"), ("--model.crop", "null")]), None);
    assert_eq!(size(&[("--model.crop", "null"), ("--model.crop.size", "3")]), Some(3));
    assert_eq!(size(&[("--model.crop.size", "3"), ("--model.crop", "null"), ("--model.crop.pad", "1")]), Some(0));
    let env = [("APP__MODEL__CROP__SIZE".to_owned(), "3".to_owned())];
    let config: Config = layers().env("APP", env).unwrap().flag("--model.crop", "null").resolve().unwrap();
    assert_eq!(config.model.crop, None);
}
