//! Finds code on other threads that draws from burn's generator while it makes batches: no seed can make such a run
//! repeatable.
//!
//! burn has one generator for the whole process. It is therefore seeded before the first batch that another thread
//! makes for a loader. After the batch it must return the first number of this seed. The iterating thread does not draw
//! in the meantime: it waits for this batch, or takes its turn to make one itself (see [`turn`]).

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use burn::tensor::{DType, Device, Distribution, Tensor};

/// The active checks of all loaders of the process.
static LOOKS: AtomicUsize = AtomicUsize::new(0);
static TURN: Mutex<()> = Mutex::new(());

/// Any number will do: what it leads to is compared only with itself.
const SEED: u64 = 0x5707_4F12;

/// The first number of [`SEED`] on each device, drawn before a loader has its threads. A check cannot exclude that
/// another worker draws between the check's seed and its draw. If that worker draws as much as the batch does, the
/// check misses the batch.
static FIRST_NUMBERS: Mutex<Vec<(Device, f32)>> = Mutex::new(Vec::new());

/// Waits until no other thread checks burn's generator.
pub(crate) fn turn() -> Option<MutexGuard<'static, ()>> {
    (LOOKS.load(Ordering::Acquire) > 0).then(lock)
}

fn lock() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `None` if another thread draws at this moment. One device read for each device of the process.
fn first_number(device: &Device) -> Option<f32> {
    let mut known = FIRST_NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, number)) = known.iter().find(|(at, _)| at == device) {
        return Some(*number);
    }
    let [first, again] = [(); 2].map(|()| {
        device.seed(SEED);
        draw(device)
    });
    let is_same = first.to_bits() == again.to_bits();
    is_same.then(|| known.push((device.clone(), first)));
    is_same.then_some(first)
}

/// Whether other threads of a loader draw, as far as this is known. Shared by the loader's clones.
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
    pub(crate) fn announce(&self, device: &Device) -> Announced {
        if self.0.is_announced.load(Ordering::Relaxed) {
            return Announced::default();
        }
        // Without the number, the next pass is checked instead.
        let Some(expected) = first_number(device) else { return Announced::default() };
        let is_first = !self.0.is_announced.swap(true, Ordering::Relaxed);
        Announced(Mutex::new(is_first.then(|| Planned { expected, device: device.clone(), counted: Counted::new(self.clone()) })))
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
pub(crate) struct Announced(Mutex<Option<Planned>>);

#[derive(Debug)]
struct Planned {
    expected: f32,
    device: Device,
    counted: Counted,
}

impl Announced {
    /// On the thread that is about to make the batch.
    pub(crate) fn begin(&self) -> Option<Look> {
        let planned = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let turn = lock();
        planned.device.seed(SEED);
        Some(Look { planned, _turn: turn })
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
    planned: Planned,
    _turn: MutexGuard<'static, ()>,
}

impl Look {
    /// Ends the check once the batch is complete. It reads the device once.
    pub(crate) fn end(self) {
        let Planned { expected, device, counted } = &self.planned;
        let is_moved = draw(device).to_bits() != expected.to_bits();
        counted.0.0.is_news.store(is_moved, Ordering::Relaxed);
    }
}

/// In f32, also if the default type of the device is narrower: in bf16, a number returns soon.
fn draw(device: &Device) -> f32 {
    Tensor::<1>::random([1], Distribution::Default, (device, DType::F32)).into_scalar()
}
