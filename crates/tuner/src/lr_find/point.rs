//! One step of the test.

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LrPoint {
    /// The learning rate of the step.
    pub rate: f64,
    /// The loss before it: the mean of the batches of its window.
    pub loss: f64,
    /// The mean of the losses so far, with weights that fall by 2 % a step.
    pub smoothed: f64,
}
