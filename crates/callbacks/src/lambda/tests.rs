use std::{cell::RefCell, rc::Rc};

use burn::tensor::Device;
use stormfire_module::{Event, Hook};

use super::*;
use crate::testing::{Bench, Line};

/// Registers a closure at every hook. It records the name of the hook.
macro_rules! note_all {
    ($notes:ident: $($hook:ident($($arg:ident),*))*) => {{
        let callback = LambdaCallback::<Line>::new();
        $(let callback = { let notes = Rc::clone(&$notes); callback.$hook(move |_, _ $(, $arg)*| {
            $(let _ = $arg;)*
            notes.borrow_mut().push(stringify!($hook));
            Ok(())
        }) };)*
        callback
    }};
}

#[test]
fn every_event_reaches_its_own_closure() {
    let notes = Rc::new(RefCell::new(Vec::new()));
    let mut callback = note_all! { notes:
        prepare_data() setup(a) teardown(a) on_fit_start() on_fit_end() on_sanity_check_start() on_sanity_check_end()
        on_train_start() on_train_end() on_train_epoch_start() on_train_epoch_end() on_train_batch_start(a, b)
        on_train_batch_end(a, b) on_before_zero_grad(a) on_before_backward(a) on_after_backward(a)
        on_before_optimizer_step(a, b) on_validation_start() on_validation_end() on_validation_epoch_start()
        on_validation_epoch_end() on_validation_batch_start(a, b, c) on_validation_batch_end(a, b, c) on_test_start()
        on_test_end() on_test_epoch_start() on_test_epoch_end() on_test_batch_start(a, b, c) on_test_batch_end(a, b, c)
        on_predict_start() on_predict_end() on_predict_epoch_start() on_predict_epoch_end() on_predict_batch_start(a, b, c)
        on_predict_batch_end(a, b, c) on_save_checkpoint(a) on_load_checkpoint(a) on_exception(a)
    };
    let batch = Tensor::<2>::zeros([1, 1], &Device::flex());
    let (batch_idx, dataloader_idx, batch) = (0, 0, &batch);
    let (output, loss, error) = (StepOutput::none(), Tensor::<1>::zeros([1], &Device::flex()), Error::other("full disk"));
    let (mut first, mut second) = (GradientsParams::new(), GradientsParams::new());
    let (mut saved, loaded) = (Map::new(), Map::new());
    let events = vec![
        Event::PrepareData,
        Event::Setup { stage: Stage::Fit },
        Event::Teardown { stage: Stage::Fit },
        Event::FitStart,
        Event::FitEnd,
        Event::SanityCheckStart,
        Event::SanityCheckEnd,
        Event::TrainStart,
        Event::TrainEnd,
        Event::TrainEpochStart,
        Event::TrainEpochEnd,
        Event::TrainBatchStart { batch, batch_idx },
        Event::TrainBatchEnd { output: &output, batch_idx },
        Event::BeforeZeroGrad { optimizer: "Adam" },
        Event::BeforeBackward { loss: &loss },
        Event::AfterBackward { gradients: &mut first },
        Event::BeforeOptimizerStep { optimizer: "Adam", gradients: &mut second },
        Event::ValidationStart,
        Event::ValidationEnd,
        Event::ValidationEpochStart,
        Event::ValidationEpochEnd,
        Event::ValidationBatchStart { batch, batch_idx, dataloader_idx },
        Event::ValidationBatchEnd { output: &output, batch_idx, dataloader_idx },
        Event::TestStart,
        Event::TestEnd,
        Event::TestEpochStart,
        Event::TestEpochEnd,
        Event::TestBatchStart { batch, batch_idx, dataloader_idx },
        Event::TestBatchEnd { output: &output, batch_idx, dataloader_idx },
        Event::PredictStart,
        Event::PredictEnd,
        Event::PredictEpochStart,
        Event::PredictEpochEnd,
        Event::PredictBatchStart { batch, batch_idx, dataloader_idx },
        Event::PredictBatchEnd { prediction: &7_u8, batch_idx, dataloader_idx },
        Event::SaveCheckpoint { checkpoint: &mut saved },
        Event::LoadCheckpoint { checkpoint: &loaded },
        Event::Exception { error: &error },
    ];
    let mut bench = Bench::new();
    let mut expected = Vec::new();
    for event in events {
        expected.push(event.hook().name());
        bench.fire(&mut callback, event).unwrap();
    }
    assert_eq!(*notes.borrow(), expected);
    // Hooks that a callback does not have: the steps and `configure_optimizers` of a module, the loaders of a data
    // module.
    assert_eq!(expected.len(), Hook::ALL.len() - 9);
}

#[test]
fn closures_of_one_hook_run_in_order_up_to_the_first_error() {
    let mut callback = LambdaCallback::<Line>::new()
        .named("Guard")
        .in_order(Order::Save)
        .on_fit_end(|ctx, _| {
            ctx.stop("first");
            Ok(())
        })
        .on_fit_end(|_, _| Err(Error::other("second")))
        .on_fit_end(|ctx, _| {
            ctx.skip_epoch();
            Ok(())
        });
    let mut bench = Bench::new();
    assert_eq!(bench.fire(&mut callback, Event::FitEnd).unwrap_err().to_string(), "second");
    assert_eq!(bench.stopped().as_deref(), Some("first"));
    assert!(!bench.run.place.requests.skip_epoch);
    assert_eq!((Callback::name(&callback), Callback::<Line>::order(&callback)), ("Guard".to_string(), Order::Save));
    assert_eq!(format!("{callback:?}"), r#"LambdaCallback { name: "Guard", order: Save, hooks: [("on_fit_end", 3)], .. }"#);
}
