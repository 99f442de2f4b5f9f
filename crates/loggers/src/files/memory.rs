//! A logger for tests, which keeps every call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::{
    Artifact, Audio, CheckpointInfo, ConsoleStream, Figure, Graph, Histogram, Hyperparams, Image, Logger, Metrics, PrCurve, Result, Status,
    Table, Text,
};

/// One call of a [`MemoryLogger`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Call {
    /// [`Logger::open`].
    Open,
    /// [`Logger::log_metrics`].
    Metrics {
        /// The numbers.
        metrics: Metrics,
        /// Their step.
        step: Option<u64>,
    },
    /// [`Logger::log_hyperparams`].
    Hyperparams {
        /// The settings.
        params: Hyperparams,
        /// The metrics by which runs are compared.
        initial_metrics: Metrics,
    },
    /// [`Logger::log_image`].
    Image {
        /// The name.
        tag: String,
        /// The image.
        image: Image,
        /// Its step.
        step: Option<u64>,
    },
    /// [`Logger::log_histogram`].
    Histogram {
        /// The name.
        tag: String,
        /// The distribution.
        histogram: Histogram,
        /// Its step.
        step: Option<u64>,
    },
    /// [`Logger::log_text`].
    Text {
        /// The name.
        tag: String,
        /// The text.
        text: Text,
        /// Its step.
        step: Option<u64>,
    },
    /// [`Logger::log_audio`].
    Audio {
        /// The name.
        tag: String,
        /// The sound.
        audio: Audio,
        /// Its step.
        step: Option<u64>,
    },
    /// [`Logger::log_figure`].
    Figure {
        /// The name.
        tag: String,
        /// The drawing.
        figure: Figure,
        /// Its step.
        step: Option<u64>,
    },
    /// [`Logger::log_table`].
    Table {
        /// The name.
        tag: String,
        /// The table.
        table: Table,
        /// Its step.
        step: Option<u64>,
    },
    /// [`Logger::log_precision_recall`].
    PrecisionRecall {
        /// The name.
        tag: String,
        /// The curve.
        curve: PrCurve,
        /// Its step.
        step: Option<u64>,
    },
    /// [`Logger::log_artifact`].
    Artifact(Artifact),
    /// [`Logger::log_graph`].
    Graph(Graph),
    /// [`Logger::log_console`].
    Console {
        /// The stream of the lines.
        stream: ConsoleStream,
        /// The lines.
        lines: String,
    },
    /// [`Logger::log_system`].
    System(Metrics),
    /// [`Logger::save`]. Consecutive calls are kept as one, because a background thread saves at arbitrary times.
    Save,
    /// [`Logger::finalize`].
    Finalize(Status),
    /// [`Logger::after_save_checkpoint`].
    AfterSaveCheckpoint(CheckpointInfo),
    /// [`Logger::knows_checkpoint`].
    KnowsCheckpoint(CheckpointInfo),
}

/// Keeps every call in memory. Clones share the calls, so that a test can read those of a Trainer.
///
/// ```
/// use stormfire_loggers::{Logger, MemoryLogger};
/// let memory = MemoryLogger::new();
/// memory.clone().log_metrics(&[("loss", 0.5), ("epoch", 0.0)].into(), Some(49))?;
/// assert_eq!(memory.rows(), [("loss".to_owned(), 0.5, Some(49)), ("epoch".to_owned(), 0.0, Some(49))]);
/// let position = memory.clone().position()?;
/// memory.clone().log_metrics(&[("loss", 0.25)].into(), Some(99))?;
/// memory.clone().resume(position)?;
/// assert_eq!(memory.rows().len(), 2);
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryLogger {
    name: Arc<str>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Default for MemoryLogger {
    fn default() -> Self {
        Self { name: "memory".into(), calls: Arc::default() }
    }
}

impl MemoryLogger {
    /// Creates a logger named `memory` with version `0`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().clone()
    }

    /// The metrics of every [`Logger::log_metrics`], with their step.
    pub fn metrics(&self) -> Vec<(Metrics, Option<u64>)> {
        let of_call = |call: &Call| match call {
            Call::Metrics { metrics, step } => Some((metrics.clone(), *step)),
            _ => None,
        };
        self.lock().iter().filter_map(of_call).collect()
    }

    /// Every metric as (name, value, step).
    pub fn rows(&self) -> Vec<(String, f64, Option<u64>)> {
        let one_by_one =
            |(metrics, step): (Metrics, Option<u64>)| metrics.into_iter().map(move |(name, value)| (name.to_string(), value, step));
        self.metrics().into_iter().flat_map(one_by_one).collect()
    }

    /// Every status passed to [`Logger::finalize`].
    pub fn statuses(&self) -> Vec<Status> {
        let of_call = |call: &Call| match call {
            Call::Finalize(status) => Some(*status),
            _ => None,
        };
        self.lock().iter().filter_map(of_call).collect()
    }

    /// Removes all calls.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, call: Call) {
        self.lock().push(call);
    }
}

