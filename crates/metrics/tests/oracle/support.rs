//! Cases, and how a metric is compared with them.

use std::{ops::Range, path::PathBuf};

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use serde_json::Value;
use stormfire_metrics::{
    Computed, Metric, Picture, bytes,
    metric::{AnyMetric, Pending},
};
use stormfire_values::read::{DistantCpu, device_reads};

/// How far a number may be from that of the other library, relative to numbers above 1.
pub(crate) const TOLERANCE: f64 = 1e-6;

/// An input with the values that other libraries compute of it.
pub(crate) struct Case(Value);

/// The cases of a kind. Empty without the folder.
pub(crate) fn cases(kind: &str) -> Vec<Case> {
    let Some(folder) = std::env::var_os("STORMFIRE_METRICS_CASES") else { return Vec::new() };
    let text = std::fs::read_to_string(PathBuf::from(folder).join(format!("{kind}.json"))).unwrap();
    let cases = cases_of(&text);
    assert!(!cases.is_empty(), "no cases of {kind}");
    cases
}

/// The cases in a file.
pub(crate) fn cases_of(text: &str) -> Vec<Case> {
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    cases.into_iter().map(Case).collect()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        Value::Bool(value) => f64::from(u8::from(*value)),
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is not a number")),
    }
}

/// All numbers in it, in order.
pub(crate) fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flat).collect(),
        Value::Null => Vec::new(),
        other => vec![number(other)],
    }
}

impl Case {
    pub(crate) fn name(&self) -> &str {
        self.0["name"].as_str().unwrap()
    }

    pub(crate) fn input(&self, name: &str) -> &Value {
        &self.0["inputs"][name]
    }

    pub(crate) fn option(&self, name: &str) -> &Value {
        &self.0["options"][name]
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        number(self.option(name))
    }

    pub(crate) fn ignore_index(&self) -> Option<i64> {
        self.option("ignore_index").as_i64()
    }

    /// Number of items.
    pub(crate) fn items(&self) -> usize {
        let inputs = self.0["inputs"].as_object().unwrap();
        inputs.values().next().unwrap().as_array().unwrap().len()
    }

    /// The expected values with their keys.
    pub(crate) fn expected(&self) -> impl Iterator<Item = (&str, Vec<f64>)> {
        self.0["expected"].as_object().unwrap().iter().map(|(key, value)| (key.as_str(), flat(value)))
    }

    fn rows(&self, name: &str, rows: &Range<usize>) -> (Vec<usize>, Vec<f64>) {
        let rows = &self.input(name).as_array().unwrap()[rows.clone()];
        let mut dims = vec![rows.len()];
        let mut first = rows.first();
        while let Some(Value::Array(values)) = first {
            dims.push(values.len());
            first = values.first();
        }
        (dims, rows.iter().flat_map(flat).collect())
    }

    /// A tensor of some rows. `columns` are the other dimensions, for a tensor without rows.
    pub(crate) fn floats<const D: usize>(&self, name: &str, rows: &Range<usize>, columns: &[usize]) -> Tensor<D> {
        let (mut dims, values) = self.rows(name, rows);
        dims.truncate(1);
        let missing: Vec<usize> = if columns.is_empty() { self.dims(name)[1..].to_vec() } else { columns.to_vec() };
        dims.extend(missing);
        let dtype = if self.option("dtype") == "bf16" { DType::BF16 } else { DType::F32 };
        Tensor::from_data(TensorData::new(values, dims).convert_dtype(dtype), (&Device::flex(), dtype))
    }

    pub(crate) fn ints<const D: usize>(&self, name: &str, rows: &Range<usize>) -> Tensor<D, Int> {
        let (_, values) = self.rows(name, rows);
        let mut dims = self.dims(name);
        dims[0] = rows.len();
        let values: Vec<i64> = values.into_iter().map(|value| value as i64).collect();
        Tensor::from_data(TensorData::new(values, dims), &Device::flex())
    }

    fn dims(&self, name: &str) -> Vec<usize> {
        self.rows(name, &(0..self.items())).0
    }
}

/// All numbers of a result, in order.
fn numbers(computed: &Computed) -> Vec<f64> {
    match computed {
        Computed::One(value) => vec![*value],
        Computed::Named(named) => named.values(),
        Computed::Picture(Picture::Matrix(matrix)) => matrix.values.concat(),
        Computed::Picture(Picture::Samples(samples)) => samples.0.clone(),
        Computed::Picture(Picture::Curves(curves)) => {
            curves.lines.iter().flat_map(|line| line.points.iter().map(|p| p.0).chain(line.points.iter().map(|p| p.1))).collect()
        }
    }
}

/// A generator that does not depend on a library.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// Up to five parts of uneven sizes, some of them empty.
fn parts(items: usize, draws: &mut Draws) -> Vec<Range<usize>> {
    let mut cuts: Vec<usize> = (0..draws.below(5)).map(|_| draws.below(items + 1)).chain([0, items]).collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| cut[0]..cut[1]).collect()
}

/// Compares a metric of rows with the expected numbers: of all rows at once and of merged parts, on the host, on a
/// device and on a device without types of 64 bits, as parts of other ranks, and after a trip through a checkpoint.
pub(crate) fn check<M: Metric>(case: &Case, key: &str, expected: &[f64], make: impl Fn(Range<usize>) -> M) {
    check_within(case, key, expected, TOLERANCE, make);
}

/// As [`check`], with another tolerance on a device without `f64`, where sums of a batch have the digits of `f32`.
pub(crate) fn check_within<M: Metric>(case: &Case, key: &str, expected: &[f64], narrow: f64, make: impl Fn(Range<usize>) -> M) {
    let mut draws = Draws(key.len() as u64 + case.items() as u64);
    for place in ["host", "device", "narrow device"] {
        let _distant = match place {
            "device" => Some(DistantCpu::new()),
            "narrow device" => Some(DistantCpu::without_f64()),
            _ => None,
        };
        let tolerance = if place == "narrow device" { narrow } else { TOLERANCE };
        for split in [std::iter::once(0..case.items()).collect(), parts(case.items(), &mut draws), parts(case.items(), &mut draws)] {
            let reads = device_reads();
            let mut all: Option<M> = None;
            let mut other_rank: Option<M> = None;
            for (index, rows) in split.iter().enumerate() {
                let part = make(rows.clone());
                // The last part comes from another rank.
                let into = if index > 0 && index + 1 == split.len() { &mut other_rank } else { &mut all };
                match into {
                    Some(all) => all.merge(&part).unwrap(),
                    None => *into = Some(part),
                }
            }
            assert_eq!(device_reads(), reads, "{}: {key} has read the {place}", case.name());
            let mut all = all.unwrap();
            if let Some(other) = other_rank {
                bytes::merge(&mut all, &bytes::of(&other).unwrap()).unwrap();
            }
            let restored = all.with_parts_any(&all.parts_any()).unwrap();
            let computed = Pending::of(restored.as_ref()).read().unwrap();
            let ours = numbers(&computed);
            let is_near = |(ours, right): (&f64, &f64)| {
                (ours.is_nan() && right.is_nan()) || ours == right || (ours - right).abs() <= tolerance * right.abs().max(1.0)
            };
            assert!(
                ours.len() == expected.len() && ours.iter().zip(expected).all(is_near),
                "{}: {key} in {split:?} on the {place}\nours:  {ours:?}\nright: {expected:?}",
                case.name()
            );
            let numbers = Pending::of(&all).readings().len();
            let is_picture = computed.picture().is_some();
            assert!(is_picture == (numbers == 0) && (is_picture || numbers == ours.len()), "the outline of {key} is another one");
        }
    }
}
