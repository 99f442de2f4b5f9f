//! The events of a run.

use crate::{hook::Hook, hooks};

macro_rules! event_enum {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($field:ident: $ty:ty),* })?;)*) => {
        /// The events of a run, in one closed list: all calls of callbacks and of a module's hooks are here.
        ///
        /// This is the loop. Names on the right are events. Calls of the module's methods are on the left.
        ///
        /// ```text
        /// fit(module, data):
        ///     data.prepare_data(); data.setup(Fit)                  PrepareData, Setup
        ///     optimizers = module.configure_optimizers()
        ///     if resumed: restore the checkpoint                    LoadCheckpoint
        ///                                                           FitStart
        ///     sanity check, if there is validation                  SanityCheckStart
        ///         validate num_sanity_val_steps batches             … as below
        ///                                                           SanityCheckEnd
        ///     if there is something to train:                       TrainStart
        ///     until max_epochs, max_steps, max_time or a stop:
        ///                                                           TrainEpochStart
        ///         for batch in train_dataloader:
        ///                                                           TrainBatchStart          (may skip the epoch)
        ///             module.training_batch(batch), by default:
        ///                 output = module.training_step(batch)
        ///                 first batch of a window of gradients:     BeforeZeroGrad
        ///                                                           BeforeBackward
        ///                 loss.backward()                           AfterBackward
        ///                 last batch of a window: divide by weights BeforeOptimizerStep
        ///                     clip, update the parameters
        ///             last batch: epoch schedules step
        ///                                                           TrainBatchEnd
        ///             log step metrics, if due
        ///             write requested checkpoints                   SaveCheckpoint for each
        ///             validate, if due:
        ///                                                           ValidationStart, ValidationEpochStart
        ///                 for batch in each val_dataloader:
        ///                                                           ValidationBatchStart
        ///                     output = module.validation_step(batch)
        ///                                                           ValidationBatchEnd
        ///                                                           ValidationEpochEnd
        ///                 log epoch metrics
        ///                                                           ValidationEnd
        ///             step schedules that watch a metric by steps
        ///             leave the loop at a limit or a requested stop
        ///         if skipped in an open window: divide by weights   BeforeOptimizerStep
        ///             clip, update the parameters; epoch schedules step
        ///                                                           TrainEpochEnd
        ///         step schedules that watch a metric; log epoch metrics; write requested checkpoints
        ///                                                           TrainEnd (if started), FitEnd
        ///     data.teardown(Fit)                                    Teardown
        ///
        /// on an error, a panic or an interrupt, instead of the remaining events up to FitEnd:
        ///                                                           Exception, then Teardown
        ///
        /// test(module, data):
        ///     data.prepare_data(); data.setup(Test)                 PrepareData, Setup
        ///                                                           TestStart, TestEpochStart
        ///         for batch in each test_dataloader:
        ///                                                           TestBatchStart
        ///             output = module.test_step(batch)
        ///                                                           TestBatchEnd
        ///                                                           TestEpochEnd
        ///         log epoch metrics
        ///                                                           TestEnd
        ///     data.teardown(Test)                                   Teardown
        ///
        /// predict(module, data):
        ///     data.prepare_data(); data.setup(Predict)              PrepareData, Setup
        ///                                                           PredictStart, PredictEpochStart
        ///         for batch in each predict_dataloader:
        ///                                                           PredictBatchStart
        ///             prediction = module.predict_step(batch)
        ///                                                           PredictBatchEnd
        ///                                                           PredictEpochEnd, PredictEnd
        ///     data.teardown(Predict)                                Teardown
        /// ```
        ///
        /// `validate` works like `test`, with the events of a validation.
        ///
        /// For each event, ordinary callbacks are called first, then the module's own hook, then callbacks of
        /// [`Order::Watch`](crate::Order::Watch) and of [`Order::Save`](crate::Order::Save).
        ///
        /// `B` is the type of a batch.
        #[derive(Debug)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "names and types describe the fields; the variants have the docs of their hooks")]
        pub enum Event<'a, B> { $($(#[$doc])* $event $({ $($field: $ty),* })?,)* }

        impl<B> Event<'_, B> {
            /// The hook that this event calls.
            pub fn hook(&self) -> Hook {
                match self { $(Event::$event { .. } => Hook::$event,)* }
            }
        }
    };
}

hooks!(event_enum<'a, B>);

#[cfg(test)]
mod tests {
    use crate::hooks;

    macro_rules! names {
        ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($fields:tt)* })?;)*) => {
            [$((stringify!($event), stringify!($method))),*]
        };
    }

    /// The page is written manually, the events are those of the table.
    #[test]
    fn the_page_of_the_loop_names_every_event() {
        let (_, page) = include_str!("event.rs").split_once("```text").unwrap();
        let (page, _) = page.split_once("```").unwrap();
        let words: Vec<_> = page.split(|c: char| !c.is_alphanumeric()).collect();
        for (event, _) in hooks!(names<'_, ()>) {
            assert!(words.contains(&event), "the page of `Event` does not say when `{event}` comes");
        }
    }

    /// A program on the page checks the order.
    #[test]
    fn the_page_of_callbacks_names_every_hook_of_a_fit() {
        let page = include_str!("../../../docs/callbacks.md");
        for (_, hook) in hooks!(names<'_, ()>) {
            let is_of_fit = !hook.starts_with("on_test_") && !hook.starts_with("on_predict_");
            assert!(!is_of_fit || page.contains(&format!("`{hook}`")), "`docs/callbacks.md` does not say when `{hook}` comes");
        }
    }
}
