//! A readable summary of a checkpoint.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    Manifest, Result,
    decode::examine,
    dtype,
    header::Slot,
    tensor_names::{self, IN_FORCE},
    text,
};

/// The contents of a checkpoint. `{}` prints a page with shortened lists and strings, `{:80}` a page for a terminal of
/// 80 columns, and `{:#}` the full contents. JSON also contains everything.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The file.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Everything except the tensors.
    pub manifest: Manifest,
    /// The tensors in the order of the file, without the checksum.
    pub tensors: Vec<TensorInfo>,
}

/// Also serializes a path that is not UTF-8.
fn lossy<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// A tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInfo {
    /// The name: a parameter's path, or another name with a `/`.
    pub name: String,
    /// The name of the dtype in the file, such as `F32`.
    pub dtype: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// The size in bytes.
    pub bytes: u64,
}

impl TensorInfo {
    /// Whether the tensor is a trained weight of the module.
    pub fn is_weight(&self) -> bool {
        tensor_names::is_trained_weight(&self.name)
    }

    fn elements(&self) -> u64 {
        self.shape.iter().map(|dim| *dim as u64).product()
    }
}

impl From<Slot> for TensorInfo {
    fn from(slot: Slot) -> Self {
        let dtype = dtype::name(slot.dtype).unwrap_or("?").to_owned();
        Self { name: slot.name, dtype, shape: slot.shape, bytes: slot.len }
    }
}

/// Verifies a checkpoint and summarizes it. Does not keep the tensors in memory.
///
/// # Errors
/// As [`crate::Checkpoint::read`].
pub fn inspect(path: impl AsRef<Path>) -> Result<Summary> {
    let path = path.as_ref();
    let (size, manifest, slots) = examine(path)?;
    Ok(Summary { path: path.into(), size, manifest, tensors: slots.into_iter().map(TensorInfo::from).collect() })
}

/// Maximum number of tensors, and of lines of one topic, on the short page.
const SHOWN: usize = 20;
/// Default number of characters per line on the short page.
const WIDTH: usize = 116;
/// Number of characters before the value.
const MARGIN: usize = 16;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let page = Page { all: f.alternate(), line: f.width().unwrap_or(WIDTH) };
        let Manifest { stormfire_version, burn_version, format_version, .. } = &self.manifest;
        let kind = if self.manifest.weights_only { "weights only" } else { "a whole run" };
        writeln!(f, "{}\n", self.path.display())?;
        page.line(f, "size", &text::size(self.size))?;
        page.line(f, "checksum", "good")?;
        page.line(f, "contains", kind)?;
        page.line(f, "written by", &format!("Stormfire {stormfire_version}, burn {burn_version}, format {format_version}"))?;
        page.line(f, "saved at", &page.moment(&self.manifest.saved_at))?;
        page.line(f, "module", &self.manifest.module)?;
        page.line(f, "device", &self.manifest.device)?;
        page.line(f, "precision", &self.manifest.precision)?;
        page.line(f, "seed", &self.manifest.seed.map_or_else(String::new, |seed| seed.to_string()))?;
        page.json(f, "progress", &self.manifest.progress)?;
        let unfinished = &self.manifest.unfinished_epoch;
        page.json(f, "unfinished", if page.all { unfinished } else { &unfinished["progress"] })?;
        let stops = self.manifest.place["requests"]["stops"].as_array().into_iter().flatten();
        let stops: Vec<_> =
            stops.map(|stop| format!("{}: {}", text::brief(&stop["by"], 40), text::brief(&stop["reason"], page.width()))).collect();
        page.lines(f, "stop", stops.into_iter())?;
        page.lines(f, "metrics", self.manifest.metrics.iter().map(|(name, value)| format!("{name} {value}")))?;
        page.json(f, "optimizers", &page.optimizers(&self.manifest.optimizers))?;
        page.json(f, "hparams", &self.manifest.hparams)?;
        page.json(f, "callbacks", &Value::Object(self.manifest.callbacks.clone()))?;
        page.json(f, "loggers", &self.manifest.loggers)?;
        page.json(f, "data", &self.manifest.data)?;
        if page.all {
            page.json(f, "config", &self.manifest.config)?;
            page.json(f, "place", &self.manifest.place)?;
            page.json(f, "log", &self.manifest.log)?;
        }
        page.json(f, "extra", &Value::Object(self.manifest.extra.clone()))?;
        self.tensors(f, page)
    }
}

