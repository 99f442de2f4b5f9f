//! The [`Logger`] implementation for W&B.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value, json};
use stormfire_store::folder::absolute;

use super::artifact::{Bundle, Part};
use super::entry::Entry;
use super::items::Items;
use super::media::{self, Media};
use super::settings::Mode;
use super::sink::Sink;
use super::{Position, WandbLogger};
use crate::logger::LONGEST_CALL;
use crate::parts::identity::now_s;
use crate::parts::position;
use crate::{
    Artifact, Audio, CheckpointInfo, ConsoleStream, Delivery, Figure, Graph, Histogram, Hyperparams, Image, Logger, Metrics, Result,
    Status, Table, Text,
};

impl Logger for WandbLogger {
    /// The name of the project.
    fn name(&self) -> &str {
        &self.settings.project
    }

    /// The id of the run.
    fn version(&self) -> String {
        self.settings.id.clone()
    }

    /// Includes the [`patience`](Self::patience) for an unreachable server.
    fn longest_call(&self) -> Duration {
        LONGEST_CALL + self.settings.patience.time()
    }

    fn save_dir(&self) -> Option<PathBuf> {
        Some(self.settings.save_dir.clone())
    }

    /// The folder of the run, after the first offline value.
    fn log_dir(&self) -> Option<PathBuf> {
        self.sink.as_ref()?.dir()
    }

    fn another(&self) -> Option<Box<dyn Logger>> {
        let mut another = Self::from_settings(self.settings.another());
        another.rows = self.rows.another();
        another.models = self.models.another();
        Some(Box::new(another))
    }

    fn will_resume(&mut self, position: &Value) {
        if let Some(id) = position["id"].as_str()
            && !self.settings.id_is_given
        {
            id.clone_into(&mut self.settings.id);
        }
    }

    fn check(&self) -> Result<()> {
        self.settings.check()
    }

    /// Checks the key, or the parent folder of an offline run. The run itself is created with the first value.
    fn open(&mut self) -> Result<()> {
        self.settings.save_dir = absolute(&self.settings.save_dir)?;
        self.settings.check()?;
        if self.settings.mode == Mode::Offline {
            fs_err::create_dir_all(self.settings.save_dir.join("wandb"))?;
        }
        Ok(())
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        self.add(metrics, step).map(drop)
    }

    /// One line each of the run's `output.log`.
    fn log_console(&mut self, stream: ConsoleStream, lines: &str) -> Result<()> {
        self.begin()?;
        for text in lines.lines() {
            let entry = Entry::Console { line: self.state.console, time: now_s(), stream, text: text.to_owned() };
            self.state.console += 1;
            self.push(entry)?;
        }
        Ok(())
    }

    /// Appears on the run's system page. The names are free. W&B's own names are `cpu`, `gpu.0.memory` and similar.
    fn log_system(&mut self, metrics: &Metrics) -> Result<()> {
        self.begin()?;
        let mut items = Items::default();
        for (name, value) in metrics.iter() {
            items.set(name, value);
        }
        let entry = Entry::System { line: self.state.system, time: now_s(), runtime: self.runtime(), items };
        self.state.system += 1;
        self.push(entry)
    }

