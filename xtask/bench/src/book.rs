//! The programs of the book that need burn-train, as doctests. Without the feature, they are empty.

#[cfg(doctest)]
#[doc = include_str!("../../../docs/from-burn-train.md")]
struct FromBurnTrain;
