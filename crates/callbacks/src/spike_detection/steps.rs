//! The losses of steps that are not judged yet.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use stormfire_module::Result;
use stormfire_values::{Scalar, read::read};

/// The batches of a step: those of its window, on all ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) epoch: usize,
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) step: u64,
}

/// The losses of the open window of this rank.
#[derive(Clone, Debug, Default)]
pub(super) struct Open {
    sum: Option<Scalar>,
    count: usize,
    first: Option<usize>,
}

impl Open {
    pub(super) fn add(&mut self, loss: &Tensor<1>, batch: usize) {
        let loss = Scalar::from(loss.clone().inner());
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum.plus(loss),
            None => loss,
        });
        self.count += 1;
        self.first.get_or_insert(batch);
    }
}

/// The open window, and the steps that are not judged, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    pub(super) open: Open,
    waiting: Vec<(Span, Open)>,
}

/// A step in a checkpoint. Its sum is here, or in the tensor of sums.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct SavedStep {
    /// `None` for the open window.
    span: Option<Span>,
    sum: Option<f64>,
    is_on_device: bool,
    count: usize,
    first: Option<usize>,
}

impl Steps {
    /// The step with the losses of the open window. A rank may have none.
    pub(super) fn close(&mut self, epoch: usize, end: usize, step: u64) {
        let open = std::mem::take(&mut self.open);
        let first = open.first.unwrap_or_else(|| end.saturating_sub(1));
        self.waiting.push((Span { epoch, first, end, step }, open));
    }

    /// The step of this batch was skipped for another reason.
    pub(super) fn forget_newest(&mut self) {
        self.waiting.pop();
    }

    /// The mean losses of the steps over all ranks, if they are at hand or may be read.
    pub(super) fn take(&mut self, may_read: bool) -> Result<Vec<(Span, f64)>> {
        let ranks = stormfire_ranks::here()?;
        let at_hand = || self.waiting.iter().all(|(_, open)| !matches!(open.sum, Some(Scalar::Device(_))));
        // All ranks must come to the same end at the same moment.
        if self.waiting.is_empty() || !(may_read || (ranks.world() == 1 && at_hand())) {
            return Ok(Vec::new());
        }
        let waiting = std::mem::take(&mut self.waiting);
        let sums: Vec<Scalar> = waiting.iter().map(|(_, open)| open.sum.clone().unwrap_or(Scalar::Host(0.0))).collect();
        let mut numbers = read(&sums)?;
        numbers.extend(waiting.iter().map(|(_, open)| open.count as f64));
        // The first batch of a window is that of any rank.
        if ranks.world() > 1 {
            ranks.all_reduce_f64(&mut numbers)?;
        }
        let (sums, counts) = numbers.split_at(waiting.len());
        let means = waiting.iter().zip(sums.iter().zip(counts));
        Ok(means.filter(|(_, (_, count))| **count > 0.0).map(|((span, _), (sum, count))| (*span, sum / count)).collect())
    }

    /// The content of a checkpoint, with the sums that are on the device.
    pub(super) fn saved(&self) -> (Vec<SavedStep>, Option<Tensor<1>>) {
        let mut on_device = Vec::new();
        let mut saved = |span: Option<Span>, open: &Open| {
            let (sum, is_on_device) = match &open.sum {
                Some(Scalar::Host(sum)) => (Some(*sum), false),
                Some(Scalar::Device(sum)) => {
                    on_device.push(sum.clone().into_tensor());
                    (None, true)
                }
                None => (None, false),
            };
            SavedStep { span, sum, is_on_device, count: open.count, first: open.first }
        };
        let mut steps: Vec<SavedStep> = self.waiting.iter().map(|(span, open)| saved(Some(*span), open)).collect();
        steps.push(saved(None, &self.open));
        (steps, (!on_device.is_empty()).then(|| Tensor::cat(on_device, 0)))
    }

    pub(super) fn of(saved: Vec<SavedStep>, sums: Option<&Tensor<1>>) -> Self {
        let mut steps = Self::default();
        let mut taken = 0;
        for SavedStep { span, sum, is_on_device, count, first } in saved {
            let on_device = sums.filter(|_| is_on_device).map(|sums| {
                taken += 1;
                Scalar::from(sums.clone().slice(taken - 1..taken))
            });
            let open = Open { sum: sum.map(Scalar::Host).or(on_device), count, first };
            match span {
                Some(span) => steps.waiting.push((span, open)),
                None => steps.open = open,
            }
        }
        steps
    }
}
