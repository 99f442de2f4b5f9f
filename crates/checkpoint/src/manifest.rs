//! The manifest: everything in a checkpoint except the tensors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The format version that this crate writes. It reads no other version.
pub const FORMAT_VERSION: u32 = 1;

/// The version of burn that this crate uses.
pub const BURN_VERSION: &str = "0.22.1";

/// Everything in a checkpoint except the tensors, as readable JSON.
///
/// This crate interprets the typed fields and the numbers in `progress`. The other JSON belongs to the code that writes
/// it. Additional fields in a file are ignored. Missing fields get their defaults, which are empty except for the three
/// versions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Manifest {
    /// The version of the format: [`FORMAT_VERSION`]. A file with another version is refused.
    pub format_version: u32,
    /// The version of Stormfire that wrote the file.
    pub stormfire_version: String,
    /// The version of burn used by that version of Stormfire.
    pub burn_version: String,
    /// Whether the file contains only weights, so that no run can be resumed from it.
    pub weights_only: bool,
    /// The unique id of the run that wrote the file. It stays the same when the run is resumed.
    pub run_id: String,
    /// How often the run had been resumed. A run that is resumed from an earlier checkpoint leaves files with more
    /// progress that are not its newest.
    #[serde(skip_serializing_if = "is_zero")]
    pub restarts: u64,
    /// The time of the save, in RFC 3339.
    pub saved_at: String,
    /// The type name of the module.
    pub module: String,
    /// The device of the module, as a string.
    pub device: String,
    /// The precision of the run, as a string.
    pub precision: String,
    /// The seed of the run, if it was set.
    pub seed: Option<u64>,
    /// The progress of the run: an object with `epoch`, `batch_in_epoch`, `batches` and `global_step`.
    pub progress: Value,
    /// The metrics at the save, by name. Non-finite values are `"NaN"`, `"inf"` and `"-inf"` in the file.
    #[serde(with = "metrics")]
    pub metrics: BTreeMap<String, f64>,
    /// The optimizers and schedules, without their tensors.
    pub optimizers: Value,
    /// The module's hyperparameters.
    pub hparams: Value,
    /// The Trainer's configuration.
    pub config: Value,
    /// The position of the run beyond `progress`: between which steps, the requests, the window of gradients.
    pub place: Value,
    /// The names that the file gets, and the files that they replace.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub names: Value,
    /// Logged values that are not reduced yet.
    pub log: Value,
    /// The state of each callback, by key.
    pub callbacks: Map<String, Value>,
    /// The position of each logger.
    pub loggers: Value,
    /// The properties that a position in the training data depends on.
    pub data: Value,
    /// The state of the data module.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub data_module: Value,
    /// The paths of the float parameters that are not trained, including buffers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Vec<String>>,
    /// The position before the early end of the last epoch, for a run that is trained longer.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub unfinished_epoch: Value,
    /// Values added by hooks in `on_save_checkpoint`.
    pub extra: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            format_version: FORMAT_VERSION,
            stormfire_version: env!("CARGO_PKG_VERSION").to_owned(),
            burn_version: BURN_VERSION.to_owned(),
            weights_only: false,
            run_id: String::new(),
            restarts: 0,
            saved_at: String::new(),
            module: String::new(),
            device: String::new(),
            precision: String::new(),
            seed: None,
            progress: Value::Null,
            metrics: BTreeMap::new(),
            optimizers: Value::Null,
            hparams: Value::Null,
            config: Value::Null,
            place: Value::Null,
            names: Value::Null,
            log: Value::Null,
            callbacks: Map::new(),
            loggers: Value::Null,
            data: Value::Null,
            data_module: Value::Null,
            frozen: None,
            unfinished_epoch: Value::Null,
            extra: Map::new(),
        }
    }
}

impl Manifest {
    /// The manifest of a weights-only file of the same moment.
    pub fn of_weights(&self) -> Self {
        let Self { run_id, restarts, saved_at, module, device, precision, seed, progress, hparams, config, .. } = self.clone();
        Self {
            weights_only: true,
            run_id,
            restarts,
            saved_at,
            module,
            device,
            precision,
            seed,
            progress,
            hparams,
            config,
            ..Self::default()
        }
    }

