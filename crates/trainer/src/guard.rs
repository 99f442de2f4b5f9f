//! Converts panics into errors.

use std::{
    any::Any,
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use stormfire_module::{
    Error, Result,
    for_trainer::{record::take_records, scope},
};

/// Converts a panic in user code into an error with its position.
pub(crate) fn guard<R>(code: impl FnOnce() -> Result<R>) -> Result<R> {
    scope::take_panicked_hook();
    catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| {
        // The values logged before the panic cannot be assigned to an event.
        let _ = take_records(&mut Vec::new());
        let (hook, moment) = scope::take_panicked_hook().unzip();
        Err(Error::Panic { hook, moment: moment.unwrap_or_default(), message: panic_message(panic.as_ref()).into_owned() })
    })
}

/// The message of a panic.
pub fn panic_message(panic: &(dyn Any + Send)) -> Cow<'_, str> {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => Cow::Borrowed(text),
        (None, Some(text)) => Cow::Borrowed(text),
        (None, None) => Cow::Borrowed("no message"),
    }
}
