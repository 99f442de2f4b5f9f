use std::path::PathBuf;

use burn::{
    nn::{
        BatchNorm, BatchNormConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, LinearLayout,
        conv::{Conv1d, Conv1dConfig},
    },
    tensor::{Device, Tolerance, activation::relu},
};
use serde::Deserialize;

use super::*;
use crate::Snapshot;

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

fn lightning() -> ImportOptions {
    ImportOptions::new().load(LoadOptions::new().rename(r"^net\.", ""))
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
    for (name, options) in [("lightning.ckpt", lightning()), ("weights.pt", ImportOptions::new())] {
        let (net, report) = import_pytorch(Net::new(), file(name), &options).unwrap();
        assert_eq!(report.to_string(), "12 parameters loaded", "{name}");
        assert_answers(&net);
    }
}

/// The second weight is square: only the outputs reveal a wrong transposition.
#[test]
fn a_linear_in_column_layout_answers_as_in_pytorch() {
    let (net, _) = import_pytorch(Net::with_layout(LinearLayout::Col), file("weights.pt"), &ImportOptions::new()).unwrap();
    assert_answers(&net);
}

#[test]
fn tensors_may_come_another_way() {
    let tensors = read(&file("weights.pt"), None).unwrap();
    let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), bridge::into_data(tensor).unwrap()));
    assert_answers(&import_tensors(Net::new(), tensors, &ImportOptions::new()).unwrap().0);
}

#[test]
fn what_does_not_fit_is_named_in_the_terms_of_the_module() {
    let error = |module: Net, options: &ImportOptions| import_pytorch(module, file("weights.pt"), options).unwrap_err();
    let renamed = ImportOptions::new().load(LoadOptions::new().rename("^conv", "convolution"));
    let cases = [
        (Net::new(), renamed, "2 missing: `conv.weight`, `conv.bias`; 2 unexpected: `convolution.bias`, `convolution.weight`"),
        (
            Net { norm: BatchNormConfig::new(2).init(&Device::flex()), ..Net::new() },
            ImportOptions::new(),
            "`norm.gamma` (f32 [3] in the file, f32 [2] in the module)",
        ),
        (
            Net::new(),
            ImportOptions::new().renumber(false),
            "1 missing: `block.Dense.layers.1.weight`; 1 unexpected: `block.layers.2.weight`",
        ),
    ];
    for (module, options, part) in cases {
        let error = error(module, &options);
        assert!(matches!(error, WeightsError::Misfit(_)) && error.to_string().contains(part), "{error}");
    }
    let options = ImportOptions::new().load(LoadOptions::new().only("^block"));
    let (net, report) = import_pytorch(Net::new(), file("weights.pt"), &options).unwrap();
    assert_eq!(report.loaded.len(), 5);
    assert_eq!(Snapshot::of_module(&net).unwrap().len(), 12);
}

#[test]
fn a_file_that_is_none_is_refused_with_a_hint() {
    let whole = fs_err::read(file("lightning.ckpt")).unwrap();
    // `os.system("true")`, which `torch.load` would execute.
    let program = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.".to_vec();
    let cases = [
        (b"hello".to_vec(), "it is not a PyTorch file"),
        (whole[..whole.len() / 2].to_vec(), "it is damaged"),
        (program, "found os.system"),
        (b"\x80\x02}q\x00.".to_vec(), "the file contains no named tensors; the keys of the file are none"),
    ];
    for (bytes, part) in cases {
        let torn = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(torn.path(), bytes).unwrap();
        let error = import_pytorch(Net::new(), torn.path(), &ImportOptions::new()).unwrap_err();
        assert!(error.to_string().contains(part) && error.hint().is_some(), "{error}");
    }
    let error = import_pytorch(Net::new(), "no such file", &ImportOptions::new()).unwrap_err();
    assert!(error.to_string().contains("it cannot be read"), "{error}");
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
    let error = import_pytorch(Net::new(), torn.path(), &ImportOptions::new()).unwrap_err();
    assert!(error.to_string().contains("it is damaged: `") && error.to_string().contains("data/0`"), "{error}");
}

#[test]
fn a_key_that_is_not_there_is_refused_with_those_that_are() {
    let error = |key: &str| import_pytorch(Net::new(), file("lightning.ckpt"), &ImportOptions::new().key(key)).unwrap_err().to_string();
    assert!(error("model").contains("it has no key `model`; its keys are `callbacks`, `epoch`, `global_step`"), "{}", error("model"));
    let hparams = error("hyper_parameters");
    assert!(hparams.contains("`hyper_parameters` contains no named tensors"), "{hparams}");
}