    /// The progress, for comparison with other checkpoints of the same run. A later checkpoint is greater, regardless
    /// of the clock.
    pub fn order_in_run(&self) -> impl Ord + use<> {
        let number = |name: &str| self.progress[name].as_u64().unwrap_or(0);
        // The batches of a validation come after the training batch before it. The end of an epoch comes after its last
        // batch.
        (self.restarts, number("batches"), number("global_step"), number("epoch"), self.saved_at.clone())
    }

    /// The manifest with the given fields of a file. The error describes what is wrong.
    pub(crate) fn from_fields(fields: Map<String, Value>) -> Result<Self, String> {
        let lacks: Vec<_> = OF_A_RUN.into_iter().filter(|key| !fields.contains_key(*key)).map(|key| format!("`{key}`")).collect();
        let manifest: Self = serde_json::from_value(Value::Object(fields)).map_err(|e| format!("its manifest is not valid: {e}"))?;
        if !manifest.weights_only && !lacks.is_empty() {
            return Err(format!("its manifest is incomplete: it lacks {}", lacks.join(", ")));
        }
        let Self { progress, optimizers, place, log, unfinished_epoch, .. } = &manifest;
        // The state of callbacks, loggers and the data module is not checked here.
        let parts = [
            ("progress", progress),
            ("optimizers", optimizers),
            ("place", place),
            ("log", log),
            ("unfinished_epoch.progress", &unfinished_epoch["progress"]),
            ("unfinished_epoch.place", &unfinished_epoch["place"]),
            ("unfinished_epoch.log", &unfinished_epoch["log"]),
        ];
        let impossible = parts.into_iter().find_map(|(name, part)| impossible_count(name, part));
        match impossible {
            Some((name, count)) => Err(format!("its manifest is not valid: `{name}` is {count}, which no run can reach")),
            None => Ok(manifest),
        }
    }

    /// The required fields for a resume that are missing in this manifest.
    pub fn missing(&self) -> Vec<&'static str> {
        let Self { progress, optimizers, place, log, .. } = self;
        let parts = [("progress", progress), ("optimizers", optimizers), ("place", place), ("log", log)];
        parts.into_iter().filter(|(_, part)| part.is_null()).map(|(name, _)| name).collect()
    }

    /// Number of completed epochs, if known.
    pub fn epoch(&self) -> Option<u64> {
        self.progress["epoch"].as_u64()
    }

    /// Number of training batches after which an optimizer had stepped, if known.
    pub fn global_step(&self) -> Option<u64> {
        self.progress["global_step"].as_u64()
    }
}

/// The fields in every manifest of a whole run, even if they are empty.
const OF_A_RUN: [&str; 6] = ["progress", "optimizers", "place", "log", "callbacks", "loggers"];

/// Maximum plausible count. A larger one is damage and could overflow.
const MOST: u64 = 1 << 53;

/// Fields that are not counts: burn's schedulers count from one below 0, and the others are options without a maximum.
const NO_COUNTS: [&str; 3] = ["before_last_step", "accumulate_grad_batches", "size"];

/// The path and value of the first impossible count.
fn impossible_count(place: &str, value: &Value) -> Option<(String, u64)> {
    match value {
        Value::Number(number) => number.as_u64().filter(|count| *count > MOST).map(|count| (place.to_owned(), count)),
        Value::Array(values) => values.iter().enumerate().find_map(|(index, value)| impossible_count(&format!("{place}[{index}]"), value)),
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !NO_COUNTS.contains(&name.as_str()))
            .find_map(|(name, value)| impossible_count(&format!("{place}.{name}"), value)),
        _ => None,
    }
}

/// JSON has no NaN and no infinity.
mod metrics {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::number::Number;

