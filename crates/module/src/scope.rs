//! The scope of the current hook: the hook and the moment in the run.
//!
//! The Trainer enters it on the training thread around all calls of user code. `log`, `current_epoch` and similar
//! functions read it. Outside of it they have no effect and return defaults.

use std::cell::{Cell, RefCell};

use burn::tensor::Device;
use stormfire_loggers::Loggers;

use crate::{hook::Hook, moment::Moment};

thread_local! {
    static HOOK: Cell<Option<Hook>> = const { Cell::new(None) };
    static MOMENT: Cell<Option<Moment>> = const { Cell::new(None) };
    static NOT_IMPLEMENTED: Cell<Option<Hook>> = const { Cell::new(None) };
    static LOGGERS: RefCell<Option<Loggers>> = const { RefCell::new(None) };
    static TAKES_OUTPUT: Cell<bool> = const { Cell::new(false) };
    static SEEDED: RefCell<Option<(Device, u64)>> = const { RefCell::new(None) };
    static PANICKED_IN: Cell<Option<(Hook, Moment)>> = const { Cell::new(None) };
    static IS_INSIDE_ANOTHER: Cell<bool> = const { Cell::new(false) };
}

/// Whether the run on this thread is inside a hook or step of another run.
pub fn is_inside_another_run() -> bool {
    IS_INSIDE_ANOTHER.get()
}

/// The current hook on this thread.
#[inline]
pub fn hook() -> Option<Hook> {
    HOOK.get()
}

/// The moment of the hook's call. The default outside of a run.
#[inline]
pub fn moment() -> Moment {
    MOMENT.get().unwrap_or_default()
}

/// Leaves the scope on drop, also when unwinding, and restores the outer one.
#[derive(Debug)]
pub struct Entered {
    hook: Option<Hook>,
    moment: Option<Moment>,
}

/// Enters the scope of a hook. Scopes can be nested.
#[must_use]
#[inline]
pub fn enter(hook: Hook, moment: Moment) -> Entered {
    Entered { hook: HOOK.replace(Some(hook)), moment: MOMENT.replace(Some(moment)) }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() && PANICKED_IN.get().is_none() {
            PANICKED_IN.set(HOOK.get().zip(MOMENT.get()));
        }
        HOOK.set(self.hook);
        MOMENT.set(self.moment);
    }
}

/// The innermost hook that a panic has left since the last call, with its moment.
pub fn take_panicked_hook() -> Option<(Hook, Moment)> {
    PANICKED_IN.take()
}

/// The loggers of the run on this thread. Empty outside of a run.
pub fn loggers() -> Loggers {
    LOGGERS.with_borrow(Option::clone).unwrap_or_default()
}

/// The loggers for output of the program: those of a run after its checks. `None` while the thread ends.
pub fn loggers_of_output() -> Option<Loggers> {
    TAKES_OUTPUT.get().then(|| LOGGERS.try_with(|loggers| loggers.borrow().clone()).ok().flatten()).flatten()
}

/// From now on [`loggers_of_output`] returns the loggers of the run.
pub fn begin_output() {
    TAKES_OUTPUT.set(true);
}

/// Leaves the run on drop, also when unwinding, and restores the outer one.
#[derive(Debug)]
pub struct EnteredRun {
    loggers: Option<Loggers>,
    takes_output: bool,
}

/// Enters a run. [`loggers`] returns its loggers.
#[must_use]
pub fn enter_run(loggers: Loggers) -> EnteredRun {
    EnteredRun { loggers: LOGGERS.replace(Some(loggers)), takes_output: TAKES_OUTPUT.replace(false) }
}

impl Drop for EnteredRun {
    fn drop(&mut self) {
        // Dropped only after it was taken out, because dropping the last handle of a logger waits for its end.
        let _left = LOGGERS.replace(self.loggers.take());
        TAKES_OUTPUT.set(self.takes_output);
    }
}

/// Called by the default body of a step, to report that the user did not implement it.
pub fn mark_not_implemented(step: Hook) {
    NOT_IMPLEMENTED.set(Some(step));
}

