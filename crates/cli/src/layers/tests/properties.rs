//! Properties of configurations of any content.

use proptest::prelude::*;

use super::*;
use crate::{merge::merge, node::Tree, print::inline, read};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-z0-9_.:# -]{0,8}", Just("inf".to_owned()), Just("~".to_owned()), Just("text:NaN".to_owned())]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>().prop_map(|value| if value.is_nan() { 0.5 } else { value }), Just(f64::INFINITY), Just(1.0), Just(1e16)]
}

prop_compose! {
    fn config()(
        hidden: usize, lr in float(), is_gelu: bool, is_sgd: bool, beta_1 in -10.0_f32..10.0, momentum in proptest::option::of(float()),
        crop in proptest::option::of((any::<u16>(), any::<i64>())), note in text(), path in proptest::option::of(text()),
        layers: Vec<u8>, names in proptest::collection::vec(text(), 0..4),
        weights in proptest::collection::btree_map(text(), float(), 0..4), fast: bool,
    ) -> Config {
        let optim = if is_sgd { Optim::Sgd { momentum } } else { Optim::Adam { beta_1 } };
        let act = if is_gelu { Act::Gelu } else { Act::Relu };
        let crop = crop.map(|(size, pad)| Crop { size, pad });
        let model = Model { hidden, lr, act, optim, crop, note, path: path.map(Into::into), layers, names, weights, key: String::new() };
        Config { model, fast }
    }
}

/// Each option that is not a section, with its path and value.
fn options(node: &Node, path: &str, found: &mut Vec<(String, Node)>) {
    for (name, value) in node.fields().into_iter().flatten() {
        let path = crate::schema::join(path, name);
        // A map or variant is one option here: a part of it would merge with another one.
        let is_whole = ["model.weights", "model.optim", "model.crop"].contains(&path.as_str());
        match &value.value {
            Tree::Map(_) if !is_whole => options(value, &path, found),
            _ => found.push((path, value.clone())),
        }
    }
}

fn layer_of(options: &[(String, Node)]) -> Node {
    let mut layer = Node::empty(&Source::default_value());
    for (path, value) in options {
        let below = path.split('.').rev().fold(value.clone(), |below, name| {
            Node::new(Tree::Map([(name.to_owned(), below)].into_iter().collect()), &Source::default_value())
        });
        merge(&mut layer, below, "", layers().schema());
    }
    layer
}

proptest! {
    #[test]
    fn a_printed_configuration_is_read_as_the_same(config in config(), docs: bool) {
        let node = Node::of(&config, &Source::default_value()).unwrap();
        let printed = print_config(&node, layers().schema(), docs);
        let (_folder, path) = file(&printed, "config.yaml");
        let again: Config = layers().file(&path).unwrap().resolve().map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
        prop_assert_eq!(&again, &config, "{}", printed);
        // The file says the same without the program.
        let read = read::file(&path).unwrap();
        prop_assert!(read.get(["model", "lr"]).unwrap().is_same(node.get(["model", "lr"]).unwrap()));
    }

    #[test]
    fn any_division_into_layers_has_the_same_result(config in config(), decoy in config(), places in proptest::collection::vec(0_usize..4, 16)) {
        let node = Node::of(&config, &Source::default_value()).unwrap();
        let decoy = Node::of(&decoy, &Source::default_value()).unwrap();
        let (mut all, mut wrong) = (Vec::new(), Vec::new());
        options(&node, "", &mut all);
        options(&decoy, "", &mut wrong);
        // An empty map would merge with the values below it instead of replacing them.
        wrong.retain(|(path, _)| !["model.weights", "model.crop"].contains(&path.as_str()));
        all.retain(|(path, _)| path != "model.key");
        wrong.retain(|(path, _)| path != "model.key");
        let place = |index: usize| places[index % places.len()];
        let of = |at: usize| -> Vec<(String, Node)> {
            all.iter().enumerate().filter(|(index, _)| place(*index) == at).map(|(_, option)| option.clone()).collect()
        };
        // Each option has a wrong value in each layer below its own.
        let below = |at: usize| -> Vec<(String, Node)> {
            let is_below = |path: &str| all.iter().position(|(other, _)| other == path).is_some_and(|index| place(index) > at);
            wrong.iter().filter(|(path, _)| is_below(path)).cloned().collect()
        };
        let folder = tempfile::tempdir().unwrap();
        let mut given = layers();
        for at in 0..2 {
            let path = folder.path().join(format!("{at}.yaml"));
            let layer = layer_of(&[of(at), below(at)].concat());
            fs_err::write(&path, print_config(&layer, layers().schema(), false)).unwrap();
            given = given.file(&path).unwrap();
        }
        let text = |(path, value): &(String, Node)| {
            let is_text = layers().schema().leaf(path).is_some_and(|leaf| leaf.kinds.is_text());
            let text = if is_text { value.text().map(str::to_owned) } else { None };
            (path.clone(), text.unwrap_or_else(|| inline(value)))
        };
        // `null` for an optional string stands for no value, so that only a file can give this word.
        let is_word = all.iter().any(|(path, value)| path == "model.path" && value.text() == Some("null"));
        prop_assume!(!is_word);
        let env = [of(2), below(2)].concat();
        let env = env.iter().map(text).map(|(path, text)| (env::variable("APP", &path), text));
        given = given.env("APP", env).unwrap();
        for (path, text) in of(3).iter().rev().map(text) {
            given = given.flag(&format!("--{path}"), text);
        }
        let result: Config = given.resolve().map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(result, config);
    }

    /// Valid files with a few characters that were replaced, as a fuzzer does it. `--full` makes many more of them.
    #[test]
    fn no_damaged_file_makes_the_readers_panic(
        config in config(), ending in 0_usize..3,
        damages in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "[]{}\\[:,&*!|>'\"#%@`\n\t ~<=\\-0-9a-z]{0,6}"), 1..6),
    ) {
        let node = Node::of(&config, &Source::default_value()).unwrap();
        let text = match ending {
            0 => print_config(&node, layers().schema(), false),
            1 => format!("fast = true\n[model]\nhidden = {}\nlayers = [1, 2]\noptim = {{ name = \"sgd\" }}\n", config.model.hidden >> 1),
            _ => serde_json::to_string_pretty(&node).unwrap(),
        };
        let mut text: Vec<char> = text.chars().collect();
        for (index, removed, inserted) in damages {
            let at = index.index(text.len() + 1);
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        let text: String = text.into_iter().collect();
        let (_folder, path) = file(&text, ["a.yaml", "a.toml", "a.json"][ending]);
        // Valid or not: no panic, and an error has a place or a name.
        if let Err(error) = layers().file(&path).and_then(|layers| layers.resolve::<Config>()) {
            prop_assert!(error.problems().iter().all(|problem| problem.source.is_some()), "{}", error);
        }
    }

    #[test]
    fn no_text_makes_the_readers_panic(text: String, ending in 0_usize..3) {
        let (_folder, path) = file(&text, ["a.yaml", "a.toml", "a.json"][ending]);
        let _ = layers().file(&path).and_then(|layers| layers.resolve::<Config>());
        let _ = flags(&[("--model.optim", &text), ("--model.weights", &text), (&text, &text)]);
    }
}
