use std::path::PathBuf;

use burn::{
    nn::{Linear, LinearConfig},
    prelude::*,
    tensor::TensorData,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stormfire_checkpoint::{Manifest, WeightsError, write};
use tempfile::TempDir;

use super::*;
use crate::LightningModule;

#[derive(Debug, Serialize, Deserialize)]
struct LineConfig {
    inputs: usize,
}

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
}

impl LightningModule for Line {
    type Batch = Tensor<2>;
}

impl Line {
    fn new(config: &LineConfig) -> Self {
        Self { layer: LinearConfig::new(config.inputs, 1).init(&Device::flex()) }
    }
}

/// A checkpoint of a line with two inputs, and other state.
fn checkpoint(hparams: &Value) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line.ckpt");
    let manifest = Manifest { hparams: hparams.clone(), ..Manifest::default() };
    let tensors = [
        ("layer.weight".to_owned(), TensorData::from([[3.0_f32], [4.0]])),
        ("layer.bias".to_owned(), TensorData::from([5.0_f32])),
        ("optimizer/Adam/layer.bias/m".to_owned(), TensorData::from([6.0_f32])),
    ];
    write(&path, &manifest, &tensors).unwrap();
    (folder, path)
}

fn weight(line: &Line) -> Vec<f32> {
    line.layer.weight.val().into_data().try_to_vec::<f32>().unwrap()
}

#[test]
fn the_module_is_built_from_the_saved_hyperparameters() {
    let (_folder, file) = checkpoint(&json!({ "inputs": 2 }));
    let line = Line::load_from_checkpoint(&file, |config: LineConfig| Line::new(&config)).unwrap();
    assert_eq!(weight(&line), [3.0, 4.0]);
}

#[test]
fn a_file_that_cannot_build_it_is_refused() {
    let refused = |hparams: Value| {
        let (folder, file) = checkpoint(&hparams);
        let error = Line::load_from_checkpoint(&file, |config: LineConfig| Line::new(&config)).unwrap_err();
        format!("{error:?}").replace(&folder.path().display().to_string(), "[folder]")
    };
    let errors = [Value::Null, json!({ "width": 2 }), json!({ "inputs": 3 })].map(refused);
    insta::assert_snapshot!(errors.join("\n"), @r"
    checkpoint `[folder]/line.ckpt`: it contains no hyperparameters
      hint: implement `LightningModule::hparams`, or build the module yourself and call `load_weights`
    checkpoint `[folder]/line.ckpt`: its hyperparameters do not match: missing field `inputs`
      hint: read them as the type that `hparams` saved; this one is `stormfire_module::load::tests::LineConfig`
    `[folder]/line.ckpt`: the weights do not fit the module: 1 parameter loaded; 1 that do not fit: `layer.weight` (f32 [2, 1] in the file, f32 [3, 1] in the module)
      hint: build the module as it was when it was saved; `rename` maps other names, `strict(false)` loads what fits
    ");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let (folder, damaged) = checkpoint(&json!({ "inputs": 2 }));
    let mut bytes = std::fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let (missing, empty) = (folder.path().join("missing.ckpt"), folder.path().join("empty.ckpt"));
    std::fs::write(&empty, "").unwrap();
    let mut told = Vec::new();
    for path in [&missing, &empty, &damaged] {
        let built = Line::load_from_checkpoint(path, |config: LineConfig| Line::new(&config)).unwrap_err();
        let loaded = Line::new(&LineConfig { inputs: 2 }).load_weights(path, &LoadOptions::new()).unwrap_err();
        for error in [&built, &loaded] {
            assert!(matches!(error, Error::Checkpoint { path: named, .. } if named == path), "{error}");
        }
        assert_eq!(format!("{built:?}"), format!("{loaded:?}"));
        told.push(format!("{loaded:?}"));
    }
    // The index of a folder is damaged: it names a shard that is missing.
    let (shards, index) = (folder.path().join("shards"), r#"{"weight_map": {"layer.bias": "a.safetensors"}}"#);
    std::fs::create_dir(&shards).unwrap();
    std::fs::write(shards.join("model.safetensors.index.json"), index).unwrap();
    let error = Line::new(&LineConfig { inputs: 2 }).load_weights(&shards, &LoadOptions::new()).unwrap_err();
    assert!(matches!(&error, Error::Checkpoint { path, .. } if *path == shards), "{error}");
    told.push(format!("{error:?}"));
    insta::assert_snapshot!(told.join("\n").replace(&folder.path().display().to_string(), "[folder]"), @r"
    checkpoint `[folder]/missing.ckpt`: there is no such file
      hint: check the path; a relative one starts at the current folder
    checkpoint `[folder]/empty.ckpt`: it is empty
      hint: use an older checkpoint, or copy the file again if it was copied here
    checkpoint `[folder]/line.ckpt`: it has a wrong checksum: the file was damaged after it was written
      hint: use an older checkpoint, or copy the file again if it was copied here
    checkpoint `[folder]/shards`: `[folder]/shards/model.safetensors.index.json` is damaged: its folder has no shard `a.safetensors`
      hint: use an older checkpoint, or copy the file again if it was copied here
    ");
}

#[test]
fn weights_are_loaded_into_a_module_that_is_there() {
    let (_folder, file) = checkpoint(&Value::Null);
    let line = || Line::new(&LineConfig { inputs: 2 });
    let (loaded, report) = line().load_weights(&file, &LoadOptions::new()).unwrap();
    assert_eq!((weight(&loaded), report.to_string().as_str()), (vec![3.0, 4.0], "2 parameters loaded"));

    let (loaded, report) = line().load_weights(&file, &LoadOptions::new().only("bias$")).unwrap();
    assert_ne!(weight(&loaded), [3.0, 4.0]);
    assert_eq!(report.loaded, ["layer.bias"]);

    let error = Line::new(&LineConfig { inputs: 3 }).load_weights(&file, &LoadOptions::new()).unwrap_err();
    assert!(matches!(error, Error::WeightsOf { error: WeightsError::Misfit(_), .. }), "{error}");
}
