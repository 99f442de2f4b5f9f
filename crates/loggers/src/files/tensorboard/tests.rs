use std::collections::BTreeMap;

use prost::Message;
use serde_json::json;

use super::event::{Event, What};
use super::hparams::{Content, DataType, EndStatus, Kind, PluginData};
use super::record::tests::read;
use super::*;

fn events(logger: &TensorBoardLogger) -> Vec<Event> {
    let bytes = fs_err::read(logger.path().unwrap()).unwrap();
    read(&bytes).unwrap().iter().map(|record| Event::decode(&record[..]).unwrap()).collect()
}

fn values(logger: &TensorBoardLogger) -> Vec<(i64, Value)> {
    let summary = |event: Event| match event.what {
        Some(What::Summary(summary)) => summary.values.into_iter().map(|value| (event.step, value)).collect(),
        _ => Vec::new(),
    };
    events(logger).into_iter().flat_map(summary).collect()
}

fn scalars(logger: &TensorBoardLogger) -> Vec<(String, i64, f32)> {
    let scalar = |(step, value): (i64, Value)| match value.data {
        Some(Data::Scalar(number)) => Some((value.tag, step, number)),
        _ => None,
    };
    values(logger).into_iter().filter_map(scalar).collect()
}

fn plugin_data(logger: &TensorBoardLogger) -> BTreeMap<String, Content> {
    let content = |(_, value): (i64, Value)| {
        let plugin = value.metadata?.plugin?;
        assert_eq!(plugin.name, "hparams");
        Some((value.tag, PluginData::decode(&plugin.content[..]).unwrap().content?))
    };
    values(logger).into_iter().filter_map(content).collect()
}

#[test]
fn scalars_read_back_with_their_steps() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).prefix("run");
    logger.log_metrics(&[("loss", 0.1), ("acc", f64::INFINITY)].into(), Some(49)).unwrap();
    logger.log_metrics(&[("loss", f64::NAN)].into(), None).unwrap();
    logger.log_metrics(&Metrics::new(), Some(50)).unwrap();
    logger.log_metrics(&[("acc", 0.0)].into(), Some(u64::MAX)).unwrap();
    logger.save().unwrap();
    let found = scalars(&logger);
    assert_eq!(found[0], ("run-loss".to_owned(), 49, 0.1));
    assert_eq!(found[1], ("run-acc".to_owned(), 49, f32::INFINITY));
    assert!(found[2].2.is_nan() && found[2].1 == 0);
    assert_eq!(found[3], ("run-acc".to_owned(), i64::MAX, 0.0));
    assert_eq!(found.len(), 4);
    let events = events(&logger);
    assert_eq!(events[0].what, Some(What::FileVersion("brain.Event:2".to_owned())));
    assert!(events.is_sorted_by(|first, second| first.wall_time <= second.wall_time));
    assert!(events[0].wall_time > 1.6e9);
}

#[test]
fn hyperparameters_fill_the_hparams_tab_with_real_types() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).sub_dir("tb");
    let params = Hyperparams::from_serialize(&json!({"net": {"width": 32}, "lr": 0.1, "bias": true, "opt": "adam", "x": null}));
    logger.log_hyperparams(&params.unwrap(), &Metrics::new()).unwrap();
    assert!(!plugin_data(&logger).contains_key("_hparams_/session_end_info"));
    logger.finalize(Status::Interrupted).unwrap();
    logger.log_metrics(&[("test_acc", 0.5)].into(), Some(9)).unwrap();
    logger.finalize(Status::Success).unwrap();

    let data = plugin_data(&logger);
    let Content::Experiment(experiment) = &data["_hparams_/experiment"] else { panic!("{data:?}") };
    let infos: Vec<_> = experiment.params.iter().map(|info| (info.name.as_str(), info.data_type())).collect();
    let expected = [
        ("net/width", DataType::Float64),
        ("lr", DataType::Float64),
        ("bias", DataType::Bool),
        ("opt", DataType::String),
        ("x", DataType::String),
    ];
    assert_eq!(infos, expected);
    assert_eq!(experiment.metrics[0].name.as_ref().unwrap().tag, "hp_metric");
    let Content::Start(start) = &data["_hparams_/session_start_info"] else { panic!("{data:?}") };
    let kind = |name: &str| start.params[name].kind.clone().unwrap();
    assert_eq!([kind("net/width"), kind("lr"), kind("bias")], [Kind::Number(32.0), Kind::Number(0.1), Kind::Bool(true)]);
    assert_eq!([kind("opt"), kind("x")], [Kind::Text("adam".to_owned()), Kind::Text("null".to_owned())]);
    let Content::End(end) = &data["_hparams_/session_end_info"] else { panic!("{data:?}") };
    assert_eq!(end.status(), EndStatus::Failure);
    assert_eq!(scalars(&logger), [("hp_metric".to_owned(), 0, -1.0), ("test_acc".to_owned(), 9, 0.5)]);
    let yaml = logger.log_dir().unwrap().join("hparams.yaml");
    assert_eq!(yaml, folder.path().join("lightning_logs/version_0/tb/hparams.yaml"));
    assert!(fs_err::read_to_string(yaml).unwrap().starts_with("net:\n"));
}

