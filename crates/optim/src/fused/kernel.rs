//! The loops over the numbers of a parameter.

use rayon::iter::{IndexedParallelIterator as _, ParallelIterator as _};
use rayon::slice::{ParallelSlice as _, ParallelSliceMut as _};

/// The least numbers of a thread: fewer are done before another thread wakes up.
const SHARE: usize = 16 * 1024;

/// The update of one number at one step.
pub(super) trait Rule: Sync {
    /// The new value and the new moments.
    fn update(&self, value: f32, gradient: f32, moments: [f32; 2]) -> (f32, [f32; 2]);
}

/// [`burn::optim::Adam`].
pub(super) struct AdamRule {
    pub(super) betas: [f32; 2],
    /// The factor of the first moment, which corrects the bias.
    pub(super) factor: f32,
    pub(super) epsilon: f32,
    /// The weight decay, which is added to the gradient.
    pub(super) penalty: Option<f32>,
    pub(super) rate: f32,
}

impl Rule for AdamRule {
    #[inline]
    fn update(&self, value: f32, gradient: f32, moments: [f32; 2]) -> (f32, [f32; 2]) {
        let gradient = match self.penalty {
            Some(penalty) => value * penalty + gradient,
            None => gradient,
        };
        let [first, second] = averaged(self.betas, gradient, moments);
        let direction = first * self.factor / (second.sqrt() + self.epsilon);
        (value - direction * self.rate, [first, second])
    }
}

/// [`burn::optim::AdamW`].
pub(super) struct AdamWRule {
    pub(super) betas: [f32; 2],
    /// The divisors that correct the bias of the moments.
    pub(super) left: [f32; 2],
    pub(super) epsilon: f32,
    /// The factor of a value that weight decay leaves.
    pub(super) kept: Option<f32>,
    pub(super) rate: f32,
}

impl Rule for AdamWRule {
    #[inline]
    fn update(&self, value: f32, gradient: f32, moments: [f32; 2]) -> (f32, [f32; 2]) {
        let [first, second] = averaged(self.betas, gradient, moments);
        let [left_1, left_2] = self.left;
        let direction = first / left_1 / ((second / left_2).sqrt() + self.epsilon);
        let kept = match self.kept {
            Some(kept) => value * kept,
            None => value,
        };
        (kept - direction * self.rate, [first, second])
    }
}

#[inline]
fn averaged([beta_1, beta_2]: [f32; 2], gradient: f32, [first, second]: [f32; 2]) -> [f32; 2] {
    [first * beta_1 + gradient * (1.0 - beta_1), second * beta_2 + gradient * gradient * (1.0 - beta_2)]
}

/// Updates all numbers of a parameter. The result does not depend on the number of threads.
pub(super) fn run(rule: &impl Rule, values: &mut [f32], gradient: &[f32], [first, second]: [&mut [f32]; 2]) {
    let share = values.len().div_ceil(rayon::current_num_threads()).max(SHARE);
    if values.len() <= share {
        return of_share(rule, values, gradient, [first, second]);
    }
    let moments = first.par_chunks_mut(share).zip(second.par_chunks_mut(share));
    let shares = values.par_chunks_mut(share).zip(gradient.par_chunks(share)).zip(moments);
    shares.for_each(|((values, gradient), (first, second))| of_share(rule, values, gradient, [first, second]));
}

fn of_share(rule: &impl Rule, values: &mut [f32], gradient: &[f32], [first, second]: [&mut [f32]; 2]) {
    for (((value, gradient), first), second) in values.iter_mut().zip(gradient).zip(first).zip(second) {
        (*value, [*first, *second]) = rule.update(*value, *gradient, [*first, *second]);
    }
}
