//! Turns logged values into entries.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::{Entry, Number, RunStatus};
use super::sink::{self, Settings, Sink};
use super::tracking_uri::Place;
use super::{MlflowLogger, keys, media, models};
use crate::logger::LONGEST_CALL;
use crate::parts::prefix::prefixed;
use crate::parts::random::random_hex;
use crate::parts::{identity, position};
use crate::{
    Artifact, Audio, CheckpointInfo, Delivery, Figure, FigureFormat, Graph, Histogram, Hyperparams, Image, Logger, Metrics, Result, Status,
    Table, Text,
};

/// Maximum number of values per entry.
const VALUES: usize = 500;

/// See [`Logger::position`].
#[derive(Serialize, Deserialize)]
struct Position {
    sink: sink::Position,
    tables: Vec<String>,
    models: Vec<Value>,
    time: u64,
}

impl MlflowLogger {
    /// The destination for a value. Sets an ended run to running.
    fn running(&mut self) -> Result<&mut Sink> {
        if std::mem::take(&mut self.ended) {
            self.sink()?.push(&Entry::Status { status: RunStatus::Running, end: None })?;
        }
        self.sink()
    }

    /// Whether the server received the value before the run was resumed.
    fn is_delivered(&mut self, name: &str, step: u64) -> bool {
        if self.delivered.is_empty() {
            return false;
        }
        let of = (name.to_owned(), step);
        let Some(count) = self.delivered.get_mut(&of) else { return false };
        *count -= 1;
        if *count == 0 {
            self.delivered.remove(&of);
        }
        true
    }

    /// Records a medium as a separate file, identified by its kind and tag.
    fn medium(&mut self, of: (&str, &str, &str), step: Option<u64>, bytes: &[u8]) -> Result<()> {
        let to = self.file_of(of, step);
        self.record(to, step, bytes)
    }

    fn file_of(&mut self, (kind, tag, extension): (&str, &str, &str), step: Option<u64>) -> String {
        let folder = self.fitter.folder(&self.settings.experiment, tag);
        media::file_name(kind, &folder, step, extension)
    }

    fn record(&mut self, to: String, step: Option<u64>, bytes: &[u8]) -> Result<()> {
        let of = (format!("@{to}"), step.unwrap_or(0));
        if self.is_delivered(&of.0, of.1) {
            return Ok(());
        }
        self.running()?.put(to, bytes, Some(of))
    }

    /// Registers a folder of artifacts as a model.
    fn list_model(&mut self, folder: &str, data: &str) -> Result<()> {
        let model = models::describe(folder, data);
        self.sink()?.put(format!("{folder}/{}", models::FILE), models::file(&model)?.as_bytes(), None)?;
        models::add(&mut self.listed_models, model);
        let value = media::list_tag(&self.listed_models);
        self.sink()?.push(&Entry::Tag { key: models::TAG.to_owned(), value })
    }
}

impl Logger for MlflowLogger {
    /// The name of the experiment.
    fn name(&self) -> &str {
        &self.settings.experiment
    }

    /// The id of the run. Before the server was reached it is the name of the run, or a random string, which is also in
    /// the tag `stormfire.id`.
    fn version(&self) -> String {
        let resumed = self.resumed.clone();
        resumed.or_else(|| self.run_id()).or_else(|| self.settings.run_name.clone()).unwrap_or_else(|| self.id.clone())
    }

    /// Includes the [`patience`](Self::patience) for an unreachable server.
    fn longest_call(&self) -> Duration {
        LONGEST_CALL + self.settings.patience.time()
    }

    /// The folder of the file store.
    fn save_dir(&self) -> Option<PathBuf> {
        match self.settings.place() {
            Ok(Place::Folder(root)) => Some(root),
            _ => None,
        }
    }

    fn another(&self) -> Option<Box<dyn Logger>> {
        let settings = Settings { existing: None, ..self.settings.clone() };
        Some(Box::new(Self { settings, prefix: self.prefix.clone(), models: self.models.another(), ..Self::new() }))
    }

    fn will_resume(&mut self, position: &Value) {
        if let Ok(Position { sink, .. }) = crate::value::json::from_value(position.clone()) {
            self.resumed = match sink {
                sink::Position::Files(files) => Some(files.run),
                sink::Position::Server { run, .. } => run.map(|run| run.run_id),
            };
        }
    }

    fn check(&self) -> Result<()> {
        self.settings.place().map(drop)
    }

    fn open(&mut self) -> Result<()> {
        self.settings.fix_place()?;
        if self.resumed.is_some() { Ok(()) } else { self.sink().map(drop) }
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        let (step, time) = (step.unwrap_or(0), identity::now_ms());
        let mut values = Vec::with_capacity(metrics.len());
        let mut name = String::new();
        for (metric, value) in metrics.iter() {
            prefixed(&self.prefix, metric, &mut name);
            let key = self.fitter.key(&self.settings.experiment, &name);
            if !self.is_delivered(&key, step) {
                values.push((key, Number(value)));
            }
        }
        let sink = self.running()?;
        while !values.is_empty() {
            let rest = values.split_off(values.len().min(VALUES));
            sink.push(&Entry::Metrics { step, time, values })?;
            values = rest;
        }
        Ok(())
    }

