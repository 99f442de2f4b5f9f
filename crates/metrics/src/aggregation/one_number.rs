//! Sum, maximum, minimum.

use stormfire_derive::Merge;
use stormfire_values::Scalar;

use crate::metric::Metric;

/// They differ only in their rule.
macro_rules! one_number {
    ($($(#[$doc:meta])* $name:ident: $rule:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Merge)]
        #[merge(crate = crate)]
        pub struct $name(#[merge($rule)] Scalar);

        impl $name {
            /// Creates a metric from the value of one part.
            pub fn new(value: impl Into<Scalar>) -> Self {
                Self(value.into())
            }
        }

        impl Metric for $name {
            type Value = f64;

            fn compute(&self) -> f64 {
                self.0.value()
            }
        }
    )*};
}

one_number! {
    /// A sum, without weights.
    Sum: sum;
    /// The maximum. NaN if a value is NaN.
    Max: max;
    /// The minimum. NaN if a value is NaN.
    Min: min;
}
