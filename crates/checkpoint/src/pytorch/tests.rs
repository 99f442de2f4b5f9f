use std::path::PathBuf;

use burn::{
    module::Module,
    nn::{
        BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, LinearLayout,
        conv::{Conv1d, Conv1dConfig},
    },
    tensor::{Device, Int, Tensor, Tolerance, activation::relu},
};
use insta::assert_snapshot;
use serde::Deserialize;

use super::*;
use crate::{ExportOptions, LoadOptions, LoadReport, Snapshot, WeightLayout, WeightsFile, export, restore};

#[derive(Module, Debug)]
struct Block {
    layers: Vec<Linear>,
    norm: LayerNorm,
}

/// PyTorch has no enums, so the names in a file contain no variants.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a test")]
enum Head {
    Dense(Block),
}

/// The network of `xtask/python/pytorch_checkpoint.py`.
#[derive(Module, Debug)]
struct Net {
    embedding: Embedding,
    conv: Conv1d,
    norm: BatchNorm,
    block: Head,
}

impl Net {
    fn new() -> Self {
        Self::with_layout(LinearLayout::Row)
    }

    fn with_layout(layout: LinearLayout) -> Self {
        let device = Device::flex();
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).with_layout(layout);
        Self {
            embedding: EmbeddingConfig::new(5, 2).init(&device),
            conv: Conv1dConfig::new(2, 3, 2).init(&device),
            norm: BatchNormConfig::new(3).init(&device),
            block: Head::Dense(Block {
                layers: vec![linear(6, 4).init(&device), linear(4, 4).with_bias(false).init(&device)],
                norm: LayerNormConfig::new(4).init(&device),
            }),
        }
    }

    fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<2> {
        let x = self.embedding.forward(tokens).swap_dims(1, 2);
        let x = self.norm.forward(self.conv.forward(x)).flatten(1, 2);
        let Head::Dense(block) = &self.block;
        block.norm.forward(block.layers[1].forward(relu(block.layers[0].forward(x))))
    }
}

/// A file of the script. If the variable names a folder, PyTorch and Lightning have just written it. Otherwise it is a
/// stored file.
fn file(name: &str) -> PathBuf {
    let folder = std::env::var_os("STORMFIRE_PYTORCH_FILES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/pytorch"), PathBuf::from);
    folder.join(name)
}

#[derive(Deserialize)]
struct Answers {
    inputs: Vec<[i64; 3]>,
    outputs: Vec<[f32; 4]>,
}

fn lightning() -> LoadOptions {
    LoadOptions::new().rename(r"^net\.", "")
}

fn load(module: Net, path: impl AsRef<Path>, options: &LoadOptions) -> Result<(Net, LoadReport), Box<dyn std::error::Error>> {
    Ok(WeightsFile::read(path)?.restore(module, options)?)
}

fn text(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<WeightsError>() {
        Some(error) => format!("{error}; {}", error.hint().unwrap()),
        None => error.to_string(),
    }
}

fn assert_answers(net: &Net) {
    let answers: Answers = serde_json::from_str(&fs_err::read_to_string(file("outputs.json")).unwrap()).unwrap();
    let inputs = TensorData::new(answers.inputs.concat(), [answers.inputs.len(), 3]);
    let outputs = TensorData::new(answers.outputs.concat(), [answers.outputs.len(), 4]);
    let actual = net.forward(Tensor::from_data(inputs, &Device::flex())).into_data();
    actual.assert_approx_eq::<f32>(&outputs, Tolerance::absolute(1e-5));
}

#[test]
fn a_module_answers_as_in_pytorch() {
    let hugging_face = || LoadOptions::new().rename(r"^encoder\.", "");
    let cases = [
        ("lightning.ckpt", lightning()),
        ("weights.pt", LoadOptions::new()),
        // As PyTorch wrote before version 1.6.
        ("legacy.pt", LoadOptions::new()),
        ("model.safetensors.index.json", hugging_face()),
        (".", hugging_face()),
        ("bins", hugging_face()),
    ];
    for (name, options) in cases {
        let (net, report) = load(Net::new(), file(name), &options).unwrap();
        assert_eq!(report.to_string(), "12 parameters loaded", "{name}");
        assert_answers(&net);
    }
}

