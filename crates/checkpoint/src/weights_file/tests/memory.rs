//! The memory that loading needs, measured in a child process.

use std::process::{Command, Stdio};

use burn::nn::Linear;

use super::*;
use crate::{ExportOptions, Manifest, export, write};

const FILE: &str = "STORMFIRE_TEST_LARGE_FILE";
const LAYERS: usize = 16;
/// 4 MiB in each layer.
const SIDE: [usize; 2] = [1024, 1024];

fn layers() -> Vec<Linear> {
    (0..LAYERS).map(|_| LinearConfig::new(SIDE[0], SIDE[1]).with_bias(false).init(&Device::flex())).collect()
}

/// The most memory that the process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok()).unwrap()
}

/// One life of a process that loads the file.
#[test]
#[ignore = "a part of `weights_are_in_memory_once`"]
fn loads_a_large_file() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let before = peak();
    let (net, report) = WeightsFile::read(&path).unwrap().restore(layers(), &LoadOptions::new()).unwrap();
    assert_eq!((net.len(), report.loaded.len()), (LAYERS, LAYERS));
    println!("grown by {} KiB", peak() - before);
}

/// The module has initial values, which are replaced one by one.
#[test]
#[cfg(target_os = "linux")]
fn weights_are_in_memory_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let net = layers();
    let exported = |name, options: &ExportOptions| export::<Box<dyn std::error::Error>>(&net, path(name), options).unwrap();
    exported("model.safetensors", &ExportOptions::new());
    exported("shards/model.safetensors", &ExportOptions::new().shard_bytes(9 << 20));
    let half = net.iter().enumerate().map(|(i, layer)| (format!("{i}.weight"), layer.weight.val().into_data().convert_dtype(DType::BF16)));
    write(path("half.ckpt"), &Manifest::default(), &half.collect::<Vec<_>>()).unwrap();
    // A checkpoint of a run, with moments.
    let weights: Vec<_> = net.iter().enumerate().map(|(i, layer)| (format!("{i}.weight"), layer.weight.val().into_data())).collect();
    let moments = weights.iter().flat_map(|(name, data)| [1, 2].map(|n| (format!("optimizer/Adam/{name}/moment_{n}"), data.clone())));
    write(path("run.ckpt"), &Manifest::default(), &moments.chain(weights.clone()).collect::<Vec<_>>()).unwrap();

    let whole = (4 * LAYERS * SIDE[0] * SIDE[1]) as u64 >> 10;
    for name in ["model.safetensors", "shards", "half.ckpt", "run.ckpt"] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["weights_file::tests::memory::loads_a_large_file", "--exact", "--ignored", "--nocapture"]);
        let output = child.env(FILE, path(name)).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let grown: u64 =
            text.split("grown by ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("{text}"));
        println!("{name}: {:.2} times the weights", grown as f64 / whole as f64);
        // The weights, one layer in the form of the file and in the transposed form, and the program. Reading the file
        // first would need twice the weights, and four times for the checkpoint of a run.
        assert!(grown < whole * 17 / 10, "{name}: {grown} KiB for {whole} KiB of weights");
    }
}
