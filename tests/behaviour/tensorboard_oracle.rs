//! Compares `TensorBoard` files with a file of an independent writer, the crate `tensorboard-rs` 0.5.9.
//!
//! The repository contains its file but does not depend on the crate, whose `protobuf` has an open advisory
//! (RUSTSEC-2024-0437).

use prost::Message;
use stormfire::{
    TensorBoardLogger,
    loggers::{Histogram, Logger, Status},
};

use crate::files::{event_file, records};

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, tag = "3")]
    file_version: String,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    scalar: Option<f32>,
    #[prost(message, optional, tag = "5")]
    histogram: Option<Buckets>,
}

#[derive(Clone, PartialEq, Message)]
struct Buckets {
    #[prost(double, tag = "1")]
    min: f64,
    #[prost(double, tag = "2")]
    max: f64,
    #[prost(double, tag = "3")]
    num: f64,
    #[prost(double, tag = "4")]
    sum: f64,
    #[prost(double, tag = "5")]
    sum_squares: f64,
    #[prost(double, repeated, tag = "6")]
    limits: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    counts: Vec<f64>,
}

/// `add_scalar` and `add_histogram_raw` of `tensorboard-rs`, called with the values of the test below.
const ORACLE: &[u8] = include_bytes!("tensorboard_oracle/tensorboard-rs.tfevents");

fn events(file: &[u8]) -> Vec<Event> {
    let (records, torn) = records(file);
    assert_eq!(torn, 0, "bytes of a torn record");
    records.into_iter().map(|record| Event::decode(record).unwrap()).collect()
}

/// One line per value, in the order of the file. Floats are printed as bits, so that NaN equals NaN.
fn flat(events: &[Event]) -> Vec<String> {
    let mut lines = vec![events[0].file_version.clone()];
    for event in events {
        for value in event.summary.iter().flat_map(|summary| &summary.values) {
            let (tag, scalar) = (&value.tag, value.scalar.map(f32::to_bits));
            lines.push(format!("{} {tag} {scalar:?} {:?}", event.step, value.histogram));
        }
    }
    lines
}

#[test]
fn scalars_and_histograms_equal_those_of_an_independent_writer() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path());

    let scalars = [
        ("loss", 0.1, 0),
        ("loss", -0.0, 49),
        ("val/acc", 0.75, 49),
        ("loss", f64::NAN, 99),
        ("loss", f64::NEG_INFINITY, 100),
        ("größe", 1e-40, 101),
        ("loss", 1e38, u64::from(u32::MAX) + 1),
    ];
    for (tag, value, step) in scalars {
        logger.log_metrics(&[(tag, value)].into(), Some(step)).unwrap();
    }
    let samples = (0..1000).map(|i| f64::from(i * i % 997) / 100.0 - 3.0);
    for (histogram, step) in [(Histogram::from_samples(samples).unwrap(), 5), (Histogram::from_samples([0.0]).unwrap(), 6)] {
        logger.log_histogram("weights", &histogram, Some(step)).unwrap();
    }
    logger.finalize(Status::Success).unwrap();
    let own = logger.log_dir().unwrap();
    drop(logger);

    let (own, oracle) = (flat(&events(&std::fs::read(event_file(&own)).unwrap())), flat(&events(ORACLE)));
    assert_eq!(own.len(), 1 + scalars.len() + 2);
    assert_eq!(own, oracle);
}
