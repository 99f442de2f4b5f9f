//! Media for loggers on threads: each value is queued, and skipped if the backend does not support it.

use std::sync::Arc;

use crate::{Artifact, Audio, Background, Figure, Graph, Histogram, Image, Loggers, Metrics, PrCurve, Result, Table, Text};

macro_rules! media {
    ($($(#[$doc:meta])* $name:ident($value:ident: $ty:ty);)*) => {
        impl Background {
            $($(#[$doc])*
            ///
            /// A logger that does not support it reports so once, at level info, and skips it.
            ///
            /// # Errors
            /// As [`Background::submit`].
            pub fn $name(&self, tag: impl Into<Arc<str>>, $value: impl Into<Arc<$ty>>, step: impl Into<Option<u64>>) -> Result<()> {
                let (tag, $value, step) = (tag.into(), $value.into(), step.into());
                self.submit_lenient(move |logger| logger.$name(&tag, &$value, step))
            })*
        }

        impl Loggers {
            $($(#[$doc])*
            ///
            /// `None` stands for the current step ([`Loggers::step`]).
            pub fn $name(&self, tag: impl Into<Arc<str>>, $value: impl Into<Arc<$ty>>, step: impl Into<Option<u64>>) {
                let (tag, $value, step) = (tag.into(), $value.into(), self.step_or_current(step));
                for logger in self.iter() {
                    let (tag, $value) = (Arc::clone(&tag), Arc::clone(&$value));
                    logger.offer(move |logger| logger.$name(&tag, &$value, step));
                }
            })*
        }
    };
}

media! {
    /// Queues [`Logger::log_image`](crate::Logger::log_image).
    log_image(image: Image);
    /// Queues [`Logger::log_histogram`](crate::Logger::log_histogram).
    log_histogram(histogram: Histogram);
    /// Queues [`Logger::log_text`](crate::Logger::log_text).
    log_text(text: Text);
    /// Queues [`Logger::log_audio`](crate::Logger::log_audio).
    log_audio(audio: Audio);
    /// Queues [`Logger::log_figure`](crate::Logger::log_figure).
    log_figure(figure: Figure);
    /// Queues [`Logger::log_table`](crate::Logger::log_table).
    log_table(table: Table);
    /// Queues [`Logger::log_precision_recall`](crate::Logger::log_precision_recall).
    log_precision_recall(curve: PrCurve);
}

impl Background {
    /// Queues [`Logger::log_scalars`](crate::Logger::log_scalars): values that belong in one chart.
    ///
    /// # Errors
    /// As [`Background::submit`].
    pub fn log_scalars(&self, group: impl Into<Arc<str>>, values: impl Into<Metrics>, step: impl Into<Option<u64>>) -> Result<()> {
        let (group, values, step) = (group.into(), values.into(), step.into());
        self.submit_lenient(move |logger| logger.log_scalars(&group, &values, step))
    }
}

impl Loggers {
    /// Queues [`Logger::log_scalars`](crate::Logger::log_scalars): values that belong in one chart.
    ///
    /// `None` stands for the current step ([`Loggers::step`]).
    pub fn log_scalars(&self, group: impl Into<Arc<str>>, values: impl Into<Metrics>, step: impl Into<Option<u64>>) {
        let (group, values, step) = (group.into(), values.into(), self.step_or_current(step));
        for logger in self.iter() {
            let (group, values) = (Arc::clone(&group), values.clone());
            logger.offer(move |logger| logger.log_scalars(&group, &values, step));
        }
    }
}

macro_rules! without_step {
    ($($(#[$doc:meta])* $name:ident($value:ident: $ty:ty);)*) => {
        impl Background {
            $($(#[$doc])*
            ///
            /// A logger that does not support it reports so once, at level info, and skips it.
            ///
            /// # Errors
            /// As [`Background::submit`].
            pub fn $name(&self, $value: impl Into<Arc<$ty>>) -> Result<()> {
                let $value = $value.into();
                self.submit_lenient(move |logger| logger.$name(&$value))
            })*
        }

        impl Loggers {
            $($(#[$doc])*
            pub fn $name(&self, $value: impl Into<Arc<$ty>>) {
                let $value = $value.into();
                for logger in self.iter() {
                    let $value = Arc::clone(&$value);
                    logger.offer(move |logger| logger.$name(&$value));
                }
            })*
        }
    };
}

without_step! {
    /// Queues [`Logger::log_artifact`](crate::Logger::log_artifact).
    log_artifact(artifact: Artifact);
    /// Queues [`Logger::log_graph`](crate::Logger::log_graph).
    log_graph(graph: Graph);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use crate::for_trainer::DriveLoggers as _;
    use crate::{Call, Error, Hyperparams, Logger, MemoryLogger, Status};

    use super::*;

    /// Supports only texts.
    #[derive(Default)]
    struct Texts(Vec<String>);

    impl Logger for Texts {
        fn name(&self) -> &'static str {
            "texts"
        }

        fn version(&self) -> String {
            "0".to_owned()
        }

        fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
            if metrics.contains("fail") {
                return Err(Error::other(format!("step {step:?} fails")));
            }
            self.0.extend(metrics.iter().map(|(name, _)| name.to_owned()));
            Ok(())
        }

        fn log_hyperparams(&mut self, _params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
            Ok(())
        }

        fn log_text(&mut self, tag: &str, _text: &Text, step: Option<u64>) -> Result<()> {
            self.0.push(format!("{tag} at {step:?}"));
            Ok(())
        }
    }

    fn log_everything(loggers: &Loggers, step: Option<u64>) {
        let drawing = Image::new(1, 1, 1, vec![7]).unwrap();
        loggers.log_image("image", drawing, step);
        loggers.log_histogram("histogram", Histogram::from_samples([1.0, 2.0]).unwrap(), step);
        loggers.log_text("text", Text::new("words"), step);
        loggers.log_audio("audio", Audio::new(8000, 1, vec![0.0, 0.5]).unwrap(), step);
        loggers.log_figure("figure", Figure::svg("<svg/>"), step);
        loggers.log_table("table", Table::new(["a"]), step);
        loggers.log_scalars("scalars", [("a", 1.0)], step);
        loggers.log_artifact(Artifact::new("file.txt"));
        loggers.log_graph(Graph::default());
    }

    #[test]
    fn every_kind_of_value_reaches_every_logger() {
        let (first, second) = (MemoryLogger::new(), MemoryLogger::new());
        let loggers = Loggers::spawn([Box::new(first.clone()) as _, Box::new(second.clone()) as _]).unwrap();
        log_everything(&loggers, Some(4));
        loggers.flush().unwrap();
        let kinds: Vec<String> = first
            .calls()
            .iter()
            .map(|call| format!("{call:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned())
            .filter(|kind| kind != "Save")
            .collect();
        assert_eq!(kinds, ["Open", "Image", "Histogram", "Text", "Audio", "Figure", "Table", "Metrics", "Artifact", "Graph"]);
        assert_eq!(first.calls(), second.calls());
        assert_eq!(first.rows(), [("scalars/a".to_owned(), 1.0, Some(4))]);
    }

    #[test]
    fn unsupported_media_are_left_out_with_one_warning_per_kind() {
        let logger = Background::spawn(Box::<Texts>::default()).unwrap();
        let loggers = Loggers::from(vec![logger]);
        log_everything(&loggers, Some(1));
        log_everything(&loggers, Some(2));
        loggers.flush().unwrap();
        let texts = loggers.experiment::<Texts>().unwrap();
        assert_eq!(texts.call(|texts| Ok(texts.0.clone())).unwrap(), ["text at Some(1)", "scalars/a", "text at Some(2)", "scalars/a"]);
        let said = texts.said_unsupported();
        assert_eq!(said, ["images", "histograms", "sounds", "figures", "tables", "artifacts", "graphs"]);
        texts.log_image("image", Image::new(1, 1, 1, vec![7]).unwrap(), 3).unwrap();
        texts.flush().unwrap();
    }

    #[test]
    fn media_belong_to_the_current_step_unless_they_say_another() {
        let memory = MemoryLogger::new();
        let loggers = Loggers::spawn([Box::new(memory.clone()) as _]).unwrap();
        let steps = Mutex::new(Vec::new());
        for (current, given) in [(None, None), (None, Some(3)), (Some(7), None), (Some(7), Some(5))] {
            if let Some(step) = current {
                loggers.set_step(step);
            }
            loggers.log_text("text", Text::new("words"), given);
            loggers.flush().unwrap();
            let last = memory.calls().into_iter().rev().find_map(|call| match call {
                Call::Text { step, .. } => Some(step),
                _ => None,
            });
            steps.lock().unwrap().extend(last);
        }
        assert_eq!(steps.into_inner().unwrap(), [None, Some(3), Some(7), Some(5)]);
    }

    #[test]
    fn an_error_is_kept_until_it_is_requested() {
        let memory = MemoryLogger::new();
        let loggers = Loggers::spawn([Box::<Texts>::default() as _, Box::new(memory.clone()) as _]).unwrap();
        loggers.log_metrics([("fail", 1.0)], 9);
        loggers.log_text("text", Text::new("words"), 9);
        assert_eq!(loggers.finalize(Status::Failed).unwrap_err().to_string(), "step Some(9) fails");
        assert_eq!(memory.statuses(), [Status::Failed]);
        loggers.flush().unwrap();
    }
}