    pub(super) fn serialize<S: Serializer>(metrics: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(metrics.iter().map(|(name, value)| (name, Number(*value))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let metrics = BTreeMap::<String, Number>::deserialize(deserializer)?;
        Ok(metrics.into_iter().map(|(name, Number(value))| (name, value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn metrics_that_are_not_finite_survive() {
        let metrics = [("a", f64::NAN), ("b", f64::INFINITY), ("c", f64::NEG_INFINITY), ("d", -0.0), ("e", 5.0)];
        let manifest = Manifest { metrics: metrics.map(|(name, value)| (name.to_owned(), value)).into(), ..Manifest::default() };
        let json = serde_json::to_string(&manifest).unwrap();
        assert!(json.contains(r#""metrics":{"a":"NaN","b":"inf","c":"-inf","d":-0.0,"e":5.0}"#), "{json}");
        let back: Manifest = serde_json::from_str(&json).unwrap();
        let bits = |m: &Manifest| m.metrics.values().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&manifest));
        assert!(serde_json::from_str::<Manifest>(r#"{"metrics": {"a": "high"}}"#).is_err());
    }

    #[test]
    fn fields_of_a_later_writer_are_ignored_and_missing_ones_are_empty() {
        let manifest: Manifest = serde_json::from_str(r#"{"format_version": 1, "seed": 7, "invented_later": [1]}"#).unwrap();
        assert_eq!(manifest, Manifest { seed: Some(7), ..Manifest::default() });
    }

    #[test]
    fn progress_is_found_in_its_object() {
        let manifest = Manifest { progress: serde_json::json!({"epoch": 2, "global_step": 30}), ..Manifest::default() };
        assert_eq!((manifest.epoch(), manifest.global_step()), (Some(2), Some(30)));
        assert_eq!((Manifest::default().epoch(), Manifest::default().global_step()), (None, None));
    }

    #[test]
    fn an_unreachable_count_is_damage_and_other_numbers_are_not() {
        const TOO_FAR: u64 = (1 << 53) + 1;
        let whole = serde_json::json!({
            "progress": {"batches": 3}, "optimizers": {}, "place": {}, "log": {}, "callbacks": {}, "loggers": {}, "unfinished_epoch": {},
        });
        let read = |pointer: &str, number: u64| {
            let mut fields = whole.clone();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let mut at = &mut fields;
            for part in parent.split('/').skip(1) {
                at = &mut at[part];
            }
            at[name] = number.into();
            let serde_json::Value::Object(fields) = fields else { unreachable!() };
            Manifest::from_fields(fields).map(drop)
        };
        for count in
            ["/progress/global_step", "/place/evaluated/n", "/log/train", "/unfinished_epoch/progress/batches", "/unfinished_epoch/place/n"]
        {
            assert!(read(count, 1 << 53).is_ok(), "{count}");
            let error = read(count, TOO_FAR).unwrap_err();
            let place = count.trim_start_matches('/').replace('/', ".");
            assert_eq!(error, format!("its manifest is not valid: `{place}` is {TOO_FAR}, which no run can reach"));
        }
        let no_counts = [
            "/optimizers/schedule/before_last_step",
            "/place/accumulate_grad_batches",
            "/place/window/size",
            "/callbacks/hash",
            "/loggers/id",
            "/unfinished_epoch/callbacks/hash",
        ];
        for other in no_counts {
            assert_eq!(read(other, u64::MAX), Ok(()), "{other}");
        }
    }

    #[test]
    fn the_version_of_burn_is_the_one_that_is_pinned() {
        let root = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml")).unwrap();
        assert!(root.contains(&format!("burn = {{ version = \"={BURN_VERSION}\"")));
    }

    proptest! {
        /// Fails without serde_json's feature `float_roundtrip`.
        #[test]
        fn a_number_comes_back_to_the_last_bit(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            let manifest = Manifest { log: serde_json::json!([value]), metrics: [("a".to_owned(), value)].into(), ..Manifest::default() };
            let back: Manifest = serde_json::from_str(&serde_json::to_string(&manifest).unwrap()).unwrap();
            prop_assert_eq!(back.metrics["a"].to_bits(), bits);
            prop_assert_eq!(back.log[0].as_f64().unwrap().to_bits(), bits);
        }
    }
}
