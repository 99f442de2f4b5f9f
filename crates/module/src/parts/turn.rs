//! Turns: threads that draw from one random generator, one after the other.

use std::sync::mpsc;

use burn::tensor::Device;

/// The turn of a thread to draw random numbers. It ends on drop.
pub(super) struct Turn {
    device: Device,
    seed: u64,
    /// Nothing is sent. The other end is dropped when the turn before ends.
    before: Option<mpsc::Receiver<()>>,
    _next: mpsc::Sender<()>,
}

impl Turn {
    /// A turn for each of these seeds, in this order.
    pub(super) fn for_each(device: &Device, seeds: Vec<u64>) -> Vec<Self> {
        let mut before = None;
        let turn = |seed| {
            let (sender, next) = mpsc::channel();
            Self { device: device.clone(), seed, before: before.replace(next), _next: sender }
        };
        seeds.into_iter().map(turn).collect()
    }

    /// Waits for the turn before, and seeds the generator.
    pub(super) fn begin(&self) {
        if let Some(before) = &self.before {
            let _ = before.recv();
        }
        self.device.seed(self.seed);
    }
}