impl Logger for MemoryLogger {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> String {
        "0".to_owned()
    }

    fn open(&mut self) -> Result<()> {
        self.keep(Call::Open);
        Ok(())
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        self.keep(Call::Metrics { metrics: metrics.clone(), step });
        Ok(())
    }

    fn log_hyperparams(&mut self, params: &Hyperparams, initial_metrics: &Metrics) -> Result<()> {
        self.keep(Call::Hyperparams { params: params.clone(), initial_metrics: initial_metrics.clone() });
        Ok(())
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        self.keep(Call::Image { tag: tag.to_owned(), image: image.clone(), step });
        Ok(())
    }

    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        self.keep(Call::Histogram { tag: tag.to_owned(), histogram: histogram.clone(), step });
        Ok(())
    }

    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        self.keep(Call::Text { tag: tag.to_owned(), text: text.clone(), step });
        Ok(())
    }

    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        self.keep(Call::Audio { tag: tag.to_owned(), audio: audio.clone(), step });
        Ok(())
    }

    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        self.keep(Call::Figure { tag: tag.to_owned(), figure: figure.clone(), step });
        Ok(())
    }

    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        self.keep(Call::Table { tag: tag.to_owned(), table: table.clone(), step });
        Ok(())
    }

    fn log_precision_recall(&mut self, tag: &str, curve: &PrCurve, step: Option<u64>) -> Result<()> {
        self.keep(Call::PrecisionRecall { tag: tag.to_owned(), curve: curve.clone(), step });
        Ok(())
    }

    fn log_artifact(&mut self, artifact: &Artifact) -> Result<()> {
        self.keep(Call::Artifact(artifact.clone()));
        Ok(())
    }

    fn log_graph(&mut self, graph: &Graph) -> Result<()> {
        self.keep(Call::Graph(graph.clone()));
        Ok(())
    }

    fn log_console(&mut self, stream: ConsoleStream, lines: &str) -> Result<()> {
        self.keep(Call::Console { stream, lines: lines.to_owned() });
        Ok(())
    }

    fn log_system(&mut self, metrics: &Metrics) -> Result<()> {
        self.keep(Call::System(metrics.clone()));
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        let mut calls = self.lock();
        if calls.last() != Some(&Call::Save) {
            calls.push(Call::Save);
        }
        Ok(())
    }

    fn finalize(&mut self, status: Status) -> Result<()> {
        self.keep(Call::Finalize(status));
        Ok(())
    }

    /// The number of calls.
    fn position(&mut self) -> Result<Value> {
        Ok(self.lock().len().into())
    }

    /// Removes the calls after the position. If there are fewer, as in another process, all are kept.
    fn resume(&mut self, position: Value) -> Result<()> {
        if let Some(calls) = position.as_u64() {
            self.lock().truncate(calls as usize);
        }
        Ok(())
    }

    fn after_save_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.keep(Call::AfterSaveCheckpoint(checkpoint.clone()));
        Ok(())
    }

    fn knows_checkpoint(&mut self, checkpoint: &CheckpointInfo) -> Result<()> {
        self.keep(Call::KnowsCheckpoint(checkpoint.clone()));
        Ok(())
    }
}
