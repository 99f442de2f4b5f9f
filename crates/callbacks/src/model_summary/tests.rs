use std::io;
use std::sync::{Arc, Mutex};

use burn::{
    module::{ModuleVisitor, Param},
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Gru, GruConfig, Linear, LinearConfig, Lstm, LstmConfig, PaddingConfig1d,
        PaddingConfig2d, Relu,
        attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig},
        conv::{
            Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose1d, ConvTranspose1dConfig, ConvTranspose2d,
            ConvTranspose2dConfig, ConvTranspose3d, ConvTranspose3dConfig,
        },
        pool::MaxPool2dConfig,
    },
    tensor::{Device, Int, Tensor, activation::relu},
};
use insta::assert_snapshot;
use stormfire_module::Event;

use super::*;
use crate::testing::Bench;

#[derive(Module, Debug)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm,
    act: Relu,
    dropout: Dropout,
    blocks: Vec<Block>,
    none: Option<Linear>,
    scale: Param<Tensor<2>>,
    table: Param<Tensor<1, Int>>,
}

#[derive(Module, Debug)]
struct Block {
    layer: Linear,
}

fn net(device: &Device) -> Net {
    Net {
        conv: Conv2dConfig::new([1, 8], [3, 3]).init(device),
        norm: BatchNormConfig::new(8).init(device),
        act: Relu::new(),
        dropout: DropoutConfig::new(0.5).init(),
        blocks: vec![
            Block { layer: LinearConfig::new(100, 20).init(device) },
            Block { layer: LinearConfig::new(20, 10).with_bias(false).init(device).freeze() },
        ],
        none: None,
        scale: Param::from_tensor(Tensor::zeros([2, 3], device)),
        table: Param::initialized(burn::module::ParamId::new(), Tensor::zeros([5], device)),
    }
}

#[test]
fn the_table_is_exact() {
    assert_snapshot!(summarize(&net(&Device::flex().autodiff()), 1), @"
    ┌───────────────────────────────────────┐
    │     Name           Type        Params │
    ╞═══════════════════════════════════════╡
    │ 0   conv           Conv2d          80 │
    │ 1   norm           BatchNorm       32 │
    │ 2   dropout        Dropout          0 │
    │ 3   blocks         Vec          2.2 K │
    │     other params   n/a             11 │
    └───────────────────────────────────────┘
    2.1 K     Trainable params
    221       Non-trainable params
    2.3 K     Total params
    0.009     Total estimated model params size (MB)
    ");
}

#[test]
fn a_summary_has_the_requested_depth() {
    let net = net(&Device::flex().autodiff());
    let names = |depth| summarize(&net, depth).rows.into_iter().map(|row| format!("{}: {}", row.name, row.type_name)).collect::<Vec<_>>();
    assert_eq!(names(0), Vec::<String>::new());
    assert_eq!(names(2)[3..], ["blocks: Vec", "blocks.0: Block", "blocks.1: Block"]);
    let all = ["blocks: Vec", "blocks.0: Block", "blocks.0.layer: Linear", "blocks.1: Block", "blocks.1.layer: Linear"];
    assert_eq!(names(usize::MAX)[3..], all);
}

struct Initialized(usize, usize);

impl ModuleVisitor for Initialized {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        *(if param.is_initialized() { &mut self.0 } else { &mut self.1 }) += 1;
    }
}

#[test]
fn nothing_is_initialized_by_counting() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let net = net(&device);
        let mut before = Initialized(0, 0);
        net.visit(&mut before);
        let lazy = summarize(&net, 1);
        let mut after = Initialized(0, 0);
        net.visit(&mut after);
        assert!(before.1 >= 5, "the test needs lazy parameters, got {}", before.1);
        assert_eq!((before.0, before.1), (after.0, after.1));
        assert_eq!((lazy.trainable, lazy.non_trainable), (80 + 16 + 2020 + 6, 16 + 200 + 5));
        let ready = summarize(&net.clone().materialize(), 1);
        assert_eq!(lazy, ready);
    }
}