impl Summary {
    fn tensors(&self, f: &mut fmt::Formatter<'_>, page: Page) -> fmt::Result {
        let (weights, others): (Vec<_>, Vec<_>) = self.tensors.iter().partition(|tensor| tensor.is_weight());
        let bytes = |tensors: &[&TensorInfo]| text::size(tensors.iter().map(|tensor| tensor.bytes).sum());
        let parameters: u64 = weights.iter().map(|tensor| tensor.elements()).sum();
        let of_weights = format!("{}, {} elements, {}", text::plural(weights.len(), "tensor"), text::count(parameters), bytes(&weights));
        page.line(f, "weights", &of_weights)?;
        let (in_force, beside): (Vec<_>, Vec<_>) = others.iter().copied().partition(|tensor| tensor.name.starts_with(IN_FORCE));
        if !in_force.is_empty() {
            page.line(f, "in force", &format!("{}, {}", text::plural(in_force.len(), "tensor"), bytes(&in_force)))?;
        }
        if !beside.is_empty() {
            page.line(f, "additional", &format!("{}, {}", text::plural(beside.len(), "tensor"), bytes(&beside)))?;
        }
        let shown = page.shown(self.tensors.len());
        let rows = weights.into_iter().chain(others).take(shown);
        let rows: Vec<_> = rows.map(|tensor| (text::brief(&Value::from(tensor.name.as_str()), usize::MAX), tensor)).collect();
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        writeln!(f)?;
        for (name, tensor) in rows {
            writeln!(f, "  {name:width$}  {:4}  {:?}", tensor.dtype, tensor.shape)?;
        }
        rest(f, "", self.tensors.len() - shown)
    }
}

fn rest(f: &mut fmt::Formatter<'_>, indent: &str, left: usize) -> fmt::Result {
    if left == 0 { Ok(()) } else { writeln!(f, "  {indent}… and {left} more") }
}

#[derive(Clone, Copy)]
struct Page {
    all: bool,
    /// Number of characters per line.
    line: usize,
}

impl Page {
    /// Prints nothing for an empty value.
    fn line(self, f: &mut fmt::Formatter<'_>, label: &str, value: &str) -> fmt::Result {
        if value.is_empty() {
            return Ok(());
        }
        writeln!(f, "  {label:12}  {}", text::brief(&Value::from(value), self.width()))
    }

    /// A time in RFC 3339. The short page omits fractions of a second.
    fn moment(self, time: &str) -> String {
        match time.split_once('.') {
            Some((seconds, fraction)) if !self.all => {
                format!("{seconds}{}", fraction.trim_start_matches(|c: char| c.is_ascii_digit()))
            }
            _ => time.to_owned(),
        }
    }

