//! Media values, read back by our own reader. The official readers read the output of the sample program.

use prost::Message;

use super::event::{Data, Event, Value, What};
use super::graph::{AttributeValue, GraphDef};
use super::layout::{Content, LayoutMessage};
use super::record::tests::read;
use super::*;
use crate::Node;

fn values_in(path: &Path) -> Vec<(i64, Value)> {
    let summary = |record: &Vec<u8>| {
        let event = Event::decode(&record[..]).unwrap();
        match event.what {
            Some(What::Summary(summary)) => summary.values.into_iter().map(|value| (event.step, value)).collect(),
            _ => Vec::new(),
        }
    };
    read(&fs_err::read(path).unwrap()).unwrap().iter().flat_map(summary).collect()
}

fn values(logger: &mut TensorBoardLogger) -> Vec<(i64, Value)> {
    logger.save().unwrap();
    values_in(logger.path().unwrap())
}

/// The event files of a folder.
fn files_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn plugin(value: &Value) -> &str {
    value.metadata.as_ref().and_then(|metadata| metadata.plugin.as_ref()).map_or("", |plugin| &plugin.name)
}

fn tensor(value: &Value) -> &event::Tensor {
    let Some(Data::Tensor(tensor)) = &value.data else { panic!("{value:?}") };
    tensor
}

#[test]
fn texts_and_tables_are_markdown_and_named_once_for_their_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).prefix("p");
    logger.log_text("note", &Text::new("**hello**"), Some(1)).unwrap();
    logger.log_text("note", &Text::new("again"), Some(2)).unwrap();
    let table = Table::new(["label", "count"]).row(["seven".into(), 12.into()]).unwrap();
    logger.log_table("table", &table, None).unwrap();
    let found = values(&mut logger);
    let about: Vec<_> = found.iter().map(|(step, value)| (*step, &value.tag[..], plugin(value))).collect();
    assert_eq!(about, [(1, "p-note/text_summary", "text"), (2, "p-note/text_summary", ""), (0, "p-table/text_summary", "text")]);
    assert_eq!(tensor(&found[0].1).strings, [b"**hello**"]);
    assert_eq!(tensor(&found[2].1).strings, [table.to_markdown().into_bytes()]);
    assert_eq!(found[0].1.metadata.as_ref().unwrap().data_class, 2);
}

#[test]
fn sounds_figures_and_several_images_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path());
    let audio = Audio::new(8000, 2, vec![0.5; 20]).unwrap();
    logger.log_audio("tone", &audio, Some(3)).unwrap();
    let picture = Image::new(3, 2, 1, vec![7; 6]).unwrap();
    logger.log_figure("plot", &Figure::png(picture.to_png().unwrap()).unwrap(), Some(4)).unwrap();
    logger.log_images("samples", &[picture.clone(), picture], None).unwrap();
    let found = values(&mut logger);
    let Some(Data::Audio(sound)) = &found[0].1.data else { panic!("{found:?}") };
    assert_eq!((sound.sample_rate, sound.channels, sound.frames, &sound.encoded), (8000.0, 2, 10, &audio.to_wav().unwrap()));
    let sizes = |value: &Value| match &value.data {
        Some(Data::Image(image)) => (image.width, image.height, image.colorspace),
        other => panic!("{other:?}"),
    };
    assert_eq!([sizes(&found[1].1), sizes(&found[2].1)], [(3, 2, 1), (6, 2, 3)]);
    let error = logger.log_figure("broken", &Figure::png(b"\x89PNG\r\n\x1a\n".to_vec()).unwrap(), None).unwrap_err();
    insta::assert_snapshot!(error, @"invalid figure: unexpected end of file");
}

#[test]
fn a_drawing_in_svg_becomes_pixels_or_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path());
    let figure = Figure::svg(r#"<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"/>"#);
    let outcome = logger.log_figure("plot", &figure, None);
    if cfg!(feature = "rasterize") {
        outcome.unwrap();
        let found = values(&mut logger);
        let Some(Data::Image(image)) = &found[0].1.data else { panic!("{found:?}") };
        assert_eq!((image.width, image.height, image.colorspace), (30, 20, 4));
    } else {
        let error = outcome.unwrap_err().to_string();
        assert_eq!(error, "logger `lightning_logs` does not support SVG figures without the cargo feature `rasterize`");
    }
}

