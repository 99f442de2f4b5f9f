use burn::{
    module::{Lora, ParamGroup, Quantizer},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    tensor::{
        DType, Device,
        quantization::{Calibration, QuantScheme},
    },
};
use insta::assert_snapshot;

use super::*;
use crate::{LoadOptions, WeightsFile};

#[derive(Module, Debug)]
struct Net {
    layers: Vec<Linear>,
    norm: BatchNorm,
    mask: Param<Tensor<1, Bool>>,
    steps: Param<Tensor<1, Int>>,
    größe: Param<Tensor<1>>,
}

impl Net {
    fn new() -> Self {
        let device = Device::flex();
        let initialized = burn::module::ParamId::new;
        Self {
            layers: vec![LinearConfig::new(2, 3).init(&device), LinearConfig::new(3, 3).init(&device)],
            norm: BatchNormConfig::new(3).init(&device),
            mask: Param::initialized(initialized(), Tensor::from_data([true, false], &device)),
            steps: Param::initialized(initialized(), Tensor::from_data([1, 2], &device)),
            größe: Param::initialized(initialized(), Tensor::<1>::from_data([1.5], &device).cast(DType::BF16)),
        }
    }

    fn weights(&self) -> Vec<(String, burn::tensor::TensorData)> {
        Snapshot::of_module(self).unwrap().read().unwrap()
    }
}

type AnyError = Box<dyn std::error::Error>;

fn text(error: &AnyError) -> String {
    let hint = error.downcast_ref::<WeightsError>().and_then(WeightsError::hint);
    format!("{error}; {}", hint.unwrap_or_default())
}

/// The names, dtypes and shapes, as the crate `safetensors` reads them.
fn listed(path: &Path) -> Vec<String> {
    let bytes = fs_err::read(path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap().get("format").unwrap(), "pt");
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut listed: Vec<_> =
        file.tensors().into_iter().map(|(name, tensor)| format!("{name} {:?} {:?}", tensor.dtype(), tensor.shape())).collect();
    listed.sort();
    listed
}

#[test]
fn a_file_has_the_names_and_the_layout_of_pytorch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new folder/model.safetensors");
    let net = Net::new();
    let files = export::<AnyError>(&net, &path, &ExportOptions::new()).unwrap();
    assert_eq!(files, std::slice::from_ref(&path));
    let names = [
        "größe BF16 [1]",
        "layers.0.bias F32 [3]",
        "layers.0.weight F32 [3, 2]",
        "layers.1.bias F32 [3]",
        "layers.1.weight F32 [3, 3]",
        "mask BOOL [2]",
        "norm.bias F32 [3]",
        "norm.num_batches_tracked I64 []",
        "norm.running_mean F32 [3]",
        "norm.running_var F32 [3]",
        "norm.weight F32 [3]",
        "steps I32 [2]",
    ];
    assert_eq!(listed(&path), names);
    // A second file under the name, and a second load into one module.
    export::<AnyError>(&net, &path, &ExportOptions::new()).unwrap();
    let mut back = Net::new();
    for _ in 0..2 {
        (back, _) = WeightsFile::read(&path).unwrap().restore(back, &LoadOptions::new()).unwrap();
        assert_eq!(back.weights(), net.weights());
    }
    let some = ExportOptions::new().only("^layers").except("bias$").rename("^layers", "net.fc");
    export::<AnyError>(&net, &path, &some).unwrap();
    assert_eq!(listed(&path), ["net.fc.0.weight F32 [3, 2]", "net.fc.1.weight F32 [3, 3]"]);
}

