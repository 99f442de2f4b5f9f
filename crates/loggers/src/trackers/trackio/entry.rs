//! An entry of trackio's `bulk_log`, with an optional file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::network::outbox::Record;
use crate::{Histogram, Hyperparams, Metrics, Table, Text};

/// A row of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// The server skips an entry with a known id, so a repetition does no harm.
    pub(super) id: String,
    pub(super) step: u64,
    pub(super) values: Map<String, Value>,
    /// The whole configuration of the run, if it has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Kept>,
}

/// A media file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    /// Its name on the server.
    pub(super) name: String,
}

impl Record for Entry {
    fn files(&mut self) -> Vec<&mut PathBuf> {
        self.file.iter_mut().map(|file| &mut file.path).collect()
    }
}

/// The trackio name of a value. Some names are reserved.
pub(super) fn key(prefix: &str, name: &str) -> String {
    const RESERVED: [&str; 6] = ["project", "run", "timestamp", "step", "time", "metrics"];
    let mut key = String::new();
    crate::parts::prefix::prefixed(prefix, name, &mut key);
    if RESERVED.contains(&key.as_str()) || key.starts_with("__") { format!("__{key}") } else { key }
}

/// Skips the metric `step`, because each row has a step.
pub(super) fn row(metrics: &Metrics, prefix: &str) -> Map<String, Value> {
    let values = metrics.iter().filter(|(name, _)| *name != "step");
    values.map(|(name, value)| (key(if name == "epoch" { "" } else { prefix }, name), number(value))).collect()
}

/// JSON has no NaN. These are the strings that trackio writes.
fn number(value: f64) -> Value {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.into()
    } else {
        value.into()
    }
}

/// trackio reserves names that start with `_`.
pub(super) fn config(params: &Hyperparams, group: Option<&str>) -> Map<String, Value> {
    let own = params.iter().map(|(key, value)| match key.strip_prefix('_') {
        Some(_) => (format!("param{key}"), value.clone()),
        None => (key.to_owned(), value.clone()),
    });
    own.chain(group.map(|group| ("_Group".to_owned(), group.into()))).collect()
}

/// numpy's format: one more edge than counts. The left edge of the first bucket is unknown, but this bucket is usually
/// empty.
pub(super) fn histogram(histogram: &Histogram) -> Value {
    let (limits, counts, stats) = (histogram.limits(), histogram.counts(), histogram.stats());
    let finite = |limit: f64| if limit.is_finite() { limit } else { stats.max };
    let edges = limits.iter().copied().map(finite);
    let (edges, counts): (Vec<f64>, &[f64]) = if counts.len() > 1 && counts[0] == 0.0 {
        (edges.collect(), &counts[1..])
    } else {
        let left = stats.min.min(limits[0]);
        (std::iter::once(left).chain(edges).collect(), counts)
    };
    json!({"_type": "trackio.histogram", "bins": edges, "values": counts})
}

pub(super) fn text(text: &Text) -> Value {
    json!({"_type": "trackio.markdown", "_value": text.markdown})
}

pub(super) fn table(table: &Table) -> Value {
    let row = |row: &Vec<Value>| Value::Object(table.columns().iter().cloned().zip(row.iter().cloned()).collect());
    json!({"_type": "trackio.table", "_value": table.rows().iter().map(row).collect::<Vec<_>>()})
}

/// An image, a sound or a page. `kind` is trackio's name of the type.
pub(super) fn media(kind: &str, project: &str, run: &str, step: u64, name: &str) -> Value {
    let file_path = format!("{}/{run}/{step}/{name}", folder(project));
    json!({"_type": format!("trackio.{kind}"), "file_path": file_path, "caption": null})
}

/// The name of a project's folder on the server.
fn folder(project: &str) -> String {
    let name: String = project.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_')).collect();
    if name.is_empty() { "default".to_owned() } else { name }
}

/// A file name for a value. It is the same if the value is logged again after a restart.
pub(super) fn file_name(number: u64, tag: &str, extension: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let tag: String = tag.chars().take(60).map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    format!("{number:06}-{tag}.{extension}")
}

/// A drawing as a page, in the form that trackio uses for matplotlib figures.
pub(super) fn page(svg: &str) -> String {
    let drawing = svg.find("<svg").map_or(svg, |start| &svg[start..]);
    format!("<!doctype html><html><head><meta charset=\"utf-8\"></head><body>{drawing}</body></html>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistogramStats;

    #[test]
    fn names_and_numbers_are_those_of_the_real_client() {
        let metrics = [("loss", 0.1), ("epoch", 1.0), ("step", 3.0), ("time", f64::NAN), ("__x", f64::INFINITY), ("m", f64::NEG_INFINITY)];
        let expected = json!({"loss": 0.1, "epoch": 1.0, "__time": "NaN", "____x": "Infinity", "m": "-Infinity"});
        assert_eq!(Value::Object(row(&metrics.into(), "")), expected);
        let expected = json!({"p-loss": 0.5, "epoch": 1.0, "p-time": 2.0});
        assert_eq!(Value::Object(row(&[("loss", 0.5), ("epoch", 1.0), ("time", 2.0)].into(), "p")), expected);
        let mut params = Hyperparams::new();
        params.insert("_lr", 0.1_f32).unwrap();
        params.insert("net", json!({"depth": 2})).unwrap();
        let expected = json!({"param_lr": 0.1, "net": {"depth": 2}, "_Group": "g"});
        assert_eq!(Value::Object(config(&params, Some("g"))), expected);
    }

    #[test]
    fn a_histogram_has_one_more_edge_than_counts() {
        let of = |limits: &[f64], counts: &[f64]| {
            let stats = HistogramStats { min: -1.5, max: 9.0, sum: 0.0, sum_squares: 0.0 };
            histogram(&Histogram::from_counts(limits.to_vec(), counts.to_vec(), stats).unwrap())
        };
        let expected = json!({"_type": "trackio.histogram", "bins": [0.0, 1.0, 2.0], "values": [3.0, 4.0]});
        assert_eq!(of(&[0.0, 1.0, 2.0], &[0.0, 3.0, 4.0]), expected);
        let expected = json!({"_type": "trackio.histogram", "bins": [-1.5, 0.0, 9.0], "values": [3.0, 4.0]});
        assert_eq!(of(&[0.0, f64::INFINITY], &[3.0, 4.0]), expected);
        assert_eq!(of(&[1.0], &[0.0])["bins"], json!([-1.5, 1.0]));
    }

    #[test]
    fn files_lie_where_the_server_puts_them() {
        let name = file_name(7, "val/éxample 1", "png");
        assert_eq!(name, "000007-val__xample_1.png");
        let value = media("image", "my.project x", "run 1", 20, &name);
        assert_eq!(value["file_path"], "myprojectx/run 1/20/000007-val__xample_1.png");
        assert_eq!(media("audio", "..", "r", 0, "a.wav")["file_path"], "default/r/0/a.wav");
        assert!(page("<?xml version=\"1.0\"?>\n<svg/>").ends_with("<body><svg/></body></html>"));
    }
}