#[test]
fn other_plugins_get_their_data() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path());
    logger.log_pr_curve("curve", &[true, false], &[1.0, 0.0], 3, Some(1)).unwrap();
    logger.log_mesh("cloud", &[[0.0; 3]], Some(&[[1, 2, 3]]), None, Some(2)).unwrap();
    let layout = Layout::new().category("losses", [Chart::lines("both", ["a", "b"]), Chart::margin("m", "v", "l", "u")]);
    logger.log_custom_scalars(&layout).unwrap();
    let found = values(&mut logger);
    let about: Vec<_> = found.iter().map(|(_, value)| (&value.tag[..], plugin(value))).collect();
    let expected =
        [("curve", "pr_curves"), ("cloud_VERTEX", "mesh"), ("cloud_COLOR", "mesh"), ("custom_scalars__config__", "custom_scalars")];
    assert_eq!(about, expected);
    assert_eq!(tensor(&found[0].1).floats[..6], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
    let read = LayoutMessage::decode(&tensor(&found[3].1).strings[0][..]).unwrap();
    let charts = &read.categories[0].charts;
    let [Some(Content::Lines(lines)), Some(Content::Margins(margins))] = [&charts[0].content, &charts[1].content] else {
        panic!("{read:?}")
    };
    assert_eq!((&lines.tags[..], &margins.series[0].upper[..]), (&["a".to_owned(), "b".to_owned()][..], "u"));
}

#[test]
fn a_graph_keeps_names_inputs_and_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path());
    logger
        .log_graph(&Graph::new([Node::new("net/a", "Linear").attribute("weight", "[4, 2]"), Node::new("net/b", "Relu").input("net/a")]))
        .unwrap();
    logger.save().unwrap();
    let bytes = fs_err::read(logger.path().unwrap()).unwrap();
    let events = read(&bytes).unwrap();
    let Some(What::GraphDef(graph)) = Event::decode(&events[1][..]).unwrap().what else { panic!() };
    let graph = GraphDef::decode(&graph[..]).unwrap();
    let about: Vec<_> = graph.nodes.iter().map(|node| (&node.name[..], &node.op[..], node.inputs.len())).collect();
    assert_eq!(about, [("net/a", "Linear", 0), ("net/b", "Relu", 1)]);
    assert_eq!(graph.nodes[0].attributes["weight"].value, Some(AttributeValue::Bytes(b"[4, 2]".to_vec())));
}

#[test]
fn an_embedding_is_files_and_an_entry_for_each_tag_and_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).name("").version("run");
    let embedding = Embedding::new(2, vec![0.5, 1e-9, -3.0, 4.0]).unwrap();
    let with_columns = embedding.clone().columns(["label", "index"], [["a\tb", "0"], ["c", "1"]]).unwrap();
    let tile = Image::new(1, 1, 3, vec![9; 3]).unwrap();
    let complete = with_columns.images(&[tile.clone(), tile]).unwrap();
    for _ in 0..2 {
        logger.log_embedding("digits/all", &complete, Some(3)).unwrap();
    }
    logger.log_embedding("plain", &embedding.labels(["x", "y"]).unwrap(), None).unwrap();
    let read = |name: &str| fs_err::read_to_string(folder.path().join("run").join(name)).unwrap();
    assert_eq!(read("00003/digits%2fall/tensors.tsv"), "0.5\t0.000000001\n-3\t4\n");
    assert_eq!(read("00003/digits%2fall/metadata.tsv"), "label\tindex\na b\t0\nc\t1\n");
    assert_eq!(read("00000/plain/metadata.tsv"), "x\ny\n");
    assert_eq!(
        read("projector_config.pbtxt"),
        "embeddings {\n  tensor_name: \"digits/all:00003\"\n  tensor_path: \"00003/digits%2fall/tensors.tsv\"\n  \
         metadata_path: \"00003/digits%2fall/metadata.tsv\"\n  sprite {\n    image_path: \"00003/digits%2fall/sprite.png\"\n    \
         single_image_dim: 1\n    single_image_dim: 1\n  }\n}\nembeddings {\n  tensor_name: \"plain:00000\"\n  \
         tensor_path: \"00000/plain/tensors.tsv\"\n  metadata_path: \"00000/plain/metadata.tsv\"\n}\n"
    );
    let text = |result: Result<Embedding>| result.unwrap_err().to_string();
    assert_eq!(text(Embedding::new(2, vec![0.0; 3])), "invalid embedding: 3 values cannot be divided into points of 2 dimensions");
    assert_eq!(text(Embedding::new(1, vec![0.0; 3]).unwrap().labels(["a"])), "invalid embedding: 1 labels for 3 points");
}

