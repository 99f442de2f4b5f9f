//! Logs every kind of value to `TensorBoard`, with one kill in between, and writes the expected values as JSON:
//! `cargo run -p stormfire-loggers --features plotters,rasterize --example tensorboard_sample -- FOLDER EXPECTED.json`.

use serde_json::{Value, json};
use stormfire_loggers::plotters::prelude::*;
use stormfire_loggers::tensorboard::{Chart, Embedding, Layout};
use stormfire_loggers::{
    Audio, Error, Figure, Graph, Histogram, Hyperparams, Image, Logger, Metrics, Node, Result, Status, Table, TensorBoardLogger, Text,
};

const RATE: u32 = 8000;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = || Error::other("usage: tensorboard_sample FOLDER EXPECTED.json");
    let (folder, expected) = (arguments.next().ok_or_else(usage)?, arguments.next().ok_or_else(usage)?);
    let new = || TensorBoardLogger::new(&folder).name("").version("run");

    let mut killed = new();
    let hparams = hparams(&mut killed)?;
    let mut scalars = [Vec::new(), Vec::new(), Vec::new()];
    log_scalars(&mut killed, 0..10, &mut scalars)?;
    let media = json!({
        "images": images(&mut killed)?,
        "grids": grids(&mut killed)?,
        "histograms": histograms(&mut killed)?,
        "texts": texts(&mut killed)?,
        "audio": audio(&mut killed)?,
    });
    let position = killed.position()?;
    // All of this is lost with the process. Some of it is logged again.
    log_scalars(&mut killed, 10..15, &mut scalars.each_ref().map(Vec::clone))?;
    killed.log_scalars("losses", &[("late", 1.0)].into(), Some(12))?;
    killed.log_text("lost", &Text::new("never seen"), Some(12))?;
    drop(killed);

    let mut logger = new();
    logger.resume(position)?;
    log_scalars(&mut logger, 10..20, &mut scalars)?;
    let own = json!({
        "figures": figures(&mut logger)?,
        "pr_curves": pr_curves(&mut logger)?,
        "embeddings": embedding(&mut logger)?,
        "meshes": meshes(&mut logger)?,
        "graph": graph(&mut logger)?,
        "layout": layout(&mut logger)?,
    });
    logger.finalize(Status::Success)?;
    let [loss, train, val] = scalars;
    let mut all = json!({
        "hparams": hparams,
        "scalars": {"loss": loss},
        "groups": {"losses": {"train": train, "val": val}},
        "special": {"special/nan": "NaN", "special/infinity": "Infinity"},
    });
    for part in [media, own] {
        for (key, value) in part.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
    }
    Ok(std::fs::write(expected, all.to_string())?)
}

/// Pseudo-random numbers in 0..1.
fn noise(seed: u32) -> impl Iterator<Item = f32> {
    std::iter::successors(Some(seed.wrapping_mul(2_654_435_761) | 1), |state| {
        Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    })
    .map(|state| (state >> 8) as f32 / (1 << 24) as f32)
    .skip(1)
}

fn hparams(logger: &mut TensorBoardLogger) -> Result<Value> {
    let params = json!({"lr": 0.001, "width": 32, "bias": true, "optimizer": "adam", "net": {"dropout": 0.5}});
    logger.log_hyperparams(&Hyperparams::from_serialize(&params)?, &[("hp/accuracy", 0.0)].into())?;
    logger.log_metrics(&[("hp/accuracy", 0.75), ("special/nan", f64::NAN), ("special/infinity", f64::INFINITY)].into(), Some(1))?;
    let types = json!({
        "lr": "DATA_TYPE_FLOAT64", "width": "DATA_TYPE_FLOAT64", "bias": "DATA_TYPE_BOOL",
        "optimizer": "DATA_TYPE_STRING", "net/dropout": "DATA_TYPE_FLOAT64",
    });
    let values = json!({"lr": 0.001, "width": 32.0, "bias": true, "optimizer": "adam", "net/dropout": 0.5});
    Ok(json!({"types": types, "values": values, "metrics": {"hp/accuracy": 0.75}}))
}

