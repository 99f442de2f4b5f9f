//! Properties of configurations of any content.

use proptest::prelude::*;

use super::*;
use crate::{args, merge::merge, node::Tree, print::inline, read};

/// Strings that a reader may take for values of other types.
const LOOKS_LIKE: [&str; 40] = [
    "",
    " ",
    "~",
    "null",
    "Null",
    "NULL",
    "true",
    "True",
    "no",
    "on",
    "off",
    "y",
    "N",
    "1",
    "-1",
    "+1",
    "1_000",
    "0x10",
    "0o17",
    "0b1",
    "017",
    "1e3",
    "1.",
    ".5",
    "1:30",
    "inf",
    "-.inf",
    ".nan",
    "NaN",
    "2026-11-29",
    "2026-11-29T10:00:00Z",
    "=",
    "<<",
    "[]",
    "{}",
    "- a",
    "a: b",
    "# x",
    "'",
    "text:NaN",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => any::<String>(),
        2 => "[a-z0-9_.:# -]{0,8}",
        2 => "[\\u{0}-\\u{20}\\u{7f}-\\u{a0}\\u{2028}\\u{2029}\\u{feff}\\u{e000}\\u{1f600}ä日e\\u{301}]{0,6}",
        4 => proptest::sample::select(&LOOKS_LIKE[..]).prop_map(str::to_owned),
    ]
}

fn float() -> impl Strategy<Value = f64> {
    let special = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 5e-324, -0.0, 0.0, 1.0, 1e16, 0.1 + 0.2];
    prop_oneof![3 => any::<f64>(), 2 => proptest::sample::select(special.to_vec()), 1 => (-400..400_i32).prop_map(|power| 1.5 * 10_f64.powi(power))]
}

fn small_float() -> impl Strategy<Value = f32> {
    prop_oneof![any::<f32>(), proptest::sample::select(vec![f32::INFINITY, f32::NAN, f32::MAX, 1e-45, -0.0, 0.1])]
}

prop_compose! {
    fn outer()(
        share in proptest::option::of(small_float()), note in proptest::option::of(text()), has_inner: bool,
        at in proptest::option::of(prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)]),
        names in proptest::option::of(proptest::collection::vec(text(), 0..3)),
    ) -> Outer {
        Outer { share, inner: has_inner.then_some(Inner { at, names }), note }
    }
}

fn optim() -> impl Strategy<Value = Optim> {
    prop_oneof![
        small_float().prop_map(|beta_1| Optim::Adam { beta_1 }),
        proptest::option::of(float()).prop_map(|momentum| Optim::Sgd { momentum }),
    ]
}

prop_compose! {
    fn config()(
        hidden in prop_oneof![any::<usize>(), Just(usize::MAX)], lr in float(), is_gelu: bool, optim in optim(),
        crop in proptest::option::of((any::<u16>(), any::<i64>())), note in text(), path in proptest::option::of(text()),
        layers in proptest::collection::vec(any::<u8>(), 0..4), names in proptest::collection::vec(text(), 0..4),
        (weights, outer) in (proptest::collection::btree_map(text(), float(), 0..4), proptest::option::of(outer())),
        steps in proptest::collection::vec(optim(), 0..3), fast: bool,
    ) -> Config {
        let act = if is_gelu { Act::Gelu } else { Act::Relu };
        let crop = crop.map(|(size, pad)| Crop { size, pad });
        let path = path.map(Into::into);
        let model = Model { hidden, lr, act, optim, crop, note, path, layers, names, weights, outer, steps, key: String::new() };
        Config { model, fast }
    }
}

