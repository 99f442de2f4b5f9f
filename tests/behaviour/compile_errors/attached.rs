//! Callbacks, loggers and options that a Trainer does not take.

use insta::assert_snapshot;

use super::errors;

#[test]
fn a_closure_is_not_a_callback() {
    insta::with_settings!({ filters => [(r"closure@<anon>:[\d: ]+", "closure")] }, {
        assert_snapshot!(errors(
        "
        fn run() {
            Trainer::<Line>::new().callback(|_: &mut Context<'_>, _: &mut Line| Ok(()));
        }
    "
    ), @"
        error[E0277]: `{closure}` is not a callback for `Line`
          Trainer::<Line>::new().callback(|_: &mut Context<'_>, _: &mut Line| Ok(())); // does not implement `Callback<Line>`
          note: write `impl<M: LightningModule> Callback<M> for ..` for modules of any type, or `impl Callback<Net> for ..` for one
          note: a closure goes into a `LambdaCallback`, at its hook: `LambdaCallback::new().on_train_epoch_end(|ctx, module| ..)`
        ");
    });
}

#[test]
fn a_callback_for_another_module_is_refused() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {
            type Batch = ();
        }
        struct ForNet;
        impl Callback<Net> for ForNet {}
        fn run() {
            Trainer::<Line>::new().callback(ForNet);
        }
    "
    ), @"
    error[E0277]: `ForNet` is not a callback for `Line`
      Trainer::<Line>::new().callback(ForNet); // does not implement `Callback<Line>`
      note: write `impl<M: LightningModule> Callback<M> for ..` for modules of any type, or `impl Callback<Net> for ..` for one
      note: a closure goes into a `LambdaCallback`, at its hook: `LambdaCallback::new().on_train_epoch_end(|ctx, module| ..)`
    ");
}

#[test]
fn a_logger_implements_its_trait() {
    assert_snapshot!(errors(
        "
        struct Lines;
        fn run() {
            Trainer::<Line>::new().logger(Lines);
        }
    "
    ), @"
    error[E0277]: `Lines` is not a `Logger`
      Trainer::<Line>::new().logger(Lines); // metrics cannot be logged to this type
      note: use a logger such as `CsvLogger`, or write `impl Logger for Lines`
    ");
}

#[test]
fn a_logger_can_be_sent_to_another_thread() {
    assert_snapshot!(errors(
        "
        use stormfire::loggers::{Error, Hyperparams, Metrics};
        struct Local(std::rc::Rc<f32>);
        impl Logger for Local {
            fn name(&self) -> &str { todo!() }
            fn version(&self) -> String { todo!() }
            fn log_metrics(&mut self, _: &Metrics, _: Option<u64>) -> Result<(), Error> { todo!() }
            fn log_hyperparams(&mut self, _: &Hyperparams, _: &Metrics) -> Result<(), Error> { todo!() }
        }
    "
    ), @"
    error[E0277]: `Rc<f32>` cannot be sent between threads safely
      impl Logger for Local { // `Rc<f32>` cannot be sent between threads safely
    ");
}

#[test]
fn a_period_has_a_unit() {
    assert_snapshot!(errors(
        "
        fn run() {
            Trainer::<Line>::new().val_check_interval(0.5);
        }
    "
    ), @"
    error[E0277]: the trait bound `Every: From<{float}>` is not satisfied
      Trainer::<Line>::new().val_check_interval(0.5); // the trait `From<{float}>` is not implemented for `Every`
      note: required for `{float}` to implement `Into<Every>`
      note: required for `Every` to implement `TryFrom<{float}>`
    ");
}

#[test]
fn the_parts_of_a_trainer_are_private() {
    assert_snapshot!(errors(
        "
        fn run(trainer: Trainer<Line>) {
            trainer.loggers;
            stormfire::trainer::Frame::new();
        }
    "
    ), @"
    error[E0433]: cannot find `trainer` in `stormfire`
      stormfire::trainer::Frame::new(); // could not find `trainer` in `stormfire`
    error[E0616]: field `loggers` of struct `stormfire::Trainer` is private
      trainer.loggers; // private field
    ");
}