fn log_scalars(logger: &mut TensorBoardLogger, steps: std::ops::Range<u16>, into: &mut [Vec<(u16, f32)>; 3]) -> Result<()> {
    for step in steps {
        let values = [1.0 / f32::from(step + 1), 0.9_f32.powi(step.into()), 0.1 + 0.8_f32.powi(step.into())];
        let [loss, train, val] = values.map(f64::from);
        logger.log_metrics(&[("loss", loss)].into(), Some(step.into()))?;
        logger.log_scalars("losses", &Metrics::from([("train", train), ("val", val)]), Some(step.into()))?;
        into.iter_mut().zip(values).for_each(|(points, value)| points.push((step, value)));
    }
    Ok(())
}

fn image(number: u32, width: u32, height: u32, channels: u8) -> Result<Image> {
    let pixel = |at: u32, channel: u32| {
        let (x, y) = (at % width, at / width);
        (x * 255 / width).wrapping_add(y * 120 / height * channel).wrapping_add(number * 40) as u8
    };
    let pixels = (0..width * height).flat_map(|at| (0..u32::from(channels)).map(move |channel| (at, channel)));
    // The alpha channel stays visible.
    let pixels = pixels.map(|(at, channel)| if channel == 3 { 200 } else { pixel(at, channel) });
    Image::new(width, height, channels, pixels.collect())
}

fn described(image: &Image) -> Value {
    json!({"width": image.width(), "height": image.height(), "channels": image.channels(), "pixels": image.pixels()})
}

fn images(logger: &mut TensorBoardLogger) -> Result<Value> {
    let mut expected = json!({});
    for (name, channels) in [("image/grey", 1), ("image/rgb", 3), ("image/rgba", 4)] {
        let image = image(1, 48, 32, channels)?;
        logger.log_image(name, &image, Some(3))?;
        expected[name] = described(&image);
    }
    Ok(expected)
}

/// Several images as one: with `log_images`, and with `Image::grid` and the defaults of torchvision.
fn grids(logger: &mut TensorBoardLogger) -> Result<Value> {
    let tiles: Vec<Image> = (0..11).map(|number| image(number, 20, 12, 1)).collect::<Result<_>>()?;
    logger.log_images("grid/add_images", &tiles, Some(4))?;
    logger.log_image("grid/make_grid", &Image::grid(&tiles, 4, 2, 255)?, Some(4))?;
    let tiles: Vec<Value> = tiles.iter().map(described).collect();
    Ok(json!({
        "grid/add_images": {"tiles": tiles, "columns": 8, "padding": 0, "pad_value": 0},
        "grid/make_grid": {"tiles": tiles, "columns": 4, "padding": 2, "pad_value": 255},
    }))
}

fn histograms(logger: &mut TensorBoardLogger) -> Result<Value> {
    let edges = [-1.0, -0.5, 0.0, 0.25, 0.5, 1.0];
    let mut expected = json!({"histogram/torch": [], "histogram/edges": []});
    for step in 0..5_u16 {
        // The sum of several numbers has a bell-shaped distribution.
        let numbers: Vec<f32> = noise(step.into()).take(4000).collect();
        let samples: Vec<f64> = numbers.chunks(4).map(|chunk| f64::from(chunk.iter().sum::<f32>() - 2.0) / f64::from(step + 1)).collect();
        logger.log_histogram("histogram/torch", &Histogram::from_samples(samples.iter().copied())?, Some(step.into()))?;
        logger.log_histogram("histogram/edges", &Histogram::with_edges(samples.iter().copied(), &edges)?, Some(step.into()))?;
        for (tag, edges) in [("histogram/torch", Value::Null), ("histogram/edges", json!(edges))] {
            if let Some(list) = expected[tag].as_array_mut() {
                list.push(json!({"step": step, "samples": samples, "edges": edges}));
            }
        }
    }
    Ok(expected)
}

