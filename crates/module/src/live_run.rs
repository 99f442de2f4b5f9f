//! The active runs of this process, and the run that a thread works for.
//!
//! If there are several, every message must name its run. A run gets a name at its start. It shows the name from the
//! moment on when a second run is active, until its end.

use std::{
    cell::RefCell,
    marker::PhantomData,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

#[derive(Default)]
struct Registry {
    /// Number of started runs.
    begun: u64,
    live: Vec<LiveRun>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { begun: 0, live: Vec::new() });

thread_local! {
    static CURRENT: RefCell<Option<LiveRun>> = const { RefCell::new(None) };
}

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run of this process. Clones are handles of the same run.
#[derive(Clone, Debug)]
pub struct LiveRun(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    number: u64,
    name: String,
    has_company: AtomicBool,
}

impl LiveRun {
    /// The number of the run in this process, counted from 1.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// The name, if the run is or was active together with another run. Before that, messages need no name.
    pub fn shown_name(&self) -> Option<&str> {
        self.0.has_company.load(Ordering::Relaxed).then_some(self.0.name.as_str())
    }

    /// Makes this thread work for the run until the returned value is dropped.
    pub fn enter(self) -> Entered {
        Entered { before: CURRENT.replace(Some(self)), not_send: PhantomData }
    }
}

/// The run that this thread works for.
pub fn current() -> Option<LiveRun> {
    // A message of an ending thread has no run.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// [`LiveRun::shown_name`] of the [`current`] run.
pub fn shown_name() -> Option<String> {
    current().and_then(|run| run.shown_name().map(str::to_owned))
}

/// Whether the run with this [number](LiveRun::number) is active.
pub fn is_live(number: u64) -> bool {
    registry().live.iter().any(|run| run.number() == number)
}

/// Makes this thread work for a run. On drop, restores the run that it worked for before.
#[derive(Debug)]
#[must_use = "dropping this leaves the run"]
pub struct Entered {
    before: Option<LiveRun>,
    /// It belongs to the thread.
    not_send: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.before.take());
    }
}

/// Keeps a run active until it is dropped. This thread works for the run.
#[derive(Debug)]
#[must_use = "dropping this ends the run"]
pub struct UnderWay {
    number: u64,
    _entered: Entered,
}

/// Starts a run with this name, or as `run N` with its number. If another live run has the name, a number is appended.
pub fn begin(name: Option<String>) -> UnderWay {
    let run = {
        let mut registry = registry();
        registry.begun += 1;
        let number = registry.begun;
        let name = name.unwrap_or_else(|| format!("run {number}"));
        let is_taken = registry.live.iter().any(|run| run.0.name == name);
        let name = if is_taken { format!("{name} ({number})") } else { name };
        let has_company = !registry.live.is_empty();
        for other in &registry.live {
            other.0.has_company.store(true, Ordering::Relaxed);
        }
        let run = LiveRun(Arc::new(Facts { number, name, has_company: has_company.into() }));
        registry.live.push(run.clone());
        run
    };
    UnderWay { number: run.number(), _entered: run.enter() }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        registry().live.retain(|run| run.number() != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_shows_its_name_from_the_moment_on_at_which_it_has_company() {
        let outer = begin(Some("outer".into()));
        let of_outer = current().unwrap();
        assert!(is_live(of_outer.number()));
        let second = begin(Some("outer".into()));
        let of_second = current().unwrap();
        assert_eq!(of_second.shown_name().unwrap(), format!("outer ({})", of_second.number()));
        let (sent, expected) = (of_second.clone(), of_second.number());
        let elsewhere = std::thread::spawn(move || {
            assert!(current().is_none());
            let _entered = sent.enter();
            current().unwrap().number()
        });
        assert_eq!(elsewhere.join().unwrap(), expected);
        drop(second);
        assert!(!is_live(of_second.number()));
        assert_eq!(shown_name().as_deref(), Some("outer"), "it keeps its name when the other one has ended");
        drop(outer);
        assert!(current().is_none() && shown_name().is_none());
        let unnamed = begin(None);
        let run = current().unwrap();
        assert_eq!(run.0.name, format!("run {}", run.number()));
        drop(unnamed);
    }
}