#[test]
fn a_large_module_has_shards_and_no_leftover() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let net = Net::new();
    let files = || {
        let mut names: Vec<_> =
            fs_err::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    export::<AnyError>(&net, &path, &ExportOptions::new()).unwrap();
    let written = export::<AnyError>(&net, &path, &ExportOptions::new().shard_bytes(40)).unwrap();
    // Otherwise programs would load the old weights.
    assert!(!path.exists());
    let mut expected: Vec<_> =
        (1..written.len()).map(|number| format!("model-{number:05}-of-{:05}.safetensors", written.len() - 1)).collect();
    expected.push("model.safetensors.index.json".into());
    assert_eq!(files(), expected);
    assert_eq!(written.last().unwrap(), &folder.path().join("model.safetensors.index.json"));
    let sizes: Vec<_> = written.iter().map(|file| listed_bytes(file)).collect();
    assert!(sizes[..sizes.len() - 1].iter().all(|size| *size <= 40), "{sizes:?}");
    let (back, _) = WeightsFile::read(folder.path()).unwrap().restore(Net::new(), &LoadOptions::new()).unwrap();
    assert_eq!(back.weights(), net.weights());

    export::<AnyError>(&net, &path, &ExportOptions::new()).unwrap();
    assert!(path.exists() && !folder.path().join("model.safetensors.index.json").exists());
}

/// The bytes of the values. 0 for an index.
fn listed_bytes(path: &Path) -> usize {
    let bytes = fs_err::read(path).unwrap();
    safetensors::SafeTensors::deserialize(&bytes).map_or(0, |file| file.tensors().iter().map(|(_, tensor)| tensor.data().len()).sum())
}

#[test]
fn weights_that_cannot_be_exported_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let layer = || LinearConfig::new(2, 2).init(&Device::flex());
    let lora = || [layer(), layer()].apply_lora(Lora::new(1, 1.0).set_param_group(ParamGroup::from_predicate("1")));
    let refused = |module: &[Linear; 2], options: &ExportOptions| text(&export::<AnyError>(module, &path, options).unwrap_err());

    let adapters = refused(&lora(), &ExportOptions::new());
    assert_snapshot!(adapters, @"`1.weight.lora.a` is a part of an adapter, and other programs know only whole weights; export `module.clone().materialize()`, which adds the adapters to their weights");
    export::<AnyError>(&lora(), &path, &ExportOptions::new().only("^0")).unwrap();
    // In burn's layout, adapters are parameters like others.
    let (net, own) = (lora(), folder.path().join("adapters.ckpt"));
    let trained = r"\.lora\.|^0\.bias";
    export::<AnyError>(&net, &own, &ExportOptions::new().layout(WeightLayout::Burn).only(trained)).unwrap();
    let (loaded, report) = WeightsFile::read(&own).unwrap().restore(lora(), &LoadOptions::new().only(trained)).unwrap();
    assert_eq!(report.loaded, ["0.bias", "1.weight.lora.a", "1.weight.lora.b"]);
    let adapters = |net: &[Linear; 2]| net[1].weight.adapter().map(|adapter| (adapter.a.val().into_data(), adapter.b.val().into_data()));
    assert_eq!(adapters(&loaded), adapters(&net));
    export::<AnyError>(&lora().materialize(), &path, &ExportOptions::new()).unwrap();
    let quantized = [layer(), layer()].quantize_weights(&mut Quantizer::new(Calibration::MinMax, QuantScheme::default()));
    let before = fs_err::read(&path).unwrap();
    let errors = [
        refused(&quantized, &ExportOptions::new()),
        refused(&[layer(), layer()], &ExportOptions::new().rename("^.", "a")),
        refused(&[layer(), layer()], &ExportOptions::new().only("^2")),
        refused(&[layer(), layer()], &ExportOptions::new().only("(")),
    ];
    assert_snapshot!(errors.join("\n"), @r"
    parameter `0.weight` is quantized, and a quantized parameter cannot be saved; save before `quantize_weights`, and quantize again after loading
    `0.weight` and `1.weight` are both renamed to `a.weight`; anchor the pattern with `^`, or rename one of the two first
    no parameter to load: only(`^2`) select none; the patterns are searched in paths such as `encoder.0.weight`
    `(` is not a regular expression: regex parse error:
        (
        ^
    error: unclosed group; write a literal dot as `\.`, and see the documentation of the crate `regex`
    ");
    assert_eq!(fs_err::read(&path).unwrap(), before, "the old file stays");
    let error = export::<AnyError>(&layer(), folder.path().join("model.pt"), &ExportOptions::new()).unwrap_err().to_string();
    assert_snapshot!(error.replace(&folder.path().display().to_string(), "[folder]"), @"the checkpoint cannot be written: `[folder]/model.pt` must end with `.safetensors`");
}