    /// The short page omits the numbers of each parameter, because they are long.
    fn optimizers(self, optimizers: &Value) -> Value {
        let mut optimizers = optimizers.clone();
        if !self.all {
            for fields in optimizers.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
                fields.shift_remove("parameters");
            }
        }
        optimizers
    }

    /// A list has one line per item. An object of objects has one line per field.
    fn json(self, f: &mut fmt::Formatter<'_>, label: &str, value: &Value) -> fmt::Result {
        let brief = |value: &Value| text::brief(value, self.width());
        match value {
            Value::Null => Ok(()),
            Value::Array(values) => self.lines(f, label, values.iter().map(brief)),
            Value::Object(fields) if fields.values().any(Value::is_object) => {
                self.lines(f, label, fields.iter().map(|(name, value)| format!("{name}: {}", brief(value))))
            }
            _ => self.line(f, label, &brief(value)),
        }
    }

    fn lines(self, f: &mut fmt::Formatter<'_>, label: &str, values: impl ExactSizeIterator<Item = String>) -> fmt::Result {
        let (len, shown) = (values.len(), self.shown(values.len()));
        for (index, value) in values.take(shown).enumerate() {
            self.line(f, if index == 0 { label } else { "" }, &value)?;
        }
        rest(f, "              ", len - shown)
    }

    fn shown(self, len: usize) -> usize {
        // A list is not shortened by only one line.
        if self.all || len <= SHOWN + 1 { len } else { SHOWN }
    }

    fn width(self) -> usize {
        // A smaller width would be useless. A terminal can wrap longer lines.
        if self.all { usize::MAX } else { self.line.saturating_sub(MARGIN).max(24) }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;
    use crate::{samples, write};

    fn manifest() -> Manifest {
        let callbacks = json!({"EarlyStopping{val_loss}": {"best": 0.25, "wait": 1}, "Timer": {"seconds": 12.5}});
        Manifest {
            saved_at: "2026-03-01T12:00:00.147495436Z".into(),
            module: "Mnist".into(),
            device: "flex".into(),
            precision: "32".into(),
            seed: Some(42),
            progress: json!({"epoch": 2, "batch_in_epoch": 0, "batches": 938, "global_step": 938}),
            unfinished_epoch: json!({"progress": {"epoch": 1, "batch_in_epoch": 469, "batches": 938}, "log": {"metrics": {}}}),
            place: json!({"requests": {"stops": [{"by": "Timer", "reason": "time limit reached"}]}}),
            metrics: [("val_acc".to_owned(), 0.975), ("val_loss".to_owned(), f64::NAN)].into(),
            optimizers: json!([{"name": "Adam", "steps": 938, "lr": 0.001, "parameters": {"bias": {"time": 938}}}]),
            hparams: json!({"hidden": 128}),
            callbacks: callbacks.as_object().cloned().unwrap(),
            config: json!({"max_epochs": 3}),
            ..Manifest::default()
        }
    }

    /// The page without what differs from run to run.
    fn page_of(summary: &Summary, folder: &Path) -> String {
        summary.to_string().replace(&folder.display().to_string(), "[folder]").replace(&text::size(summary.size), "[size]")
    }

    #[test]
    fn the_page_is_readable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("epoch=1.ckpt");
        let tensors = [
            ("output.bias".to_owned(), TensorData::from([0_f32; 10])),
            ("hidden.weight".to_owned(), TensorData::new(vec![0_f32; 784 * 128], [784, 128])),
            ("optimizer/Adam/hidden.weight/moment_1".to_owned(), TensorData::new(vec![0_f32; 784 * 128], [784, 128])),
        ];
        write(&path, &manifest(), &tensors).unwrap();
        let summary = inspect(&path).unwrap();
        let page = page_of(&summary, folder.path());
        assert_snapshot!(page, @"
        [folder]/epoch=1.ckpt

          size          [size]
          checksum      good
          contains      a whole run
          written by    Stormfire 0.1.0, burn 0.22.1, format 1
          saved at      2026-03-01T12:00:00Z
          module        Mnist
          device        flex
          precision     32
          seed          42
          progress      epoch 2, batch_in_epoch 0, batches 938, global_step 938
          unfinished    epoch 1, batch_in_epoch 469, batches 938
          stop          Timer: time limit reached
          metrics       val_acc 0.975
                        val_loss NaN
          optimizers    name Adam, steps 938, lr 0.001
          hparams       hidden 128
          callbacks     EarlyStopping{val_loss}: best 0.25, wait 1
                        Timer: seconds 12.5
          weights       2 tensors, 100,362 elements, 392.0 KiB
          additional    1 tensor, 392.0 KiB

          output.bias                            F32   [10]
          hidden.weight                          F32   [784, 128]
          optimizer/Adam/hidden.weight/moment_1  F32   [784, 128]
        ");
        assert_eq!(summary.size, std::fs::metadata(&path).unwrap().len());
        let json = serde_json::to_value(&summary).unwrap();
        assert_eq!(json["tensors"][1]["shape"], json!([784, 128]));
        assert_eq!(json["manifest"]["metrics"]["val_loss"], json!("NaN"));
    }

    #[test]
    fn long_lists_and_lines_are_shortened_by_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        let tensors: Vec<_> = (0..30).map(|i| (format!("layers.{i}.bias"), TensorData::from([0_f32]))).collect();
        let long = Manifest { hparams: json!({"text": "x".repeat(200)}), log: json!([1, 2]), ..manifest() };
        write(&path, &long, &tensors).unwrap();
        let summary = inspect(&path).unwrap();
        let (short, all) = (format!("{summary}"), format!("{summary:#}"));
        let page = page_of(&summary, folder.path());
        assert_snapshot!(page, @r"
        [folder]/a.ckpt
        
          size          [size]
          checksum      good
          contains      a whole run
          written by    Stormfire 0.1.0, burn 0.22.1, format 1
          saved at      2026-03-01T12:00:00Z
          module        Mnist
          device        flex
          precision     32
          seed          42
          progress      epoch 2, batch_in_epoch 0, batches 938, global_step 938
          unfinished    epoch 1, batch_in_epoch 469, batches 938
          stop          Timer: time limit reached
          metrics       val_acc 0.975
                        val_loss NaN
          optimizers    name Adam, steps 938, lr 0.001
          hparams       text xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
          callbacks     EarlyStopping{val_loss}: best 0.25, wait 1
                        Timer: seconds 12.5
          weights       30 tensors, 30 elements, 120 bytes
        
          layers.0.bias   F32   [1]
          layers.1.bias   F32   [1]
          layers.2.bias   F32   [1]
          layers.3.bias   F32   [1]
          layers.4.bias   F32   [1]
          layers.5.bias   F32   [1]
          layers.6.bias   F32   [1]
          layers.7.bias   F32   [1]
          layers.8.bias   F32   [1]
          layers.9.bias   F32   [1]
          layers.10.bias  F32   [1]
          layers.11.bias  F32   [1]
          layers.12.bias  F32   [1]
          layers.13.bias  F32   [1]
          layers.14.bias  F32   [1]
          layers.15.bias  F32   [1]
          layers.16.bias  F32   [1]
          layers.17.bias  F32   [1]
          layers.18.bias  F32   [1]
          layers.19.bias  F32   [1]
          … and 10 more
        ");
        for (page, width) in [(&short, WIDTH), (&format!("{summary:60}"), 60)] {
            let longest = page.lines().skip(2).map(|line| line.chars().count()).max();
            assert_eq!(longest, Some(width), "{page}");
        }
        assert!(all.contains("layers.29.bias") && all.contains(&"x".repeat(200)) && all.contains("max_epochs 3"), "{all}");
        assert!(all.contains("12:00:00.147495436Z") && all.contains("parameters (bias (time 938))"), "{all}");
        assert!(!short.contains("max_epochs"), "{short}");
    }

    #[test]
    fn a_damaged_file_has_no_summary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        let mut bytes = samples::bytes_of(&manifest(), &samples::small());
        let last = bytes.len() - 20;
        bytes[last] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(inspect(&path), Err(crate::Error::Checksum { .. })));
    }
}