#[test]
fn given_metrics_replace_hp_metric() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).prefix("p");
    logger.log_hyperparams(&Hyperparams::new(), &[("val_loss", 2.0)].into()).unwrap();
    logger.save().unwrap();
    assert_eq!(scalars(&logger), [("p-val_loss".to_owned(), 0, 2.0)]);
    let Content::Experiment(experiment) = &plugin_data(&logger)["_hparams_/experiment"] else { panic!() };
    assert_eq!(experiment.metrics[0].name.as_ref().unwrap().tag, "p-val_loss");
    let mut logger = TensorBoardLogger::new(folder.path()).default_hp_metric(false);
    logger.log_hyperparams(&Hyperparams::new(), &Metrics::new()).unwrap();
    logger.save().unwrap();
    assert_eq!(scalars(&logger), []);
}

#[test]
fn images_and_histograms_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path());
    let image = Image::new(2, 1, 3, vec![255, 0, 0, 0, 255, 0]).unwrap();
    logger.log_image("sample", &image, Some(3)).unwrap();
    let histogram = Histogram::from_samples([1.0, 2.0, 4.0]).unwrap();
    logger.log_histogram("weights", &histogram, Some(4)).unwrap();
    logger.save().unwrap();
    let found = values(&logger);
    let Some(Data::Image(read)) = &found[0].1.data else { panic!("{found:?}") };
    assert_eq!((found[0].0, read.width, read.height, read.colorspace), (3, 2, 1, 3));
    assert_eq!(read.png, image.to_png().unwrap());
    let Some(Data::Histogram(read)) = &found[1].1.data else { panic!("{found:?}") };
    assert_eq!((found[1].0, read.min, read.max, read.num, read.sum, read.sum_squares), (4, 1.0, 4.0, 3.0, 7.0, 21.0));
    assert_eq!((&read.limits[..], &read.counts[..]), (histogram.limits(), histogram.counts()));
}

#[test]
fn an_artifact_is_refused_as_unsupported() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path());
    let error = logger.log_artifact(&crate::Artifact::new("report.pdf")).unwrap_err();
    assert_eq!(error.to_string(), "logger `lightning_logs` does not support artifacts");
}

#[test]
fn two_loggers_in_one_folder_keep_their_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path());
    let mut loggers = [TensorBoardLogger::in_dir(run.clone()), TensorBoardLogger::in_dir(run)];
    for (logger, value) in loggers.iter_mut().zip([1.0, 2.0]) {
        logger.open().unwrap();
        logger.open().unwrap();
        logger.log_metrics(&[("loss", value)].into(), Some(0)).unwrap();
        logger.save().unwrap();
    }
    assert_ne!(loggers[0].path(), loggers[1].path());
    assert_eq!(scalars(&loggers[0]), [("loss".to_owned(), 0, 1.0)]);
    assert_eq!(scalars(&loggers[1]), [("loss".to_owned(), 0, 2.0)]);
}
