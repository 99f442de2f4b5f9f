use std::fs;

use burn::{
    module::{Module, Param, ParamId, Quantizer},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, LinearLayout},
    optim::{AdamConfig, GradientsParams},
    tensor::{
        Device,
        quantization::{Calibration, QuantScheme},
    },
};

use super::*;
use crate::{Checkpoint, Error, Manifest, write, write_snapshot};

#[derive(Module, Debug)]
struct Net {
    norm: BatchNorm,
    head: Linear,
    steps: Param<Tensor<1, Int>>,
    mask: Param<Tensor<1, Bool>>,
}

impl Net {
    fn new(device: &Device) -> Self {
        Self {
            norm: BatchNormConfig::new(2).init(device),
            head: LinearConfig::new(2, 3).with_layout(LinearLayout::Col).init(device),
            steps: Param::initialized(ParamId::new(), Tensor::from_data([7, 8], device)),
            mask: Param::initialized(ParamId::new(), Tensor::from_data([true, false, true], device)),
        }
    }
}

fn read(snapshot: Snapshot) -> Vec<(String, TensorData)> {
    std::thread::spawn(move || snapshot.read()).join().unwrap().unwrap()
}

fn names(tensors: &[(String, TensorData)]) -> Vec<&str> {
    tensors.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_snapshot_keeps_the_moment() {
    let device = Device::flex().autodiff();
    let mut net = Net::new(&device);
    let mut optimizer = AdamConfig::new().init();
    let mut step = |net: Net, x: [[f32; 2]; 3]| {
        let loss = net.head.forward(net.norm.forward(Tensor::<2>::from_floats(x, &device))).powi_scalar(2).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        optimizer.step(0.1, net.clone(), gradients)
    };
    net = step(net, [[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]]);
    let (later, now) = (Snapshot::of_module(&net).unwrap(), Snapshot::of_module(&net).unwrap().read().unwrap());
    for x in [2.0, 3.0] {
        net = step(net, [[x, -2.0], [7.0, x], [9.0, 4.0]]);
    }
    let later = read(later);
    assert_eq!(later, now);
    assert_eq!(
        names(&now),
        ["norm.gamma", "norm.beta", "norm.running_mean", "norm.running_var", "head.weight", "head.bias", "steps", "mask"]
    );
    // Includes the pending statistics of the last batch: 0.1 of the mean (4/3, 8/3).
    let mean = now[2].1.as_slice::<f32>().unwrap();
    assert!((mean[0] - 0.4 / 3.0).abs() < 1e-6 && (mean[1] - 0.8 / 3.0).abs() < 1e-6, "{mean:?}");
    let trained = Snapshot::of_module(&net).unwrap().read().unwrap();
    for i in 0..6 {
        assert_ne!(trained[i], now[i], "it has trained on");
    }
}

#[test]
fn every_kind_of_parameter_is_read_as_it_is_saved() {
    let net = Net::new(&Device::flex());
    let mut snapshot = Snapshot::of_module(&net).unwrap();
    snapshot.add("accumulated/norm.gamma", Tensor::<1>::from_floats([1.5], &Device::flex().autodiff()).require_grad() * 2.0);
    assert_eq!(snapshot.len(), 9);
    let tensors = snapshot.read().unwrap();
    assert_eq!(tensors[4].1.shape().as_slice(), [3, 2], "a layer in column layout is saved as [outputs, inputs]");
    assert_eq!(tensors[6].1.iter::<i64>().collect::<Vec<_>>(), [7, 8]);
    assert_eq!((tensors[7].1.dtype(), tensors[7].1.as_bytes()), (DType::Bool(BoolStore::Native), [1, 0, 1].as_slice()));
    assert_eq!(tensors[8], ("accumulated/norm.gamma".into(), TensorData::from([3.0f32])));
    assert!(Snapshot::default().read().unwrap().is_empty());
}

#[test]
fn a_quantized_parameter_is_refused_by_name() {
    let layer = LinearConfig::new(4, 4).init(&Device::flex());
    let quantized = layer.quantize_weights(&mut Quantizer::new(Calibration::MinMax, QuantScheme::default()));
    let error = Snapshot::of_module(&quantized).unwrap_err();
    insta::assert_snapshot!(format!("{error}\n  hint: {}", error.hint().unwrap()), @r"
    parameter `weight` is quantized, and a quantized parameter cannot be saved
      hint: save before `quantize_weights`, and quantize again after loading
    ");
}

/// Tensors with 4, 8 and 1 bytes per element. One of them is on the host.
fn mixed() -> Snapshot {
    let mut snapshot = Snapshot::of_module(&Net::new(&Device::flex())).unwrap();
    snapshot.add_read("read/before".into(), TensorData::from([1.5f64, 2.5]));
    snapshot
}

#[test]
fn a_file_that_is_written_in_pieces_equals_one_written_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, pieces) = (folder.path().join("whole.ckpt"), folder.path().join("pieces.ckpt"));
    let snapshot = mixed();
    let mut seen = Vec::new();
    let is_good = |name: &str, _: &TensorData| {
        seen.push(name.to_owned());
        true
    };
    let manifest = Manifest::default();
    assert!(write_snapshot::<Failed>(&pieces, &manifest, &snapshot, is_good).unwrap());
    assert_eq!(seen.len(), snapshot.len());
    assert_eq!(seen[..2], ["read/before", "norm.gamma"], "large elements first");
    write(&whole, &manifest, &snapshot.read().unwrap()).unwrap();
    assert_eq!(fs::read(pieces).unwrap(), fs::read(whole).unwrap());
}