#[test]
fn a_shared_parameter_counts_once() {
    let layer: Linear = LinearConfig::new(10, 10).init(&Device::flex());
    let pair = (layer.clone(), layer);
    let summary = summarize(&pair, 1);
    assert_eq!(summary.rows.iter().map(|row| row.params).collect::<Vec<_>>(), [110, 110]);
    assert_eq!((summary.total(), summary.other_params, summary.bytes), (110, 0, 440));
}

#[test]
fn counts_read_like_lightnings() {
    let cases = [
        (0, "0"),
        (123, "123"),
        (999, "999"),
        (1000, "1.0 K"),
        (1234, "1.2 K"),
        (99_949, "99.9 K"),
        (99_950, "100 K"),
        (999_499, "999 K"),
        (999_500, "1.0 M"),
        (2_000_000, "2.0 M"),
        (3_000_000_000, "3.0 B"),
        (400_000_000_000_000, "400 T"),
        (5_000_000_000_000_000, "5000 T"),
    ];
    for (count, text) in cases {
        assert_eq!(human(count), text, "{count}");
    }
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Broken;

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn it_is_printed_when_a_fit_starts_unless_its_depth_is_0() {
    let (mut bench, page) = (Bench::new(), Page::default());
    bench.fire(&mut ModelSummary::new().max_depth(0).print_to(page.clone()), Event::FitStart).unwrap();
    assert_eq!(page.0.lock().unwrap().len(), 0);
    bench.fire(&mut ModelSummary::new().all().print_to(page.clone()), Event::FitStart).unwrap();
    let expected = format!("{}\n", summarize(&bench.module, usize::MAX));
    assert_eq!(String::from_utf8(page.0.lock().unwrap().clone()).unwrap(), expected);
    assert_snapshot!(expected, @r"
    ┌─────────────────────────────┐
    │     Name    Type     Params │
    ╞═════════════════════════════╡
    │ 0   layer   Linear        2 │
    └─────────────────────────────┘
    2         Trainable params
    0         Non-trainable params
    2         Total params
    0.000     Total estimated model params size (MB)
    ");
}

#[test]
fn a_broken_pipe_does_not_end_the_run() {
    Bench::new().fire(&mut ModelSummary::new().print_to(Broken), Event::FitStart).unwrap();
}

/// The numbers of fvcore and ptflops for the same layers and networks of torch (`xtask/python/flops.py`).
#[test]
fn operations_are_those_of_fvcore_and_ptflops() {
    let table: serde_json::Value = serde_json::from_str(include_str!("torch_flops.json")).unwrap();
    let device = Device::flex();
    let mut seen = 0;
    let mut check = |name: &str, trace: &ForwardTrace| {
        let expected = &table["layers"][name];
        let [call] = trace.calls() else { panic!("{name}: {trace:?}") };
        let sizes = |key: &str| expected[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect::<Vec<_>>();
        assert_eq!((&call.input, call.flops), (&sizes("input"), expected["flops"].as_u64()), "{name}");
        assert!(table["own"].get(name).is_none_or(|own| own.as_u64() == call.flops), "{name}: ptflops counts {}", table["own"][name]);
        // Recurrent layers return all states.
        assert!(call.output == sizes("output") || matches!(name, "lstm" | "gru"), "{name}: {:?}", call.output);
        seen += 1;
    };
    macro_rules! runs {
        ($($name:literal: $layer:expr, $shape:expr, $forward:expr;)*) => {$(
            let mut trace = ForwardTrace::default();
            trace.layer($name, &$layer, Tensor::zeros($shape, &device), $forward);
            check($name, &trace);
        )*};
    }
    runs! {
        "linear": LinearConfig::new(12, 7).init(&device), [3, 5, 12], Linear::forward::<3>;
        "conv1d": Conv1dConfig::new(4, 6, 3).with_stride(2).with_padding(PaddingConfig1d::Explicit(1, 1)).init(&device), [2, 4, 15], Conv1d::forward;
        "conv2d": Conv2dConfig::new([4, 6], [3, 5])
            .with_stride([1, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 0, 1, 0))
            .with_dilation([2, 1])
            .with_groups(2)
            .init(&device), [2, 4, 9, 11], Conv2d::forward;
        "conv3d": Conv3dConfig::new([2, 3], [2, 2, 2]).init(&device), [1, 2, 4, 5, 6], Conv3d::forward;
        "conv_transpose1d": ConvTranspose1dConfig::new([4, 6], 3).with_stride(2).init(&device), [2, 4, 7], ConvTranspose1d::forward;
        "conv_transpose2d": ConvTranspose2dConfig::new([4, 6], [3, 3]).with_stride([2, 2]).with_padding([1, 1]).with_groups(2).init(&device),
            [2, 4, 5, 6], ConvTranspose2d::forward;
        "conv_transpose3d": ConvTranspose3dConfig::new([2, 3], [2, 2, 2]).init(&device), [1, 2, 3, 4, 5], ConvTranspose3d::forward;
        "attention": MultiHeadAttentionConfig::new(8, 2).init(&device), [3, 5, 8],
            |layer: &MultiHeadAttention, x: Tensor<3>| layer.forward(MhaInput::self_attn(x)).context;
        "lstm": LstmConfig::new(5, 6, true).init(&device), [2, 7, 5], |layer: &Lstm, x: Tensor<3>| layer.forward(x, None).0;
        "gru": GruConfig::new(5, 6, true).init(&device), [2, 7, 5], |layer: &Gru, x: Tensor<3>| layer.forward(x, None);
    }
    let linear = |from, to| LinearConfig::new(from, to).init(&device);
    let mut mlp = ForwardTrace::default();
    let x = mlp.layer("0", &linear(12, 16), Tensor::<2>::zeros([3, 12], &device), Linear::forward);
    let x = mlp.layer("2", &linear(16, 16), relu(x), Linear::forward);
    mlp.layer("4", &linear(16, 7), relu(x), Linear::forward);
    let mut cnn = ForwardTrace::default();
    let padded = Conv2dConfig::new([1, 4], [3, 3]).with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1)).init(&device);
    let x = cnn.layer("0", &padded, Tensor::<4>::zeros([2, 1, 10, 10], &device), Conv2d::forward);
    let x = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init().forward(relu(x));
    let x = cnn.layer("3", &Conv2dConfig::new([4, 8], [3, 3]).init(&device), x, Conv2d::forward);
    cnn.layer("6", &linear(72, 10), relu(x).flatten::<2>(1, 3), Linear::forward);
    for (name, trace) in [("mlp", mlp), ("cnn", cnn)] {
        assert_eq!(trace.flops(), table["layers"][name]["flops"].as_u64(), "{name}");
        seen += 1;
    }
    assert_eq!(seen, table["layers"].as_object().unwrap().len());
}

#[test]
fn an_example_adds_sizes_and_what_is_unknown_is_a_question_mark() {
    let net = net(&Device::flex().autodiff());
    let mut trace = ForwardTrace::default();
    let x = trace.layer("conv", &net.conv, Tensor::zeros([2, 1, 6, 6], &Device::flex().autodiff()), Conv2d::forward);
    let known = summarize(&net, 1).with_trace(&trace);
    let row = |summary: &Summary, name: &str| summary.rows.iter().find(|row| row.name == name).cloned().unwrap();
    assert_eq!((row(&known, "conv").sizes, row(&known, "conv").flops), (Some((vec![2, 1, 6, 6], vec![2, 8, 4, 4])), Some(2 * 2 * 16 * 72)));
    assert_eq!((row(&known, "norm").sizes, row(&known, "norm").flops), (None, None));
    assert_snapshot!(known, @r"
    ┌─────────────────────────────────────────────────────────────────────────────┐
    │     Name           Type        Params   In sizes       Out sizes      FLOPs │
    ╞═════════════════════════════════════════════════════════════════════════════╡
    │ 0   conv           Conv2d          80   [2, 1, 6, 6]   [2, 8, 4, 4]   4.6 K │
    │ 1   norm           BatchNorm       32   ?              ?              ?     │
    │ 2   dropout        Dropout          0   ?              ?              ?     │
    │ 3   blocks         Vec          2.2 K   ?              ?              ?     │
    │     other params   n/a             11                                       │
    └─────────────────────────────────────────────────────────────────────────────┘
    2.1 K     Trainable params
    221       Non-trainable params
    2.3 K     Total params
    0.009     Total estimated model params size (MB)
    4.6 K     FLOPs of a forward pass of the example
    ");
    trace.unknown("norm", &net.norm, x, BatchNorm::forward);
    trace.layer("blocks.0.layer", &net.blocks[0].layer, Tensor::<2>::zeros([1, 100], &Device::flex().autodiff()), Linear::forward);
    let summary = summarize(&net, 1).with_trace(&trace);
    assert_eq!((row(&summary, "norm").flops, row(&summary, "blocks").flops), (None, Some(2 * 2000)));
    assert_snapshot!(summary, @r"
    ┌─────────────────────────────────────────────────────────────────────────────┐
    │     Name           Type        Params   In sizes       Out sizes      FLOPs │
    ╞═════════════════════════════════════════════════════════════════════════════╡
    │ 0   conv           Conv2d          80   [2, 1, 6, 6]   [2, 8, 4, 4]   4.6 K │
    │ 1   norm           BatchNorm       32   [2, 8, 4, 4]   [2, 8, 4, 4]   ?     │
    │ 2   dropout        Dropout          0   ?              ?              ?     │
    │ 3   blocks         Vec          2.2 K   ?              ?              4.0 K │
    │     other params   n/a             11                                       │
    └─────────────────────────────────────────────────────────────────────────────┘
    2.1 K     Trainable params
    221       Non-trainable params
    2.3 K     Total params
    0.009     Total estimated model params size (MB)
    ?         FLOPs of a forward pass of the example
    ");
}

#[test]
fn layers_without_a_trained_parameter_are_frozen() {
    let summary = summarize(&net(&Device::flex().autodiff()), usize::MAX);
    let frozen: Vec<_> = summary.rows.iter().filter(|row| row.is_frozen).map(|row| row.name.as_str()).collect();
    assert_eq!(frozen, ["blocks.1", "blocks.1.layer"]);
    assert_snapshot!(summary, @r"
    ┌──────────────────────────────────────────────────┐
    │     Name             Type        Params   Mode   │
    ╞══════════════════════════════════════════════════╡
    │ 0   conv             Conv2d          80   train  │
    │ 1   norm             BatchNorm       32   train  │
    │ 2   dropout          Dropout          0   train  │
    │ 3   blocks           Vec          2.2 K   train  │
    │ 4   blocks.0         Block        2.0 K   train  │
    │ 5   blocks.0.layer   Linear       2.0 K   train  │
    │ 6   blocks.1         Block          200   frozen │
    │ 7   blocks.1.layer   Linear         200   frozen │
    │     other params     n/a             11          │
    └──────────────────────────────────────────────────┘
    2.1 K     Trainable params
    221       Non-trainable params
    2.3 K     Total params
    0.009     Total estimated model params size (MB)
    ");
}

#[test]
fn an_example_runs_once_and_of_the_right_module() {
    let (mut bench, page) = (Bench::new(), Page::default());
    let example = |module: &crate::testing::Line, trace: &mut ForwardTrace| {
        trace.layer("layer", module.layer(), Tensor::<2>::zeros([5, 1], &Device::flex()), Linear::forward);
        Ok(())
    };
    bench.fire(&mut ModelSummary::new().example(example).print_to(page.clone()), Event::FitStart).unwrap();
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert_snapshot!(text, @r"
    ┌────────────────────────────────────────────────────────────┐
    │     Name    Type     Params   In sizes   Out sizes   FLOPs │
    ╞════════════════════════════════════════════════════════════╡
    │ 0   layer   Linear        2   [5, 1]     [5, 1]      10    │
    └────────────────────────────────────────────────────────────┘
    2         Trainable params
    0         Non-trainable params
    2         Total params
    0.000     Total estimated model params size (MB)
    10        FLOPs of a forward pass of the example
    ");
}