/// With other numbers of bits, which PyTorch wrote.
#[test]
fn numbers_of_other_types_are_cast_and_reported() {
    let reports = [("f16.safetensors", "f16"), ("bf16.pt", "bf16"), ("f64.safetensors", "f64")].map(|(name, dtype)| {
        let (net, report) = load(Net::new(), file(name), &LoadOptions::new()).unwrap();
        let exact = weights(&load(Net::new(), file("weights.pt"), &LoadOptions::new()).unwrap().0);
        for ((path, cast), (_, exact)) in weights(&net).into_iter().zip(exact) {
            let tolerance = Tolerance::rel_abs(if dtype == "bf16" { 1e-2 } else { 1e-3 }, 1e-4);
            cast.assert_approx_eq::<f32>(&exact, tolerance);
            assert!(dtype == "f64" || cast != exact || path.contains("bias") || path.contains("norm"), "{path} had more digits");
        }
        report.to_string()
    });
    assert_snapshot!(reports.join("\n"), @r"
    12 parameters loaded; 12 cast: `embedding.weight` (f16 to f32), `conv.weight` (f16 to f32), `conv.bias` (f16 to f32), `norm.gamma` (f16 to f32), `norm.beta` (f16 to f32), `norm.running_mean` (f16 to f32), `norm.running_var` (f16 to f32), `block.Dense.layers.0.weight` (f16 to f32), `block.Dense.layers.0.bias` (f16 to f32), `block.Dense.layers.1.weight` (f16 to f32) and 2 more
    12 parameters loaded; 12 cast: `embedding.weight` (bf16 to f32), `conv.weight` (bf16 to f32), `conv.bias` (bf16 to f32), `norm.gamma` (bf16 to f32), `norm.beta` (bf16 to f32), `norm.running_mean` (bf16 to f32), `norm.running_var` (bf16 to f32), `block.Dense.layers.0.weight` (bf16 to f32), `block.Dense.layers.0.bias` (bf16 to f32), `block.Dense.layers.1.weight` (bf16 to f32) and 2 more
    12 parameters loaded; 12 cast: `embedding.weight` (f64 to f32), `conv.weight` (f64 to f32), `conv.bias` (f64 to f32), `norm.gamma` (f64 to f32), `norm.beta` (f64 to f32), `norm.running_mean` (f64 to f32), `norm.running_var` (f64 to f32), `block.Dense.layers.0.weight` (f64 to f32), `block.Dense.layers.0.bias` (f64 to f32), `block.Dense.layers.1.weight` (f64 to f32) and 2 more
    ");
}

#[test]
fn names_that_only_start_differently_are_proposed() {
    let error = load(Net::new(), file("lightning.ckpt"), &LoadOptions::new()).unwrap_err();
    assert_snapshot!(text(&*error), @r#"
    the weights do not fit the module: 0 parameters loaded; 12 missing: `embedding.weight`, `conv.weight`, `conv.bias`, `norm.gamma`, `norm.beta`, `norm.running_mean`, `norm.running_var`, `block.Dense.layers.0.weight`, `block.Dense.layers.0.bias`, `block.Dense.layers.1.weight`, `block.Dense.norm.gamma`, `block.Dense.norm.beta`; 12 unexpected: `net.block.layers.0.bias`, `net.block.layers.0.weight`, `net.block.layers.1.weight`, `net.block.norm.bias`, `net.block.norm.weight`, `net.conv.bias`, `net.conv.weight`, `net.embedding.weight`, `net.norm.bias`, `net.norm.running_mean`, `net.norm.running_var`, `net.norm.weight`; build the module as it was when it was saved; most names fit with `LoadOptions::rename(r"^net\.", "")`, and `strict(false)` loads what fits
    "#);
}

fn weights(net: &Net) -> Vec<(String, TensorData)> {
    Snapshot::of_module(net).unwrap().read().unwrap()
}

/// `xtask/python/export_check.py` reads these files with PyTorch, if the variable names a folder.
#[test]
fn exported_weights_come_back() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = if std::env::var_os("STORMFIRE_PYTORCH_FILES").is_some() { file("exported") } else { temporary.path().into() };
    // PyTorch counts the layer without weights, too.
    let gap = || ExportOptions::new().rename(r"layers\.1", "layers.2");
    let exported = |net: &Net, name: &str, options: &ExportOptions| {
        let path = folder.join(name);
        export::<Box<dyn std::error::Error>>(net, &path, options).unwrap();
        load(Net::new(), path.parent().unwrap(), &LoadOptions::new()).unwrap().0
    };
    for layout in [LinearLayout::Row, LinearLayout::Col] {
        let (net, _) = load(Net::with_layout(layout), file("weights.pt"), &LoadOptions::new()).unwrap();
        for (name, options) in [("whole/model.safetensors", gap()), ("shards/model.safetensors", gap().shard_bytes(200))] {
            let back = exported(&net, name, &options);
            assert_answers(&back);
            if matches!(layout, LinearLayout::Row) {
                assert_eq!(weights(&back), weights(&net), "{name}");
            }
        }
    }
}

/// The second weight is square: only the outputs reveal a wrong transposition.
#[test]
fn a_linear_in_column_layout_answers_as_in_pytorch() {
    let (net, _) = load(Net::with_layout(LinearLayout::Col), file("weights.pt"), &LoadOptions::new()).unwrap();
    assert_answers(&net);
}

#[test]
fn tensors_may_come_another_way() {
    let tensors = read(&file("weights.pt"), None).unwrap().into_iter().map(|(name, tensor)| (name, tensor.read().unwrap()));
    assert_answers(&restore(Net::new(), tensors, &LoadOptions::new().layout(WeightLayout::PyTorch)).unwrap().0);
}

#[test]
fn mismatches_are_named_in_the_terms_of_the_module() {
    let error = |module: Net, options: &LoadOptions| load(module, file("weights.pt"), options).unwrap_err();
    let renamed = LoadOptions::new().rename("^conv", "convolution");
    let cases = [
        (Net::new(), renamed),
        (Net { norm: BatchNormConfig::new(2).init(&Device::flex()), ..Net::new() }, LoadOptions::new()),
        (Net::new(), LoadOptions::new().renumber(false)),
    ];
    assert_snapshot!(cases.map(|(module, options)| text(&*error(module, &options))).join("\n"), @r#"
    the weights do not fit the module: 10 parameters loaded; 2 missing: `conv.weight`, `conv.bias`; 2 unexpected: `convolution.bias`, `convolution.weight`; build the module as it was when it was saved; most names fit with `LoadOptions::rename(r"^convolution\.", "conv.")`, and `strict(false)` loads what fits
    the weights do not fit the module: 8 parameters loaded; 4 that do not fit: `norm.gamma` (f32 [3] in the file, f32 [2] in the module), `norm.beta` (f32 [3] in the file, f32 [2] in the module), `norm.running_mean` (f32 [3] in the file, f32 [2] in the module), `norm.running_var` (f32 [3] in the file, f32 [2] in the module); build the module as it was when it was saved; `rename` maps other names, `strict(false)` loads what fits
    the weights do not fit the module: 11 parameters loaded; 1 missing: `block.Dense.layers.1.weight`; 1 unexpected: `block.layers.2.weight`; `block.Dense.layers.1.weight` may be `block.layers.2.weight`; build the module as it was when it was saved; `rename` maps other names, `strict(false)` loads what fits
    "#);
    let options = LoadOptions::new().only("^block");
    let (net, report) = load(Net::new(), file("weights.pt"), &options).unwrap();
    assert_eq!(report.loaded.len(), 5);
    assert_eq!(Snapshot::of_module(&net).unwrap().len(), 12);
}

#[test]
fn a_file_that_is_none_is_refused_with_a_hint() {
    let [whole, legacy] = ["lightning.ckpt", "legacy.pt"].map(|name| fs_err::read(file(name)).unwrap());
    // `os.system("true")`, which `torch.load` would execute.
    let program = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.".to_vec();
    let cases = [
        (whole[..whole.len() / 2].to_vec(), "it is damaged"),
        (legacy[..legacy.len() - 1].to_vec(), "extends beyond the end of the file"),
        (program, "found os.system"),
        (b"\x80\x02}q\x00q\x01q\x02.".to_vec(), "the file contains no named tensors; the keys of the file are none"),
    ];
    for (bytes, part) in cases {
        let torn = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(torn.path(), bytes).unwrap();
        let error = load(Net::new(), torn.path(), &LoadOptions::new()).unwrap_err();
        assert!(text(&*error).contains(part), "{error}");
    }
}

/// One flipped bit in the values of a weight.
#[test]
fn a_file_whose_checksums_do_not_hold_is_refused() {
    let mut bytes = fs_err::read(file("weights.pt")).unwrap();
    let mut archive = ZipArchive::new(io::Cursor::new(&bytes)).unwrap();
    let place = |index| {
        let entry = archive.by_index(index).unwrap();
        entry.name_raw().ends_with(b"data/0").then(|| entry.data_start().unwrap() as usize)
    };
    let at = (0..ZipArchive::new(io::Cursor::new(&bytes)).unwrap().len()).find_map(place).unwrap();
    bytes[at] ^= 1;
    let torn = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(torn.path(), bytes).unwrap();
    let error = load(Net::new(), torn.path(), &LoadOptions::new()).unwrap_err();
    assert!(error.to_string().contains("it is damaged: `") && error.to_string().contains("data/0`"), "{error}");
}

#[test]
fn a_key_that_is_not_there_is_refused_with_those_that_are() {
    let error = |key: &str| load(Net::new(), file("lightning.ckpt"), &LoadOptions::new().key(key)).unwrap_err().to_string();
    assert!(error("model").contains("it has no key `model`; its keys are `callbacks`, `epoch`, `global_step`"), "{}", error("model"));
    let hparams = error("hyper_parameters").replace(&file("").display().to_string(), "[files]/");
    assert_snapshot!(hparams, @"`[files]/lightning.ckpt`: `hyper_parameters` contains no named tensors; the keys of the file are `callbacks`, `epoch`, `global_step`, `hparams_name`, `hyper_parameters`, `loops`, `lr_schedulers`, `optimizer_states`, `pytorch-lightning_version`, `state_dict`");
}