    /// Skips initial metrics, because their first real values will follow.
    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
        for (name, value) in params.flatten("/") {
            let key = self.fitter.key(&self.settings.experiment, &name);
            let value = self.fitter.param(&self.settings.experiment, &key, &value.to_string());
            self.running()?.push(&Entry::Param { key, value })?;
        }
        Ok(())
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        let step = step.unwrap_or(0);
        // No metric name contains this character.
        let of = format!("@images/{tag}");
        if self.is_delivered(&of, step) {
            return Ok(());
        }
        // The time distinguishes the images of a file store when a run is resumed.
        self.time = identity::now_ms().max(self.time + 1);
        let [name, small_name] = media::image_names(tag, step, self.time, &random_hex(32));
        let full = image.to_png()?;
        let small = media::small(image)?.map(|small| small.to_png()).transpose()?;
        let small = small.as_ref().unwrap_or(&full);
        if !std::mem::replace(&mut self.tagged_images, true) {
            self.set_tag(media::IMAGES_TAG, "True")?;
        }
        let sink = self.running()?;
        // The full image is remembered and comes last. A kill between the two repeats the image.
        sink.put(small_name, small, None)?;
        sink.put(name, &full, Some((of, step)))
    }

    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        self.medium(("histograms", tag, "json"), step, &media::histogram(histogram))
    }

    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        self.medium(("texts", tag, "md"), step, text.markdown.as_bytes())
    }

    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        self.medium(("audio", tag, "wav"), step, &audio.to_wav()?)
    }

    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        let extension = match figure.format() {
            FigureFormat::Svg => "svg",
            FigureFormat::Png => "png",
        };
        self.medium(("figures", tag, extension), step, figure.bytes())
    }

    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        let path = self.file_of(("tables", tag, "json"), step);
        self.record(path.clone(), step, &media::table(table))?;
        if self.tables.contains(&path) {
            return Ok(());
        }
        self.tables.push(path);
        let listed = media::tables_tag(&self.tables);
        self.sink()?.push(&Entry::Tag { key: media::TABLES_TAG.to_owned(), value: listed })
    }

    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        self.record("graph.txt".to_owned(), None, graph.to_text().as_bytes())
    }

    /// A file, or all files of a folder, with their names. A file with aliases or metadata gets a separate folder (its
    /// name without extension), with `aliases.txt` and `metadata.yaml`, as Lightning stores checkpoints. So does a file
    /// of the kind `model`, with the `MLmodel` file that identifies models in MLflow.
    fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        let is_folder = fs_err::metadata(artifact.path())?.is_dir();
        let is_model = artifact.is_model();
        let described = is_model || !artifact.aliases().is_empty() || !artifact.known().is_empty();
        let name = artifact.name();
        let stem = Path::new(name).file_stem().map_or(name.into(), |stem| stem.to_string_lossy());
        let folder = artifact.folder().trim_matches('/');
        let home = match (is_folder, described) {
            (true, _) => format!("{folder}/{name}"),
            (false, true) if !folder.ends_with(&*stem) => format!("{folder}/{stem}"),
            (false, _) => folder.to_owned(),
        };
        let place = |name: &str| keys::folder(&format!("{home}/{name}"));
        for (from, below) in artifact.files()? {
            let to = place(if is_folder { &below } else { name });
            self.sink()?.put_file(to, std::path::absolute(from)?, is_model)?;
        }
        if described {
            let aliases = media::aliases(artifact.aliases());
            self.sink()?.put(place("aliases.txt"), aliases.as_bytes(), None)?;
            let metadata = media::metadata(artifact.known(), name)?;
            self.sink()?.put(place("metadata.yaml"), metadata.as_bytes(), None)?;
        }
        // A folder with that file was created by MLflow.
        if is_model && !artifact.path().join(models::FILE).exists() {
            self.list_model(&keys::folder(&home), if is_folder { "." } else { name })?;
        }
        Ok(())
    }

    fn delivery(&self) -> Option<Delivery> {
        self.sink.as_ref().and_then(Sink::delivery)
    }

    fn save(&mut self) -> Result<()> {
        self.sink.as_mut().map_or(Ok(()), Sink::save)
    }

    /// Sets the status of the run and waits for the server. See [`MlflowLogger::patience`].
    fn finalize(&mut self, status: Status) -> Result<()> {
        self.models.ended().iter().try_for_each(|model| self.log_artifact(model))?;
        let entry = Entry::Status { status: status.into(), end: Some(identity::now_ms()) };
        let sink = self.sink()?;
        sink.push(&entry)?;
        sink.settle()?;
        self.ended = true;
        Ok(())
    }

    fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.models.known(checkpoint);
        Ok(())
    }

    fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.models.saved(checkpoint).iter().try_for_each(|model| self.log_artifact(model))
    }

    fn position(&mut self) -> Result<Value> {
        let (known, time) = (self.known(), self.time);
        let (tables, models) = (self.tables.clone(), self.listed_models.clone());
        let sink = self.sink()?.position(known, time)?;
        position::save(&Position { sink, tables, models, time })
    }

    fn position_names_run(&self) -> bool {
        true
    }

    fn resume(&mut self, position: Value) -> Result<()> {
        self.sink()?;
        let Some(Position { sink: to, tables, models, time }) = position::load(position, &self.settings.save_dir) else { return Ok(()) };
        let Self { sink: Some(sink), settings, learnt, .. } = self else { return Ok(()) };
        let Some(delivered) = sink.resume(&to, settings, learnt)? else { return Ok(()) };
        (self.tables, self.listed_models, self.time, self.ended) = (tables, models, time, true);
        for entry in delivered {
            let again: Vec<(String, u64)> = match entry {
                Entry::Metrics { step, values, .. } => values.into_iter().map(|(key, _)| (key, step)).collect(),
                Entry::File { of: Some(of), .. } => vec![of],
                _ => Vec::new(),
            };
            for of in again {
                *self.delivered.entry(of).or_default() += 1;
            }
        }
        Ok(())
    }
}
