//! Finds code on other threads that draws from burn's generator while it makes batches: no seed can make such a run
//! repeatable.
//!
//! burn has one generator for the whole process. The first batch that another thread makes for a loader is therefore
//! made between two checks of the generator. No other thread may draw meanwhile: the iterating thread waits for this
//! batch or makes one itself, and that takes its turn (see [`turn`]).

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use burn::tensor::{Device, Distribution, Tensor};

/// The active checks of all loaders of the process.
static LOOKS: AtomicUsize = AtomicUsize::new(0);
static TURN: Mutex<()> = Mutex::new(());

/// Any number will do: what it leads to is compared only with itself.
const SEED: u64 = 0x5707_4F12;

/// Waits until no other thread checks burn's generator.
pub(crate) fn turn() -> Option<MutexGuard<'static, ()>> {
    (LOOKS.load(Ordering::Acquire) > 0).then(lock)
}

fn lock() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of the threads of a loader. Shared by the loader's clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_announced: AtomicBool,
    /// They draw, and this was not reported yet.
    is_news: AtomicBool,
}

impl Seen {
    /// Announces a check of the first batch of the first pass. Called on the iterating thread, before it makes a batch
    /// itself.
    pub(crate) fn announce(&self) -> Announced {
        let is_first = !self.0.is_announced.swap(true, Ordering::Relaxed);
        Announced(Mutex::new(is_first.then(|| Counted::new(self.clone()))))
    }

    /// Warns if burn's generator has moved on. On the iterating thread, which belongs to the run.
    pub(crate) fn tell(&self) {
        if self.0.is_news.load(Ordering::Relaxed) && self.0.is_news.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "random numbers of burn are drawn while the workers of a loader make batches: burn has one generator for all threads, so \
                 this run cannot be repeated, not even its dropout; draw from `stormfire::data::random()` in datasets and batchers, or \
                 use no workers"
            );
        }
    }
}

/// A future check, or none.
#[derive(Debug, Default)]
pub(crate) struct Announced(Mutex<Option<Counted>>);

impl Announced {
    /// On the thread that is about to make the batch.
    pub(crate) fn begin(&self, device: &Device) -> Option<Look> {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let turn = lock();
        device.seed(SEED);
        let expected = draw(device);
        device.seed(SEED);
        Some(Look { expected, device: device.clone(), _turn: turn, counted })
    }
}

#[derive(Debug)]
struct Counted(Seen);

impl Counted {
    fn new(of: Seen) -> Self {
        LOOKS.fetch_add(1, Ordering::Release);
        Self(of)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LOOKS.fetch_sub(1, Ordering::Release);
    }
}

/// An active check.
pub(crate) struct Look {
    expected: Tensor<1>,
    device: Device,
    _turn: MutexGuard<'static, ()>,
    counted: Counted,
}

impl Look {
    /// The batch is there. One device read.
    pub(crate) fn end(self) {
        let is_moved = !draw(&self.device).equal(self.expected).all().into_scalar::<bool>();
        self.counted.0.0.is_news.store(is_moved, Ordering::Relaxed);
    }
}

fn draw(device: &Device) -> Tensor<1> {
    Tensor::random([1], Distribution::Default, device)
}