#[test]
fn a_group_has_a_run_for_each_of_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).name("").version("run").prefix("p");
    logger.log_scalars("loss/all", &[("train", 1.0), ("../val", 2.0)].into(), Some(5)).unwrap();
    logger.log_scalars("loss/all", &[("train", 0.5)].into(), Some(6)).unwrap();
    logger.finalize(Status::Success).unwrap();
    let scalars = |name: &str| -> Vec<(i64, String, Option<Data>)> {
        let files = files_in(&folder.path().join("run").join(name));
        files.iter().flat_map(|path| values_in(path)).map(|(step, value)| (step, value.tag, value.data)).collect()
    };
    let tag = || "p-loss/all".to_owned();
    assert_eq!(scalars("p-loss_all_train"), [(5, tag(), Some(Data::Scalar(1.0))), (6, tag(), Some(Data::Scalar(0.5)))]);
    let folders = fs_err::read_dir(folder.path().join("run")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let odd: Vec<String> = folders.filter(|name| name.starts_with("p-loss_all_.._val-")).collect();
    assert_eq!(odd.len(), 1);
    assert_eq!(scalars(&odd[0]), [(5, tag(), Some(Data::Scalar(2.0)))]);
    assert_eq!(values(&mut logger), []);
}

#[test]
fn groups_and_embeddings_resume_with_their_run() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let new = || TensorBoardLogger::new(folder.path()).name("").version("run");
    let log = |logger: &mut TensorBoardLogger, names: &[&str], step: u64| {
        let values: Metrics = names.iter().map(|name| (*name, step as f64)).collect();
        logger.log_scalars("g", &values, Some(step)).unwrap();
        logger.log_text("note", &Text::new(step.to_string()), Some(step)).unwrap();
        logger.log_embedding("e", &Embedding::new(1, vec![step as f32]).unwrap(), Some(step)).unwrap();
        logger.save().unwrap();
    };
    let mut other = new();
    other.log_scalars("other", &[("a", 7.0)].into(), None).unwrap();
    other.save().unwrap();
    let mut killed = new();
    log(&mut killed, &["a", "b"], 1);
    let position = killed.position().unwrap();
    log(&mut killed, &["a", "b", "late"], 2);
    drop(killed);

    let mut continued = new();
    continued.open().unwrap();
    continued.resume(position).unwrap();
    let config = fs_err::read_to_string(run.join("projector_config.pbtxt")).unwrap();
    assert!(config.contains("00001/e/") && !config.contains("00002/e/"), "{config}");
    assert!(!run.join("g_late").exists());
    log(&mut continued, &["a", "late"], 3);
    let again = continued.position().unwrap();
    log(&mut continued, &["a", "b"], 4);
    drop(continued);
    let mut last = new();
    last.resume(again).unwrap();
    log(&mut last, &["a"], 5);

    let steps =
        |name: &str| -> Vec<i64> { files_in(&run.join(name)).iter().flat_map(|path| values_in(path)).map(|(step, _)| step).collect() };
    assert_eq!((steps("g_a"), steps("g_b"), steps("g_late"), steps("other_a")), (vec![1, 3, 5], vec![1], vec![3], vec![0]));
    // Every file names the plugin again, because a reader may read it first.
    let texts: Vec<_> =
        files_in(&run).iter().filter(|path| path.extension().is_none_or(|end| end != "pbtxt")).flat_map(|path| values_in(path)).collect();
    let found: Vec<_> = texts.iter().map(|(step, value)| (*step, plugin(value))).collect();
    assert_eq!(found, [(1, "text"), (3, "text"), (5, "text")]);
    let config = fs_err::read_to_string(run.join("projector_config.pbtxt")).unwrap();
    assert_eq!(config.matches("tensor_name").count(), 3, "{config}");
}

#[test]
fn a_position_names_nothing_outside_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = TensorBoardLogger::new(folder.path()).name("").version("run");
    let mut position = logger.position().unwrap();
    position["groups"] = serde_json::json!({"../elsewhere": {"files": [], "last_step": 3}});
    drop(logger);
    TensorBoardLogger::new(folder.path()).name("").version("run").resume(position).unwrap();
    assert!(!folder.path().join("elsewhere").exists());
}
