//! No text makes the readers of configurations and command lines panic or allocate much more memory than its size.

#![no_main]

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire_cli::{Layers, fuzzing, print_config};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
enum Optim {
    Adam { beta: f32 },
    Sgd { momentum: Option<f64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    hidden: usize,
    lr: f64,
    note: String,
    path: Option<PathBuf>,
    layers: Vec<i16>,
    optim: Optim,
    weights: BTreeMap<String, f64>,
    factors: BTreeMap<u32, Vec<String>>,
    #[schemars(extend("writeOnly" = true))]
    key: String,
}

impl Default for Config {
    fn default() -> Self {
        let (layers, optim) = (vec![1, 2], Optim::Adam { beta: 0.9 });
        let (note, path, weights, factors, key) = (String::new(), None, BTreeMap::new(), BTreeMap::new(), String::new());
        Self { hidden: 64, lr: 1e-3, note, path, layers, optim, weights, factors, key }
    }
}

static LAYERS: LazyLock<Layers> = LazyLock::new(|| Layers::of(&Config::default()).expect("the defaults are plain data"));

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, text)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let layers = LAYERS.clone();
    let words: Vec<&str> = text.split('\0').collect();
    let read = match kind.wrapping_sub(b'0') % 8 {
        0 => file("yaml", text, layers),
        1 => file("toml", text, layers),
        2 => file("json", text, layers),
        3 => Ok(words.iter().filter_map(|word| word.split_once('=')).fold(layers, |layers, (name, value)| layers.flag(name, value))),
        4 => {
            let variables = words.iter().filter_map(|word| word.split_once('='));
            layers.env("A", variables.map(|(name, value)| (format!("A__{name}"), value.to_owned())))
        }
        5 => layers.args(&words),
        6 => {
            // The check before the runs is that of their processes.
            assert!(fuzzing::check_multirun(&words, &layers).unwrap_or(true), "{words:?}");
            return;
        }
        _ => {
            let _ = fuzzing::check_sweep(&words, &layers);
            return;
        }
    };
    let Ok(layers) = read else { return };
    let Ok(config) = layers.resolve::<Config>() else { return };
    // Valid options are printed, and the text is read as the same options.
    let printed = print_config(&layers.checked().expect("it was just resolved"), layers.schema(), true);
    let again = file("yaml", &printed, LAYERS.clone()).and_then(|layers| layers.resolve::<Config>());
    let expected = Config { key: String::new(), ..config };
    assert_eq!(format!("{:?}", again.expect("what was printed is valid")), format!("{expected:?}"), "{printed}");
});

/// Reads a file in memory.
fn file(ending: &str, text: &str, layers: Layers) -> stormfire_cli::Result<Layers> {
    let path = format!("/dev/shm/stormfire-fuzz-{}.{ending}", std::process::id());
    std::fs::write(&path, text).expect("/dev/shm can be written to");
    layers.file(path)
}
