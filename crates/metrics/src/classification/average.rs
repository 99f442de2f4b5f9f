//! From the numbers of each class to one number.

use super::class_counts::ClassCounts;

/// How the numbers of classes or labels become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Average {
    /// The counts of all classes are added first.
    #[default]
    Micro,
    /// The mean over classes. A class of [`Multiclass`](super::Multiclass) that is neither a target nor predicted does
    /// not count. With [`top_k`](super::Multiclass::top_k), only targets count.
    Macro,
    /// The mean over classes, weighted by their number of targets.
    Weighted,
}

/// `a / b`, or another value if `b` is 0.
pub(crate) fn safe_ratio(a: f64, b: f64, otherwise: f64) -> f64 {
    if b == 0.0 { otherwise } else { a / b }
}

/// The mean of a number of each class that `occurs`, or `without` any class that counts. Numbers that are NaN are left
/// out, but NaN counts make it NaN.
pub(crate) fn mean_of_classes(
    counts: &[ClassCounts],
    average: Average,
    occurs: impl Fn(&ClassCounts) -> bool,
    without: f64,
    number: impl Fn(&ClassCounts) -> f64,
) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for class in counts {
        let number = number(class);
        if number.is_nan() && !class.support().is_nan() {
            continue;
        }
        let weight = match average {
            Average::Weighted => class.support(),
            // Micro has no classes left.
            Average::Macro | Average::Micro => f64::from(u8::from(occurs(class))),
        };
        sum += weight * number;
        weights += weight;
    }
    safe_ratio(sum, weights, without)
}
