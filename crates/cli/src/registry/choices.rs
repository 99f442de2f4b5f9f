//! Options that are one of a few words, or have one of several forms, and the values of setters that they stand for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire_callbacks::{Annealing, GradientNorm, PruningAmount, PruningNorm, SaveLast, SaveTopK, SpikeAction, SwaLrs, UpdatesOf};
use stormfire_optim::Patterns;
use stormfire_values::Mode;

/// An option with a word for each of these values of a setter.
macro_rules! words {
    ($($(#[doc = $doc:literal])* $name:ident for $value:ty { $($word:ident => $of:expr,)* })*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub(super) enum $name {
            $($word,)*
        }

        impl From<$name> for $value {
            fn from(word: $name) -> Self {
                match word {
                    $($name::$word => $of,)*
                }
            }
        }
    )*};
}

words! {
    /// The end of a step or of an epoch.
    Interval for stormfire_callbacks::Interval {
        Step => Self::Step,
        Epoch => Self::Epoch,
    }
    /// The reaction to a spike.
    OnSpike for SpikeAction {
        Warn => Self::Warn,
        Skip => Self::Skip,
        Stop => Self::Stop,
    }
    /// The norms of a gradient.
    Norm for GradientNorm {
        L2 => Self::L2,
        Max => Self::Max,
    }
    /// The norms of a slice.
    SliceNorm for PruningNorm {
        L1 => Self::L1,
        L2 => Self::L2,
        Max => Self::Max,
    }
    /// The norms to log besides the total.
    Norms for UpdatesOf {
        Total => Self::Total,
        Layer => Self::Layer,
        Parameter => Self::Parameter,
    }
    /// How learning rates move to others.
    Curve for Annealing {
        Cos => Self::Cos,
        Linear => Self::Linear,
    }
    /// All checkpoints.
    All for SaveTopK {
        All => Self::All,
    }
    /// A symbolic link.
    Linked for SaveLast {
        Link => Self::Link,
    }
}

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Min,
    Max,
}

impl From<Better> for Mode {
    fn from(better: Better) -> Self {
        match better {
            Better::Min => Self::Min,
            Better::Max => Self::Max,
        }
    }
}

/// The epochs in which learning rates move to others.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Anneal {
    /// Their number.
    pub(super) epochs: usize,
    /// How the rates move.
    pub(super) strategy: Curve,
}

/// Slices of a parameter.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Slices {
    /// The dimension.
    pub(super) dim: usize,
    /// The norm by which they are compared.
    pub(super) norm: SliceNorm,
}

// One of two forms of an option. A comment for documentation would be in the schemas of all such options.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "it has none of the forms of this option")]
#[schemars(inline)]
pub(super) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Paths of parameters, with `*` for any text.
pub(super) type Paths = Either<String, Vec<String>>;

/// Lets setters of these types take both forms.
macro_rules! from_either {
    ($($target:ty),*) => {$(
        impl<A, B> From<Either<A, B>> for $target
        where
            $target: From<A> + From<B>,
        {
            fn from(form: Either<A, B>) -> Self {
                match form {
                    Either::First(first) => first.into(),
                    Either::Second(second) => second.into(),
                }
            }
        }
    )*};
}

from_either!(Patterns, PruningAmount, SaveLast, SaveTopK, SwaLrs);
