use burn::{
    module::{Param, ParamId},
    nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig, LinearLayout},
    tensor::{DType, Device, Int, Tensor, TensorData},
};
use insta::assert_snapshot;
use serde_json::{Value, json};

mod memory;

use super::*;
use crate::{Manifest, restore, write};

#[derive(Module, Debug)]
struct Net {
    square: Linear,
    norm: LayerNorm,
}

impl Net {
    fn new() -> Self {
        let device = Device::flex();
        Self { square: LinearConfig::new(2, 2).init(&device), norm: LayerNormConfig::new(2).init(&device) }
    }

    fn values(&self) -> [Vec<f32>; 4] {
        let bias = |bias: &Option<Param<Tensor<1>>>| bias.as_ref().unwrap().val().into_data();
        let tensors =
            [self.square.weight.val().into_data(), bias(&self.square.bias), self.norm.gamma.val().into_data(), bias(&self.norm.beta)];
        tensors.map(|data| data.try_to_vec::<f32>().unwrap())
    }
}

/// A file of another program: the order of the names differs from that of the bytes, and the checksum is missing.
fn foreign(metadata: &Value, tensors: &[(&str, TensorData)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut bytes = Vec::new();
    for (name, data) in tensors {
        let begin = bytes.len();
        bytes.extend_from_slice(data.as_bytes());
        let dtype = if data.dtype() == DType::BF16 { "BF16" } else { "F32" };
        let entry = json!({ "dtype": dtype, "shape": data.shape().to_vec(), "data_offsets": [begin, bytes.len()] });
        header.shift_insert(0, (*name).to_owned(), entry);
    }
    if !metadata.is_null() {
        header.insert("__metadata__".into(), metadata.clone());
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat()
}

/// The weights of [`Net`] in PyTorch's layout, in half precision.
fn of_pytorch() -> [(&'static str, TensorData); 4] {
    [
        ("bert.square.weight", TensorData::from([[1.0_f32, 2.0], [3.0, 4.0]])),
        ("bert.square.bias", TensorData::from([5.0_f32, 6.0])),
        ("bert.norm.weight", TensorData::from([7.0_f32, 8.0])),
        ("bert.norm.bias", TensorData::from([9.0_f32, 10.0])),
    ]
    .map(|(name, data)| (name, data.convert_dtype(DType::BF16)))
}

fn options() -> LoadOptions {
    LoadOptions::new().rename(r"^bert\.", "")
}

/// A text without the name of the temporary folder.
fn shown(text: &str, folder: &tempfile::TempDir) -> String {
    text.replace(&folder.path().display().to_string(), "[folder]")
}

fn load(path: &Path, options: &LoadOptions) -> Result<(Net, LoadReport), String> {
    let file = WeightsFile::read(path).map_err(|error| error.to_string())?;
    file.restore(Net::new(), options).map_err(|error| format!("{error}; {}", error.hint().unwrap_or_default()))
}

#[test]
fn a_model_of_hugging_face_gets_the_layout_of_burn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    fs_err::write(&path, foreign(&json!({ "format": "pt" }), &of_pytorch())).unwrap();
    let (net, report) = load(&path, &options()).unwrap();
    assert_eq!(net.values(), [vec![1., 3., 2., 4.], vec![5., 6.], vec![7., 8.], vec![9., 10.]]);
    assert_snapshot!(report, @"4 parameters loaded; 4 cast: `square.weight` (bf16 to f32), `square.bias` (bf16 to f32), `norm.gamma` (bf16 to f32), `norm.beta` (bf16 to f32)");
    let (net, _) = load(&path, &options().adopt_dtype(true)).unwrap();
    assert_eq!(net.square.weight.val().dtype(), DType::BF16);
    let strict = load(&path, &LoadOptions::new()).unwrap_err();
    assert_snapshot!(strict, @r#"
    the weights do not fit the module: 0 parameters loaded; 4 missing: `square.weight`, `square.bias`, `norm.gamma`, `norm.beta`; 4 unexpected: `bert.norm.bias`, `bert.norm.weight`, `bert.square.bias`, `bert.square.weight`; build the module as it was when it was saved; most names fit with `LoadOptions::rename(r"^bert\.", "")`, and `strict(false)` loads what fits
    "#);
}

#[test]
fn shards_are_one_model() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("model.safetensors.index.json");
    let [first, second, third, fourth] = of_pytorch();
    let shards = [("1.safetensors", [first, fourth]), ("2.safetensors", [third, second])];
    let mut map = serde_json::Map::new();
    for (shard, tensors) in &shards {
        fs_err::write(folder.path().join(shard), foreign(&json!({ "format": "pt" }), tensors)).unwrap();
        map.extend(tensors.iter().map(|(name, _)| ((*name).to_owned(), json!(shard))));
    }
    let write_index =
        |map: &Value| fs_err::write(&index, json!({ "metadata": { "total_size": 20 }, "weight_map": map }).to_string()).unwrap();
    write_index(&Value::Object(map.clone()));
    let (net, report) = load(&index, &options()).unwrap();
    assert_eq!((net.values()[0].clone(), report.loaded.len()), (vec![1., 3., 2., 4.], 4));

    let (with_folder, _) = load(folder.path(), &options()).unwrap();
    assert_eq!(with_folder.values(), net.values());

    let swapped: serde_json::Map<_, _> = map
        .iter()
        .map(|(name, shard)| (name.clone(), json!(if shard == "1.safetensors" { "2.safetensors" } else { "1.safetensors" })))
        .collect();
    fs_err::write(folder.path().join("4.safetensors"), foreign(&json!({ "format": "pt" }), &of_pytorch()[..1])).unwrap();
    fs_err::write(folder.path().join("torn.safetensors"), &foreign(&json!({ "format": "pt" }), &of_pytorch())[..200]).unwrap();
    let refused = [
        json!({ "a": "../1.safetensors" }),
        json!({ "a": "/etc/passwd" }),
        json!({ "a": "1.safetensors/" }),
        json!({ "a": ".." }),
        json!({ "a": "" }),
        json!({ "a": "1.safetensors" }),
        json!({ "a": "3.safetensors" }),
        json!({ "a": "torn.safetensors" }),
        Value::Object(swapped),
        json!({ "bert.square.weight": "1.safetensors", "a": "4.safetensors" }),
        json!(["a"]),
    ];
    let errors = refused.map(|map| {
        write_index(&map);
        load(&index, &options()).unwrap_err()
    });
    assert_snapshot!(shown(&errors.join("\n"), &folder), @r"
    `[folder]/model.safetensors.index.json` is damaged: `../1.safetensors` is not the name of a file in its folder
    `[folder]/model.safetensors.index.json` is damaged: `/etc/passwd` is not the name of a file in its folder
    `[folder]/model.safetensors.index.json` is damaged: `1.safetensors/` is not the name of a file in its folder
    `[folder]/model.safetensors.index.json` is damaged: `..` is not the name of a file in its folder
    `[folder]/model.safetensors.index.json` is damaged: `` is not the name of a file in its folder
    `[folder]/model.safetensors.index.json` is damaged: `a` is not in `1.safetensors`
    `[folder]/model.safetensors.index.json` is damaged: its folder has no shard `3.safetensors`
    `[folder]/torn.safetensors` is cut off: it has 200 bytes and needs at least 323
    `[folder]/model.safetensors.index.json` is damaged: `bert.norm.bias` is not in `2.safetensors`
    `[folder]/model.safetensors.index.json` is damaged: `bert.square.weight` is in two of its shards, `1.safetensors` and `4.safetensors`
    `[folder]/model.safetensors.index.json` is damaged: it is not an index of model shards: invalid type: sequence, expected a map at line 1 column 43
    ");
    let empty = tempfile::tempdir().unwrap();
    let error = WeightsFile::read(empty.path()).unwrap_err();
    assert_snapshot!(shown(&format!("{error}; {}", error.hint().unwrap()), &empty), @"`[folder]` is not a checkpoint: it is a folder; name a file in it; `load_weights` also takes a folder with `model.safetensors` or its index");
}

/// As weights in a checkpoint, whose other tensors are not read.
#[test]
fn values_are_read_when_the_module_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut bytes = foreign(&json!({ "format": "pt" }), &of_pytorch());
    fs_err::write(&path, &bytes).unwrap();
    let file = WeightsFile::read(&path).unwrap();
    // A damaged file: the values are shorter than they were.
    bytes.truncate(bytes.len() - 1);
    fs_err::write(&path, &bytes).unwrap();
    let error = file.restore(Net::new(), &options()).unwrap_err();
    assert_snapshot!(shown(&format!("{error}; {}", error.hint().unwrap()), &folder), @"the values of `norm.beta` cannot be read: failed to fill whole buffer; was the file copied completely, or is another program writing it?");
}

#[test]
fn numbers_that_do_not_fit_are_an_error() {
    #[derive(Module, Debug)]
    struct Counted {
        scale: Param<Tensor<1>>,
        count: Param<Tensor<1, Int>>,
    }
    let device = Device::flex();
    let counted = || Counted {
        scale: Param::initialized(ParamId::new(), Tensor::zeros([2], &device)),
        count: Param::initialized(ParamId::new(), Tensor::zeros([1], (&device, DType::I32))),
    };
    let load = |scale: f64, count: i64| {
        let tensors = [("scale".to_owned(), TensorData::from([f64::INFINITY, scale])), ("count".to_owned(), TensorData::from([count]))];
        restore(counted(), tensors, &LoadOptions::new()).map(|(net, _)| (net.scale.val().into_data(), net.count.val().into_data()))
    };
    let (scale, count) = load(-3e38, -2_147_483_648).unwrap();
    assert_eq!(scale, TensorData::from([f32::INFINITY, -3e38]));
    assert_eq!(count, TensorData::from([i32::MIN]));
    let errors = [load(1e39, 0), load(0.0, 1 << 31)].map(|loaded| {
        let error = loaded.unwrap_err();
        format!("{error}; {}", error.hint().unwrap())
    });
    assert_snapshot!(errors.join("\n"), @r"
    `scale` contains 1000000000000000000000000000000000000000 in the file (f64), which does not fit into the f32 of the module; load it with `LoadOptions::adopt_dtype(true)`, or leave it out with `except`
    `count` contains 2147483648 in the file (i64), which does not fit into the i32 of the module; load it with `LoadOptions::adopt_dtype(true)`, or leave it out with `except`
    ");
}

/// The `Conv1D` of GPT-2 has a weight as burn's `Linear`. A square one fits in both forms.
#[test]
fn single_weights_may_have_the_layout_of_burn() {
    #[derive(Module, Debug)]
    struct Gpt {
        c_proj: Linear,
        lm: Linear,
    }
    let (same, transposed) = ([[1f32, 2.], [3., 4.]], [[1f32, 3.], [2., 4.]]);
    let tensors = || ["c_proj.weight", "lm.weight"].map(|name| (name.to_owned(), TensorData::from(same)));
    for layout in [LinearLayout::Row, LinearLayout::Col] {
        let linear = || LinearConfig::new(2, 2).with_bias(false).with_layout(layout).init(&Device::flex());
        let load = |options: LoadOptions| {
            let (net, _) = restore(Gpt { c_proj: linear(), lm: linear() }, tensors(), &options.layout(WeightLayout::PyTorch)).unwrap();
            [net.c_proj, net.lm].map(|linear| linear.weight.val().into_data())
        };
        assert_eq!(load(LoadOptions::new()), [transposed, transposed].map(TensorData::from));
        assert_eq!(load(LoadOptions::new().not_transposed("^c_proj")), [same, transposed].map(TensorData::from));
    }
    let error = restore(Net::new(), [], &LoadOptions::new().layout(WeightLayout::PyTorch).not_transposed("(")).unwrap_err();
    assert_snapshot!(error, @r"
    `(` is not a regular expression: regex parse error:
        (
        ^
    error: unclosed group
    ");
}

/// Files of Hugging Face have one name for weights that a model uses twice.
#[test]
fn tied_weights_need_one_name() {
    let device = Device::flex();
    let layer = || LinearConfig::new(2, 2).init(&device);
    let tied = || {
        let first = layer();
        [first.clone(), Linear { weight: first.weight.clone(), bias: layer().bias }]
    };
    let file = |name: &str| {
        let numbers = |values: &[f32]| TensorData::new(values.to_vec(), [values.len()]);
        [
            (name.to_owned(), TensorData::from([[1f32, 2.], [3., 4.]])),
            ("0.bias".to_owned(), numbers(&[5., 6.])),
            ("1.bias".to_owned(), numbers(&[7., 8.])),
        ]
    };
    for name in ["0.weight", "1.weight"] {
        let (net, report) = restore(tied(), file(name), &LoadOptions::new()).unwrap();
        assert_eq!(report.to_string(), "4 parameters loaded", "{name}");
        assert_eq!(net[0].weight.val().into_data(), net[1].weight.val().into_data());
        assert_eq!(net[1].weight.val().into_data(), TensorData::from([[1f32, 2.], [3., 4.]]));
        assert_eq!(net[0].weight.id, net[1].weight.id);
    }
    assert_snapshot!(restore([layer(), layer()], file("0.weight"), &LoadOptions::new()).unwrap_err(), @"the weights do not fit the module: 3 parameters loaded; 1 missing: `1.weight`");
}

#[test]
fn a_file_of_unknown_layout_requires_the_option() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let errors = [Value::Null, json!({ "format": "mlx" })].map(|metadata| {
        fs_err::write(&path, foreign(&metadata, &of_pytorch())).unwrap();
        load(&path, &options()).unwrap_err()
    });
    assert_snapshot!(shown(&errors.join("\n"), &folder), @r"
    `[folder]/a.safetensors` does not say whether its weights are laid out as in PyTorch or as in burn; set it with `LoadOptions::layout`: `WeightLayout::PyTorch` for a file from Hugging Face
    `[folder]/a.safetensors` does not say whether its weights are laid out as in PyTorch or as in burn; set it with `LoadOptions::layout`: `WeightLayout::PyTorch` for a file from Hugging Face
    ");
    let as_in_burn = options().layout(WeightLayout::Burn).rename("norm.weight", "norm.gamma").rename("norm.bias", "norm.beta");
    assert_eq!(load(&path, &as_in_burn).unwrap().0.values()[0], [1., 2., 3., 4.]);
    // The metadata that burn's own store writes.
    fs_err::write(&path, foreign(&json!({ "format": "safetensors", "producer": "burn" }), &of_pytorch()[..2])).unwrap();
    assert_eq!(load(&path, &options().only("^square")).unwrap().0.values()[0], [1., 2., 3., 4.]);
}

#[test]
fn damage_in_a_file_of_another_program_is_noticed() {
    let whole = foreign(&json!({ "format": "pt" }), &of_pytorch());
    let with = |from: &str, to: &str| String::from_utf8_lossy(&whole).replacen(from, to, 1).into_bytes();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let cases = [whole[..whole.len() - 1].to_vec(), [&whole[..], &[0]].concat(), foreign(&Value::Null, &[]), with("BF16", "F8E5")];
    let errors = cases.map(|bytes| {
        fs_err::write(&path, bytes).unwrap();
        load(&path, &options()).unwrap_err()
    });
    assert_snapshot!(shown(&errors.join("\n"), &folder), @r"
    `[folder]/a.safetensors` is cut off: it has 342 bytes and needs at least 343
    `[folder]/a.safetensors` is damaged: 1 bytes follow its end
    `[folder]/a.safetensors` does not say whether its weights are laid out as in PyTorch or as in burn; set it with `LoadOptions::layout`: `WeightLayout::PyTorch` for a file from Hugging Face
    `bert.norm.bias` has the dtype `F8E5`, which a checkpoint cannot contain
    ");
}

#[test]
fn a_checkpoint_gives_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let tensors =
        [("square.weight".to_owned(), TensorData::from([[1.0_f32, 2.0], [3.0, 4.0]])), ("log/0".to_owned(), TensorData::from([1.0_f32]))];
    write(&path, &Manifest::default(), &tensors).unwrap();
    let (net, report) = load(&path, &LoadOptions::new().only("weight")).unwrap();
    assert_eq!((net.values()[0].clone(), report.loaded), (vec![1., 2., 3., 4.], vec!["square.weight".to_owned()]));
}