/// NaN differs from itself, and the two zeros do not differ.
fn shown(config: &Config) -> String {
    format!("{config:?}")
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

/// A word of a command line.
fn word() -> impl Strategy<Value = String> {
    let path = proptest::sample::select(vec![
        "model.lr",
        "model.note",
        "model.optim",
        "model.optim.name",
        "model.outer.inner.at",
        "model.steps",
        "model.weights.a",
        "model",
        "fast",
        "key",
        "model.key",
        "model.hiden",
        "",
        ".",
        "model..lr",
        "lr",
        "slow",
    ]);
    let own = proptest::sample::select(vec![
        "-",
        "--",
        "---",
        "-c",
        "-cx.yaml",
        "-c=x.yaml",
        "--config",
        "--config=",
        "-m",
        "-mm",
        "-h",
        "--help=all",
        "--help=",
        "--jobs",
        "--jobs=0",
        "--jobs=18446744073709551616",
        "--ckpt_path",
        "--ckpt-path=last",
        "--dry-run",
        "--dry-run=1",
        "--print-config",
        "--print-schema",
        "--completion",
        "fit",
        "test",
        "sweep",
        "tune",
        "fti",
        "-1",
        "-.5",
        "-ä",
        "--日本",
        "=",
        "==",
        "--=",
        "\0",
    ]);
    prop_oneof![
        3 => (path.clone(), proptest::sample::select(vec!["--", "", "-", "---"]), text()).prop_map(|(path, start, value)| format!("{start}{path}={value}")),
        1 => path.prop_map(|path| format!("--{path}")),
        2 => own.prop_map(str::to_owned),
        1 => text(),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn a_printed_configuration_is_read_as_the_same(config in config(), docs: bool) {
        let node = Node::of(&config, &Source::default_value()).unwrap();
        let printed = print_config(&node, layers().schema(), docs);
        let (_folder, path) = file(&printed, "config.yaml");
        let again: Config = layers().file(&path).unwrap().resolve().map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
        prop_assert_eq!(shown(&again), shown(&config), "{}", printed);
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
        // A wrong section would merge with the values above it instead of being replaced.
        let merges = |path: &str| ["model.weights", "model.crop", "model.outer"].iter().any(|section| path.starts_with(section));
        wrong.retain(|(path, _)| !merges(path) && path != "model.key");
        all.retain(|(path, _)| path != "model.key");
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
        let is_optional = |path: &str| ["model.path", "model.outer.note"].contains(&path);
        let is_word = all.iter().any(|(path, value)| is_optional(path) && value.text() == Some("null"));
        prop_assume!(!is_word);
        let env = [of(2), below(2)].concat();
        let env = env.iter().map(text).map(|(path, text)| (env::variable("APP", &path), text));
        given = given.env("APP", env).unwrap();
        for (path, text) in of(3).iter().rev().map(text) {
            given = given.flag(&format!("--{path}"), text);
        }
        let result: Config = given.resolve().map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(shown(&result), shown(&config));
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

    /// Lines of a shell: options of all forms, flags, files and commands in any order, and damaged ones.
    #[test]
    fn no_command_line_makes_the_parser_panic(words in proptest::collection::vec(word(), 0..8)) {
        let aliases = [("lr", "model.lr", None), ("slow", "fast", Some("false"))];
        let aliases = aliases.map(|(name, path, fixed): (&str, &str, Option<&str>)| args::Alias { name: name.into(), path: path.into(), fixed: fixed.map(Into::into) });
        let line = args::parse(&words, layers().schema(), args::Words { aliases: &aliases, commands: &args::Command::ALL });
        // As a program does, an option has the same value as an assignment.
        if let Ok(line) = &line {
            prop_assert!(line.shown.len() == words.len() || line.wants_help());
            let _ = layers().flags(line.options.clone()).resolve::<Config>();
        }
        let _ = layers().args(&words).and_then(|layers| layers.resolve::<Config>());
    }

    /// The three forms of an option are one, and no other word changes it.
    #[test]
    fn an_option_has_one_meaning_in_all_of_its_forms(value in text(), before in proptest::collection::vec(word(), 0..3)) {
        let read = |words: &[String]| layers().args(words).and_then(|layers| layers.resolve::<Config>()).map(|config| shown(&config));
        let forms = [vec![format!("--model.note={value}")], vec![format!("model.note={value}")], vec!["--model.note".to_owned(), value.clone()]];
        let expected = shown(&Config { model: Model { note: value.clone(), ..Model::default() }, ..Config::default() });
        // A word that looks like a flag is not the value of a flag before it.
        let is_flag = value.len() > 1 && value.starts_with('-');
        for form in &forms[..if is_flag { 2 } else { 3 }] {
            prop_assert_eq!(read(form), Ok(expected.clone()));
            let line: Vec<String> = before.iter().chain(form).cloned().collect();
            // Its value may be the next word.
            let takes_next = before.last().is_some_and(|last| last.starts_with('-') && !last.contains('='));
            if !takes_next && let Ok(read) = read(&line) {
                prop_assert!(read.contains(&format!("note: {value:?}")), "{}", read);
            }
        }
    }
}