#[test]
fn pieces_are_small_or_a_single_tensor() {
    let snapshot = mixed();
    let order: Vec<usize> = (0..snapshot.len()).collect();
    let sizes = |limit| {
        let pieces = snapshot.pieces(&order, limit);
        assert_eq!(pieces.iter().flatten().map(|entry| &*entry.name).collect::<Vec<_>>(), names_of(&snapshot));
        pieces.iter().map(|piece| piece.iter().map(|entry| entry.len()).sum::<usize>()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(1000), [4 * 8 + 24 + 12 + 8 + 3]);
    assert_eq!(sizes(16), [16, 16, 24, 12, 11]);
    assert_eq!(sizes(1), [8, 8, 8, 8, 24, 12, 8, 3, 0]);
}

#[test]
fn a_refused_tensor_stops_the_write_after_all_were_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.ckpt");
    write(&path, &Manifest { seed: Some(1), ..Manifest::default() }, &[]).unwrap();
    let mut seen = 0;
    let refuse = |name: &str, _: &TensorData| {
        seen += 1;
        name != "norm.beta"
    };
    assert!(!write_snapshot::<Failed>(&path, &Manifest::default(), &mixed(), refuse).unwrap());
    assert_eq!(seen, mixed().len());
    assert_eq!(Checkpoint::read(&path).unwrap().manifest().seed, Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn parts_are_taken_and_sorted_by_name() {
    let mut snapshot = mixed();
    assert_eq!(names_of(&snapshot.take_under("norm.")), ["norm.gamma", "norm.beta", "norm.running_mean", "norm.running_var"]);
    snapshot.sort_after(1);
    assert_eq!(names_of(&snapshot), ["head.weight", "head.bias", "mask", "read/before", "steps"]);
    snapshot.sort_after(9);
}

fn names_of(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.entries.iter().map(|entry| &*entry.name).collect()
}

#[derive(Debug)]
#[expect(dead_code, reason = "it is shown when a test fails")]
enum Failed {
    File(Error),
    Device(WeightsError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::File(error)
    }
}

impl From<WeightsError> for Failed {
    fn from(error: WeightsError) -> Self {
        Self::Device(error)
    }
}

#[test]
fn it_can_go_to_another_thread() {
    fn send<T: Send>() {}
    send::<Snapshot>();
}