fn texts(logger: &mut TensorBoardLogger) -> Result<Value> {
    let notes = ["**bold** and `code`", "second ä−λ"];
    for (step, note) in notes.into_iter().enumerate() {
        logger.log_text("note", &Text::new(note), Some(step as u64))?;
    }
    let table = Table::new(["label", "count"]).row(["seven|7".into(), 12.into()])?.row(["eight".into(), 9.5.into()])?;
    logger.log_table("table", &table, Some(2))?;
    Ok(json!({
        "note/text_summary": [[0, notes[0]], [1, notes[1]]],
        "table/text_summary": [[2, table.to_markdown()]],
    }))
}

fn audio(logger: &mut TensorBoardLogger) -> Result<Value> {
    let tone = |hertz: f32, frame: u32| 1.2 * (frame as f32 / RATE as f32 * hertz * std::f32::consts::TAU).sin();
    let mut expected = json!({});
    for (tag, channels) in [("audio/mono", 1_u16), ("audio/stereo", 2)] {
        let planes: Vec<f32> =
            (1..=channels).flat_map(|channel| (0..RATE).map(move |frame| tone(220.0 * f32::from(channel), frame))).collect();
        let audio = Audio::from_planes(RATE, channels, &planes)?;
        logger.log_audio(tag, &audio, Some(2))?;
        expected[tag] = json!({"rate": RATE, "channels": channels, "samples": audio.samples()});
    }
    Ok(expected)
}

fn figures(logger: &mut TensorBoardLogger) -> Result<Value> {
    let figure = Figure::draw((480, 320), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption("accuracy (größer ist besser)", ("sans-serif", 20))
            .margin(10)
            .x_label_area_size(36)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..20.0, 0.0..1.0)?;
        chart.configure_mesh().x_desc("epoch").y_desc("accuracy").draw()?;
        let points = |rate: f64| (0..=20).map(move |epoch| (f64::from(epoch), 1.0 - rate.powi(epoch)));
        chart
            .draw_series(LineSeries::new(points(0.8), &BLUE))?
            .label("train")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLUE));
        chart
            .draw_series(points(0.85).map(|point| Circle::new(point, 3, RED.filled())))?
            .label("val")
            .legend(|(x, y)| Circle::new((x + 8, y), 3, RED.filled()));
        chart.configure_series_labels().background_style(WHITE).border_style(BLACK).position(SeriesLabelPosition::LowerRight).draw()?;
        Ok(())
    })?;
    logger.log_figure("figure/svg", &figure, Some(15))?;
    let picture = image(2, 30, 20, 3)?;
    logger.log_figure("figure/png", &Figure::png(picture.to_png()?)?, Some(15))?;
    Ok(json!({"figure/svg": {"width": 480, "height": 320}, "figure/png": {"width": 30, "height": 20}}))
}

fn pr_curves(logger: &mut TensorBoardLogger) -> Result<Value> {
    let mut expected = Vec::new();
    for step in 0..4_u8 {
        let predictions: Vec<f32> = noise(100 + u32::from(step)).take(500).collect();
        let doubt = noise(200).map(|doubt| doubt * (1.0 - f32::from(step) / 5.0));
        let labels: Vec<bool> = predictions.iter().zip(doubt).map(|(prediction, doubt)| *prediction > 0.3 + 0.5 * doubt).collect();
        logger.log_pr_curve("is_seven", &labels, &predictions, 127, Some(step.into()))?;
        expected.push(json!({"step": step, "labels": labels, "predictions": predictions, "thresholds": 127}));
    }
    Ok(json!({"is_seven": expected}))
}

