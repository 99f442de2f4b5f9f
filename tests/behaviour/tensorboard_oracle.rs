//! `TensorBoard` files compared with those of an independent writer, `tensorboard-rs`.

use std::path::Path;

use prost::Message;
use stormfire::{
    TensorBoardLogger,
    loggers::{Histogram, Logger, Status},
};
use tensorboard_rs::summary_writer::SummaryWriter;

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

/// The events of the one file in a folder.
fn events_in(folder: &Path) -> Vec<Event> {
    let file = std::fs::read(event_file(folder)).unwrap();
    let (records, torn) = records(&file);
    assert_eq!(torn, 0, "bytes of a torn record");
    records.into_iter().map(|record| Event::decode(record).unwrap()).collect()
}

/// A line for every value, in the order of the file. Floats by their bits, so that NaN equals NaN.
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
fn scalars_and_histograms_are_those_of_an_independent_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (own, oracle) = (folder.path().join("own"), folder.path().join("oracle"));
    let mut logger = TensorBoardLogger::new(&own);
    let mut writer = SummaryWriter::new(&oracle);

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
        writer.add_scalar(tag, value as f32, step as usize);
    }
    let samples = (0..1000).map(|i| f64::from(i * i % 997) / 100.0 - 3.0);
    for (histogram, step) in [(Histogram::from_samples(samples).unwrap(), 5), (Histogram::from_samples([0.0]).unwrap(), 6)] {
        logger.log_histogram("weights", &histogram, Some(step)).unwrap();
        let stats = histogram.stats();
        let (limits, counts) = (histogram.limits(), histogram.counts());
        writer.add_histogram_raw(
            "weights",
            stats.min,
            stats.max,
            histogram.num(),
            stats.sum,
            stats.sum_squares,
            limits,
            counts,
            step as usize,
        );
    }
    logger.finalize(Status::Success).unwrap();
    let own = logger.log_dir().unwrap();
    // Its thread ends, and with it the file, when it is dropped.
    drop((logger, writer));

    let (own, oracle) = (flat(&events_in(&own)), flat(&events_in(&oracle)));
    assert_eq!(own.len(), 1 + scalars.len() + 2);
    assert_eq!(own, oracle);
}
