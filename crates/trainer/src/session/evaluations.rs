//! Runs that train nothing: validation, test and prediction.

use stormfire_data::{DataModule, Loaders, Stage};
use stormfire_loggers::Metrics;
use stormfire_module::{Hook, LightningModule, PredictModule, Result, RunningStage, live_run, moment::Progress};

use super::{Session, begin, of_data, print};
use crate::{
    evaluate::{Evaluated, Evaluation, evaluate},
    predict::predict,
    results_table::results_table,
    setup::{choose_device, limits_of, place},
    training::Training,
};

impl<M: LightningModule> Session<M> {
    /// `at` is where the fit was that wrote the weights, if they are a checkpoint's.
    pub(crate) fn evaluate<D: DataModule<Batch = M::Batch>>(
        &mut self,
        module: &M,
        mut data: D,
        what: Evaluation,
        at: Option<Progress>,
    ) -> Result<Vec<Metrics>> {
        let _under_way = live_run::begin(self.name());
        let (stage, running) = match what {
            Evaluation::Validation => (Stage::Validate, RunningStage::Validate),
            Evaluation::Test => (Stage::Test, RunningStage::Test),
        };
        let mut module = self.for_evaluation(module)?;
        let of_fit = at.map(|at| std::mem::replace(&mut self.engine.run.place.progress, at));
        let results = self.run(stage, &mut module, &mut data, &mut Training::default(), |engine, module, data, _| {
            begin(engine, module, data, stage)?;
            let config = &engine.config;
            let (hook, limit, option) = match what {
                Evaluation::Validation => (Hook::ValDataloader, config.limit_val_batches, "limit_val_batches"),
                Evaluation::Test => (Hook::TestDataloader, config.limit_test_batches, "limit_test_batches"),
            };
            if limit.is_none() {
                engine.begin_logs()?;
                return Ok(Vec::new());
            }
            let loaders = of_data(engine, hook, || match what {
                Evaluation::Validation => data.val_dataloader(),
                Evaluation::Test => data.test_dataloader(),
            })?;
            require(&loaders, stage)?;
            let limits = limits_of(&loaders, limit, option, hook)?;
            match what {
                Evaluation::Validation => engine.run.limits.val_batches.clone_from(&limits),
                Evaluation::Test => engine.run.limits.test_batches.clone_from(&limits),
            }
            engine.run.place.logger_step = engine.run.place.progress.global_step;
            engine.begin_logs()?;
            let mut data = Evaluated::new(loaders, limits);
            let metrics = evaluate(engine, module, &mut data, what, running)?;
            engine.check_logs()?;
            Ok(metrics.by_loader(data.loaders.len()))
        });
        self.go_back_to(of_fit);
        let results = results?;
        if !self.engine.config.barebones && results.iter().any(|metrics| !metrics.is_empty()) {
            let title = if what == Evaluation::Test { "Test metric" } else { "Validate metric" };
            print("Results", &results_table(title, &results));
        }
        Ok(results)
    }

    pub(crate) fn predict<D: DataModule<Batch = M::Batch>>(
        &mut self,
        module: &M,
        mut data: D,
        at: Option<Progress>,
    ) -> Result<Vec<Vec<M::Prediction>>>
    where
        M: PredictModule,
    {
        let _under_way = live_run::begin(self.name());
        let mut module = self.for_evaluation(module)?;
        let of_fit = at.map(|at| std::mem::replace(&mut self.engine.run.place.progress, at));
        let predictions = self.run(Stage::Predict, &mut module, &mut data, &mut Training::default(), |engine, module, data, _| {
            begin(engine, module, data, Stage::Predict)?;
            if engine.config.limit_predict_batches.is_none() {
                engine.begin_logs()?;
                return Ok(Vec::new());
            }
            engine.run.place.logger_step = engine.run.place.progress.global_step;
            let loaders = of_data(engine, Hook::PredictDataloader, || data.predict_dataloader())?;
            require(&loaders, Stage::Predict)?;
            let limits = limits_of(&loaders, engine.config.limit_predict_batches, "limit_predict_batches", Hook::PredictDataloader)?;
            engine.run.limits.predict_batches.clone_from(&limits);
            engine.begin_logs()?;
            let predictions = predict(engine, module, &loaders, &limits)?;
            engine.check_interrupt()?;
            Ok(predictions)
        });
        self.go_back_to(of_fit);
        predictions
    }

    /// What a checkpoint that is asked for later is to say of the newest fit.
    fn go_back_to(&mut self, of_fit: Option<Progress>) {
        if let Some(progress) = of_fit {
            self.engine.run.place.progress = progress;
        }
    }

    fn for_evaluation(&mut self, module: &M) -> Result<M> {
        if self.engine.logs_wait {
            // A fit was refused that was to go on in the logs of its run; this has no part in that.
            self.begin_logs_anew(None)?;
        }
        self.engine.device = choose_device(self.device.as_ref(), &self.engine.config, module)?;
        Ok(place(module.clone(), &self.engine.device, None).valid())
    }
}

fn require<B: Send + 'static>(loaders: &Loaders<B>, stage: Stage) -> Result<()> {
    if loaders.is_empty() {
        return Err(stormfire_data::Error::LoaderMissing { stage }.into());
    }
    Ok(())
}
