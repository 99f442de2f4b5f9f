use std::{any::Any, cell::RefCell, rc::Rc};

use burn::{
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use serde_json::{Map, Value};
use stormfire_module::{Error, Hook, Stage, StepOutput};

use super::*;
use crate::testing::{Bench, Line};

/// The values of events, by the names of the arguments.
struct Given<'a> {
    stage: Stage,
    batch: &'a Tensor<2>,
    batch_idx: usize,
    dataloader_idx: usize,
    output: &'a StepOutput,
    optimizer: &'a str,
    loss: &'a Tensor<1>,
    gradients: &'a mut GradientsParams,
    prediction: &'a dyn Any,
    checkpoint: &'a mut Map<String, Value>,
    error: &'a Error,
}

/// Runs code with some value for each argument.
fn with_given(code: impl FnOnce(Given<'_>)) {
    let device = Device::flex();
    code(Given {
        stage: Stage::Fit,
        batch: &Tensor::zeros([1, 1], &device),
        batch_idx: 0,
        dataloader_idx: 0,
        output: &StepOutput::none(),
        optimizer: "Adam",
        loss: &Tensor::zeros([1], &device),
        gradients: &mut GradientsParams::new(),
        prediction: &7_u8,
        checkpoint: &mut Map::new(),
        error: &Error::other("full disk"),
    });
}

type Notes = Rc<RefCell<Vec<String>>>;

/// Appends to the notes.
fn note(notes: &Notes, what: &str) {
    notes.borrow_mut().push(what.into());
}

macro_rules! note_and_fire {
    ($($(#[$doc:meta])* $hook:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {
        /// A closure at every hook that notes the hook's name.
        fn noting(notes: &Notes) -> LambdaCallback<Line> {
            LambdaCallback::new()$(.$hook({
                let notes = Rc::clone(notes);
                move |_, _ $($(, $arg)*)?| {
                    $($(let _ = $arg;)*)?
                    note(&notes, stringify!($hook));
                    Ok(())
                }
            }))*
        }

        /// Fires every event. Returns the names of their hooks.
        fn fire_all(callback: &mut LambdaCallback<Line>) -> Vec<&'static str> {
            let mut bench = Bench::new();
            let mut names = Vec::new();
            $(with_given(|given| {
                let _ = &given;
                let event = Event::$event $({ $($arg: given.$arg),* })?;
                names.push(event.hook().name());
                bench.fire(callback, event).unwrap();
            });)*
            names
        }
    };
}

hooks!(note_and_fire<'_, Tensor<2>>);

#[test]
fn every_event_reaches_its_own_closure() {
    let notes = Notes::default();
    let expected = fire_all(&mut noting(&notes));
    assert_eq!(*notes.borrow(), expected);
    // Hooks that a callback does not have: the steps and `configure_optimizers` of a module, the loaders of a data
    // module.
    assert_eq!(expected.len(), Hook::ALL.len() - 9);
}

#[test]
fn on_event_sees_every_event_before_the_closures_of_its_hook() {
    let notes = Notes::default();
    let of_events = Rc::clone(&notes);
    let mut callback = noting(&notes).on_event(move |_, _, event| {
        note(&of_events, &format!("{:?}", event.hook()));
        Ok(())
    });
    let names = fire_all(&mut callback);
    let expected: Vec<_> = names.iter().flat_map(|name| [format!("{:?}", Hook::from_name(name).unwrap()), (*name).into()]).collect();
    assert_eq!(*notes.borrow(), expected);
}

#[test]
fn an_error_in_on_event_keeps_the_event_from_the_closures_of_its_hook() {
    let notes = Notes::default();
    let mut callback = noting(&notes).on_event(|_, _, _| Err(Error::other("seen enough")));
    let error = Bench::new().fire(&mut callback, Event::FitEnd).unwrap_err();
    assert_eq!(error.to_string(), "seen enough");
    assert!(notes.borrow().is_empty());
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
        })
        .on_event(|_, _, _| Ok(()));
    let mut bench = Bench::new();
    assert_eq!(bench.fire(&mut callback, Event::FitEnd).unwrap_err().to_string(), "second");
    assert_eq!(bench.stopped().as_deref(), Some("first"));
    assert!(!bench.run.place.requests.skip_epoch);
    assert_eq!((Callback::name(&callback), Callback::<Line>::order(&callback)), ("Guard".to_string(), Order::Save));
    assert_eq!(
        format!("{callback:?}"),
        r#"LambdaCallback { name: "Guard", order: Save, hooks: [("on_event", 1), ("on_fit_end", 3)], .. }"#
    );
}