/// The step whose default body was called since the last call.
#[inline]
pub fn take_not_implemented() -> Option<Hook> {
    NOT_IMPLEMENTED.take()
}

/// Seeds the random numbers of a device for the run on this thread.
pub fn seed(device: &Device, seed: u64) {
    device.seed(seed);
    SEEDED.with_borrow_mut(|seeded| match seeded {
        // Nearly always. A device is more to copy than to compare.
        Some((known, newest)) if known == device => *newest = seed,
        _ => *seeded = Some((device.clone(), seed)),
    });
}

/// The device whose generator was seeded last for the run on this thread, and the seed.
pub fn seeded() -> Option<(Device, u64)> {
    SEEDED.with_borrow(Clone::clone)
}

/// The state of the run on this thread while another one is inside it. It is restored on drop.
#[derive(Debug)]
pub(crate) struct SetAside {
    hook: Option<Hook>,
    moment: Option<Moment>,
    not_implemented: Option<Hook>,
    panicked_in: Option<(Hook, Moment)>,
    seeded: Option<(Device, u64)>,
    is_inside_another: bool,
    /// Its loggers. There are none until the inner run has its own.
    _run: EnteredRun,
}

/// Leaves the scope of the run on this thread temporarily, as if there were none.
pub(crate) fn set_aside() -> SetAside {
    let is_inside = IS_INSIDE_ANOTHER.get() || HOOK.get().is_some();
    SetAside {
        is_inside_another: IS_INSIDE_ANOTHER.replace(is_inside),
        hook: HOOK.take(),
        moment: MOMENT.take(),
        not_implemented: NOT_IMPLEMENTED.take(),
        panicked_in: PANICKED_IN.take(),
        seeded: SEEDED.take(),
        _run: enter_run(Loggers::default()),
    }
}

impl SetAside {
    /// Restores the random numbers of the outer run from its last seed.
    pub(crate) fn seed_again(&self) {
        if let Some((device, seed)) = &self.seeded {
            device.seed(*seed);
        }
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        IS_INSIDE_ANOTHER.set(self.is_inside_another);
        HOOK.set(self.hook);
        MOMENT.set(self.moment);
        NOT_IMPLEMENTED.set(self.not_implemented);
        PANICKED_IN.set(self.panicked_in);
        SEEDED.set(self.seeded.take());
    }
}

#[cfg(test)]
mod tests {
    use stormfire_loggers::MemoryLogger;

    use super::*;

    #[test]
    fn scopes_nest_and_end_when_unwinding() {
        let at = |epoch| Moment { epoch, ..Moment::default() };
        let outer = enter(Hook::TrainingStep, at(1));
        let unwound = std::panic::catch_unwind(|| {
            let _inner = enter(Hook::AfterBackward, at(2));
            assert_eq!((hook(), moment().epoch), (Some(Hook::AfterBackward), 2));
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(unwound.is_err());
        assert_eq!((take_panicked_hook(), take_panicked_hook()), (Some((Hook::AfterBackward, at(2))), None));
        assert_eq!((hook(), moment().epoch), (Some(Hook::TrainingStep), 1));
        drop(outer);
        assert_eq!((hook(), moment().epoch), (None, 0));
    }

    #[test]
    fn a_run_lends_its_loggers_until_it_ends_also_when_unwinding() {
        let of = |names: &[&'static str]| {
            let loggers = names.iter().map(|name| Box::new(MemoryLogger::new().name(*name)) as _);
            Loggers::spawn(loggers).unwrap()
        };
        let names = || loggers().iter().map(|logger| logger.name().to_owned()).collect::<Vec<_>>();
        assert!(names().is_empty());
        let outer = enter_run(of(&["a", "b"]));
        let unwound = std::panic::catch_unwind(|| {
            let _inner = enter_run(of(&["c"]));
            assert_eq!(names(), ["c"]);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(unwound.is_err());
        assert_eq!(names(), ["a", "b"]);
        drop(outer);
        assert!(names().is_empty());
    }
}
