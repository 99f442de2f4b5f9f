use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    score: f64,
    single: f32,
    maybe: Option<f64>,
    list: Vec<f32>,
    pair: (f64, String),
    kind: Kind,
    tagged: Tagged,
    loose: Loose,
    by_rate: BTreeMap<Rate, f64>,
    names: BTreeMap<String, Value>,
    #[serde(flatten)]
    more: More,
    inner: Value,
    unit: (),
    letter: char,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct More {
    slope: f64,
    title: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    #[serde(rename = "NaN")]
    OddName,
    New(f64),
    Tuple(f32, f64),
    Struct {
        at: f64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    At { value: f64 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Loose {
    Number(f64),
    Text(String),
}

/// A float as the key of a map.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Rate(f64);

impl PartialEq for Rate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Rate {}
impl PartialOrd for Rate {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Rate {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

fn float() -> impl Strategy<Value = f64> {
    let odd = prop::sample::select(vec![f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 0.1, 5e-324, f64::MAX, 3.0]);
    prop_oneof![odd, any::<f64>().prop_map(|value| if value.is_nan() { f64::NAN } else { value })]
}

fn words() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec!["inf", "-inf", "NaN", "text:inf", "text:text:NaN", "text:", "infinity", "text:a", ""]);
    prop_oneof![odd.prop_map(str::to_owned), any::<String>()]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Unit),
        Just(Kind::OddName),
        float().prop_map(Kind::New),
        (float(), float()).prop_map(|(a, b)| Kind::Tuple(a as f32, b)),
        float().prop_map(|at| Kind::Struct { at }),
    ]
}

prop_compose! {
    fn best()(
        (score, single, maybe, list) in (float(), float(), prop::option::of(float()), prop::collection::vec(float(), 0..4)),
        (pair, kind, tagged) in ((float(), words()), kind(), float()),
        loose in prop_oneof![float().prop_map(Loose::Number), words().prop_map(Loose::Text)],
        (by_rate, names) in (prop::collection::vec((float(), float()), 0..4), prop::collection::vec((words(), words()), 0..4)),
        (slope, title, inner, letter) in (float(), words(), float(), any::<char>()),
    ) -> Best {
        Best {
            score,
            single: single as f32,
            maybe,
            list: list.into_iter().map(|value| value as f32).collect(),
            pair,
            kind,
            tagged: Tagged::At { value: tagged },
            loose,
            by_rate: by_rate.into_iter().map(|(rate, value)| (Rate(rate), value)).collect(),
            names: names.into_iter().map(|(name, text)| (name, Value::String(text))).collect(),
            more: More { slope, title },
            // JSON of `to_value` as a part of another value.
            inner: to_value(&inner).unwrap(),
            unit: (),
            letter,
        }
    }
}

proptest! {
    #[test]
    fn everything_comes_back_to_the_last_bit(value in best()) {
        let text = serde_json::to_string(&to_value(&value).unwrap()).unwrap();
        let back: Best = from_value(serde_json::from_str(&text).unwrap()).unwrap();
        // `{:?}` distinguishes NaN, the sign of a zero, and every digit.
        prop_assert_eq!(format!("{back:?}"), format!("{value:?}"), "{}", text);
        let inner = (from_value::<f64>(back.inner).unwrap(), from_value::<f64>(value.inner).unwrap());
        prop_assert_eq!(inner.0.to_bits(), inner.1.to_bits());
    }
}

#[test]
fn values_that_json_supports_are_written_as_usual() {
    let value = json!({"a": [1, -2, 0.5, true, null, "x"], "b": {"c": u64::MAX}, "d": {}});
    assert_eq!(to_value(&value).unwrap(), value);
    assert_eq!(from_value::<Value>(value.clone()).unwrap(), value);
    assert_eq!(to_value(&Kind::Struct { at: 1.5 }).unwrap(), json!({"Struct": {"at": 1.5}}));
    assert_eq!(to_value(&BTreeMap::from([(3, true)])).unwrap(), json!({"3": true}));
    assert_eq!(from_value::<BTreeMap<u8, bool>>(json!({"3": true})).unwrap(), BTreeMap::from([(3, true)]));
    assert_eq!(from_value::<Option<std::path::PathBuf>>(json!("a/b")).unwrap(), Some("a/b".into()));
}

#[test]
fn a_string_is_read_as_the_requested_type() {
    assert_eq!(from_value::<String>(json!("inf")).unwrap(), "inf");
    assert!(from_value::<f64>(json!("inf")).unwrap().is_infinite());
}

#[test]
fn values_of_another_type_are_refused() {
    let numbers = [json!(null), json!("high"), json!([1.0])].map(|value| from_value::<f64>(value).unwrap_err().to_string());
    insta::assert_snapshot!(numbers.join("\n"), @r#"
    invalid type: null, expected f64
    invalid type: string "high", expected f64
    invalid type: sequence, expected f64
    "#);
    assert!(from_value::<(f64, f64)>(json!([1.0])).is_err());
    assert!(from_value::<(f64,)>(json!([1.0, 2.0])).is_err());
    insta::assert_snapshot!(from_value::<Kind>(json!("Other")).unwrap_err(), @"unknown variant `Other`, expected one of `Unit`, `NaN`, `New`, `Tuple`, `Struct`");
    insta::assert_snapshot!(to_value(&BTreeMap::from([(vec![1], 1)])).unwrap_err(), @"a key of a map must be a string, a number or a boolean");
}
