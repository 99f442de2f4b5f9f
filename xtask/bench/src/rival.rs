//! The same model with burn-train's Learner, which is a stronger competitor than a framework in Python.

use std::sync::Arc;

use burn::{
    data::{
        dataloader::{DataLoader, DataLoaderIterator, Progress},
        dataset::DatasetError,
    },
    module::Module,
    tensor::{Device, ExecutionError, Tensor},
    train::{
        InferenceStep, ItemLazy, Learner, LearnerSummary, SupervisedTraining, TrainOutput, TrainStep,
        logger::{EvaluationProgressLogger, TrainingProgressLogger},
        metric::{Adaptor, LossInput, LossMetric, MetricDefinition},
        renderer::{EvaluationName, MetricState, MetricsRenderer, MetricsRendererEvaluation, MetricsRendererTraining},
    },
};

use crate::tiny::{Batch, LR, Tiny, batch, optimizer};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Module, Debug)]
struct Model {
    tiny: Tiny,
}

/// The loss, in the form that its metric expects.
pub struct Output(Tensor<1>);

impl ItemLazy for Output {
    fn sync(self) -> Result<Self, ExecutionError> {
        Ok(self)
    }
}

impl Adaptor<LossInput> for Output {
    fn adapt(&self) -> LossInput {
        LossInput::new(self.0.clone())
    }
}

impl TrainStep for Model {
    type Input = Batch;
    type Output = Output;

    fn step(&self, batch: Batch) -> TrainOutput<Output> {
        let loss = self.tiny.loss(batch);
        let gradients = loss.backward();
        TrainOutput::new(self, gradients, Output(loss.inner()))
    }
}

impl InferenceStep for Model {
    type Input = Batch;
    type Output = Output;

    fn step(&self, batch: Batch) -> Output {
        Output(self.tiny.loss(batch))
    }
}

/// Yields the same batch a number of times, like the other contestants.
#[derive(Clone)]
struct Repeat {
    batch: Batch,
    steps: usize,
}

struct Repeated<'a> {
    of: &'a Repeat,
    done: usize,
}

impl Iterator for Repeated<'_> {
    type Item = Result<Batch, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.done += 1;
        (self.done <= self.of.steps).then(|| Ok(self.of.batch.clone()))
    }
}

impl DataLoaderIterator<Batch> for Repeated<'_> {
    fn progress(&self) -> Progress {
        Progress::new(self.done, self.of.steps, None)
    }
}

impl DataLoader<Batch> for Repeat {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<Batch> + 'a> {
        Box::new(Repeated { of: self, done: 0 })
    }
    fn num_items(&self) -> usize {
        self.steps
    }
    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(self.clone())
    }
    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<Batch>> {
        Arc::new(Repeat { steps: end - start, ..self.clone() })
    }
}

/// Shows nothing, so that the benchmark measures only the loop and its metrics.
struct Silent;

impl MetricsRendererTraining for Silent {
    fn update_train(&mut self, _state: MetricState) {}
    fn update_valid(&mut self, _state: MetricState) {}
    fn on_train_end(&mut self, _summary: Option<LearnerSummary>) -> Outcome {
        Ok(())
    }
}

impl MetricsRendererEvaluation for Silent {
    fn update_test(&mut self, _name: EvaluationName, _state: MetricState) {}
}

impl TrainingProgressLogger for Silent {
    fn start(&mut self, _epochs: usize, _starting_epoch: usize, _items: Option<usize>, _label: Option<&str>) {}
    fn update_epoch(&mut self, _epoch: usize) {}
    fn start_split(&mut self, _split: &str, _items: usize) {}
    fn update_split(&mut self, _items: usize) {}
    fn end_split(&mut self) {}
    fn end(&mut self) {}
    fn log_event_training(&mut self, _event: String) {}
}

impl EvaluationProgressLogger for Silent {
    fn start_global_progress(&mut self, _tests: usize) {}
    fn start_test(&mut self, _name: &str, _items: usize) {}
    fn update_test_progress(&mut self, _items: usize) {}
    fn end_test(&mut self) {}
    fn end_global_progress(&mut self) {}
    fn log_event_evaluation(&mut self, _event: String) {}
}

impl MetricsRenderer for Silent {
    fn manual_close(&mut self) {}
    fn register_metric(&mut self, _definition: MetricDefinition) {}
}

fn train(steps: usize, with_metric: bool) -> Outcome {
    let device = Device::flex();
    let folder = tempfile::tempdir()?;
    let batch = batch(&device);
    let loader = |steps| Arc::new(Repeat { batch: batch.clone(), steps });
    let training = SupervisedTraining::new(folder.path(), loader(steps), loader(1))
        .num_epochs(1)
        .with_application_logger(None)
        .renderer(Box::new(Silent));
    let training = if with_metric { training.metric_train_numeric(LossMetric::new()) } else { training };
    let model = Model { tiny: Tiny::new(&device.autodiff()) };
    let result = training.launch(Learner::new(model, optimizer(), LR));
    result.error.map_or(Ok(()), |error| Err(format!("burn-train failed: {error:?}").into()))
}

/// The bare Learner, without metrics.
pub fn without_metrics(steps: usize) -> Outcome {
    train(steps, false)
}

/// The Learner with its loss metric and the file logger.
pub fn with_loss(steps: usize) -> Outcome {
    train(steps, true)
}