    /// Nested settings stay nested, as W&B shows them. Skips initial metrics, as Lightning does.
    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
        let mut all = Hyperparams::from_serialize(&self.state.config)?;
        all.update(params.clone());
        let config: Map<String, Value> = all.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
        if self.sink.is_some() && config == self.state.config {
            return Ok(());
        }
        self.begin()?;
        self.state.config = config;
        self.push(Entry::Config(self.state.config.clone()))
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        self.log_media(tag, &Media::image(image)?, step)
    }

    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        self.log_value(tag, &media::histogram(histogram), step)
    }

    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        self.log_media(tag, &Media::text(text), step)
    }

    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        self.log_media(tag, &Media::audio(audio)?, step)
    }

    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        self.log_media(tag, &Media::figure(figure), step)
    }

    /// A file next to the row, and an artifact `run-ID-TAG` of type `run_table`, from which W&B shows it.
    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        let row = self.add(&Metrics::new(), step)?;
        let (name, media) = (self.named(tag), Media::table(table));
        let mut value = self.keep(&name, &media, row)?;
        let file = format!("{}.table.json", media::safe(&name));
        let mut renamed = None;
        if let Some(sink) = self.sink.as_mut().filter(|_| self.settings.mode != Mode::Disabled) {
            let local = sink.keep(&format!("media/table/{file}"), &media.bytes)?;
            let parts = vec![Part::of(file.clone(), &media.bytes, local)];
            let wanted = format!("run-{}-{name}", self.settings.id);
            let bundle = Bundle::new("run_table", &wanted, parts);
            renamed = Some((wanted, bundle.clone()));
            for (key, version) in
                [("artifact_path", bundle.client_id.clone()), ("_latest_artifact_path", format!("{}:latest", bundle.sequence_client_id))]
            {
                value.insert(key.to_owned(), json!(format!("wandb-client-artifact://{version}/{file}")));
            }
            sink.push(Entry::Artifact(bundle))?;
        }
        if let Some((wanted, bundle)) = renamed {
            self.tell_name(&wanted, &bundle);
        }
        self.state.media.set_json(name, &value.into());
        Ok(())
    }

    /// A new version of the artifact with that name, with the alias `latest` and the given ones. Offline, the run keeps
    /// a copy.
    fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        self.begin()?;
        if self.settings.mode == Mode::Disabled {
            return Ok(());
        }
        let bundle = Bundle::of(artifact)?;
        self.tell_name(artifact.name(), &bundle);
        self.push(Entry::Artifact(bundle))
    }

    /// The structure of the model as a separate row, in the column `graph`.
    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        self.log_media("graph", &Media::graph(graph), None)
    }

    fn delivery(&self) -> Option<Delivery> {
        self.sink.as_ref().and_then(Sink::delivery)
    }

    /// The row of the last step stays open.
    fn save(&mut self) -> Result<()> {
        let Some(mut sink) = self.sink.take() else { return Ok(()) };
        let outcome = match &mut sink {
            Sink::Offline(offline) => offline.flush(&self.tail()),
            Sink::Online(online) => online.flush(self.open_row()),
            Sink::Nowhere => Ok(()),
        };
        self.sink = Some(sink);
        outcome
    }

    fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.models.known(checkpoint);
        Ok(())
    }

    fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        let models = self.models.saved(checkpoint);
        self.keep_models(&models)
    }

    /// Ends the run on W&B. Later values, such as those of a test after a fit, continue it.
    fn finalize(&mut self, status: Status) -> Result<()> {
        let models = self.models.ended();
        self.keep_models(&models)?;
        if self.sink.is_none() {
            return Ok(());
        }
        let code = match status {
            Status::Success => 0,
            Status::Failed => 1,
            // The exit code of Python's client after Ctrl-C.
            Status::Interrupted => 255,
        };
        if !matches!(self.sink, Some(Sink::Online(_))) {
            self.ended = Some(code);
            return self.save();
        }
        if let Some(row) = self.rows.take() {
            self.close(&row)?;
        }
        if self.ended != Some(code) {
            self.ended = Some(code);
            let runtime = self.runtime();
            self.push(Entry::Exit { code, runtime })?;
        }
        self.save()?;
        if let Some(Sink::Online(online)) = &mut self.sink { online.settle() } else { Ok(()) }
    }

    fn position(&mut self) -> Result<Value> {
        self.place()?;
        self.save()?;
        let (id, runtime, state, open) = (self.settings.id.clone(), self.runtime(), self.state.clone(), self.rows.open());
        let Some(sink) = &mut self.sink else { return Ok(Value::Null) };
        position::save(&Position { id, runtime, state, open, place: sink.position()? })
    }

    fn position_names_run(&self) -> bool {
        true
    }

    /// Continues the run of the position, even if this logger has another id, unless that id was given.
    fn resume(&mut self, position: Value) -> Result<()> {
        let Some(position) = position::load::<Position>(position, &self.settings.save_dir) else { return Ok(()) };
        if self.settings.id_is_given && self.settings.id != position.id {
            position::misfit(&self.settings.save_dir, "the position is of a run with another id");
            return Ok(());
        }
        self.settings.id = position.id;
        self.started = now_s() - position.runtime;
        self.state = position.state;
        self.rows.reopen(position.open);
        self.sink = Sink::reopen(&self.settings, position.place)?;
        Ok(())
    }
}
