//! The counts of one class.

/// Integer counts of one class or label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassCounts {
    /// Predicted, and right.
    pub tp: f64,
    /// Predicted, but wrong.
    pub fp: f64,
    /// Not predicted, and right.
    pub tn: f64,
    /// Not predicted, but wrong.
    pub fn_: f64,
}

impl ClassCounts {
    /// Number of targets.
    pub fn support(&self) -> f64 {
        self.tp + self.fn_
    }

    pub(crate) fn plus(self, other: &Self) -> Self {
        Self { tp: self.tp + other.tp, fp: self.fp + other.fp, tn: self.tn + other.tn, fn_: self.fn_ + other.fn_ }
    }
}