fn embedding(logger: &mut TensorBoardLogger) -> Result<Value> {
    let (points, dimensions) = (50, 5);
    let values: Vec<f32> =
        noise(7).take(points * dimensions).enumerate().map(|(at, value)| value + ((at / dimensions) % 3) as f32 * 2.0).collect();
    let names: Vec<[String; 2]> = (0..points).map(|point| [format!("class {}", point % 3), point.to_string()]).collect();
    let tiles: Vec<Image> = (0..points).map(|point| image(point as u32 % 3 * 2, 24, 24, 1)).collect::<Result<_>>()?;
    let embedding = Embedding::new(dimensions, values.clone())?.columns(["class", "index"], names.clone())?.images(&tiles)?;
    logger.log_embedding("features/last", &embedding, Some(15))?;
    let rows: Vec<&[f32]> = values.chunks(dimensions).collect();
    Ok(
        json!({"features/last:00015": {"rows": rows, "columns": ["class", "index"], "metadata": names, "tiles": tiles.iter().map(described).collect::<Vec<_>>()}}),
    )
}

fn meshes(logger: &mut TensorBoardLogger) -> Result<Value> {
    let vertices: Vec<[f32; 3]> = (0..8_u8).map(|corner| [0, 1, 2].map(|axis| f32::from(corner >> axis & 1) - 0.5)).collect();
    let colors: Vec<[u8; 3]> = (0..8_u8).map(|corner| [0, 1, 2].map(|axis| (corner >> axis & 1) * 255)).collect();
    let faces = [
        [0, 2, 1],
        [1, 2, 3],
        [4, 5, 6],
        [5, 7, 6],
        [0, 1, 4],
        [1, 5, 4],
        [2, 6, 3],
        [3, 6, 7],
        [0, 4, 2],
        [2, 4, 6],
        [1, 3, 5],
        [3, 7, 5],
    ];
    logger.log_mesh("mesh/cube", &vertices, Some(&colors), Some(&faces), Some(16))?;
    let numbers: Vec<f32> = noise(9).take(600).map(|value| value * 2.0 - 1.0).collect();
    let cloud: Vec<[f32; 3]> = numbers.as_chunks().0.to_vec();
    logger.log_mesh("mesh/cloud", &cloud, None, None, Some(16))?;
    Ok(json!({
        "mesh/cube": {"VERTEX": vertices, "COLOR": colors, "FACE": faces},
        "mesh/cloud": {"VERTEX": cloud},
    }))
}

fn graph(logger: &mut TensorBoardLogger) -> Result<Value> {
    let nodes = [
        Node::new("input", "Placeholder").attribute("shape", "[64, 784]"),
        Node::new("net/hidden", "Linear").input("input").attribute("weight", "[784, 128]"),
        Node::new("net/relu", "Relu").input("net/hidden"),
        Node::new("net/output", "Linear").input("net/relu").attribute("weight", "[128, 10]"),
        Node::new("loss", "CrossEntropyLoss").input("net/output"),
    ];
    logger.log_graph(&Graph::new(nodes.clone()))?;
    let described = |node: &Node| {
        let attributes: serde_json::Map<String, Value> =
            node.attributes.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        json!({"name": node.name, "op": node.op, "inputs": node.inputs, "attributes": attributes})
    };
    Ok(nodes.iter().map(described).collect())
}

fn layout(logger: &mut TensorBoardLogger) -> Result<Value> {
    let lines = Chart::lines("loss and accuracy", ["loss", "hp/accuracy"]);
    logger.log_custom_scalars(
        &Layout::new().category("training", [lines]).category("band", [Chart::margin("loss", "loss", "loss", "loss")]),
    )?;
    Ok(json!([
        {"title": "training", "chart": [{"title": "loss and accuracy", "multiline": {"tag": ["loss", "hp/accuracy"]}}]},
        {"title": "band", "chart": [{"title": "loss", "margin": {"series": [{"value": "loss", "lower": "loss", "upper": "loss"}]}}]},
    ]))
}
