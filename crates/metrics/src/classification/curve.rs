//! ROC and precision-recall curves, as pictures.

use stormfire_derive::Merge;

use super::ranking::{Binned, Exact, Point, Ranked, Ranking};
use crate::{
    computed::Outline,
    metric::Metric,
    picture::{Curves, Line},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Roc,
    PrecisionRecall,
}

/// The curves of all classes: [`Binned::roc`] or [`Binned::precision_recall`], and the same of [`Exact`].
///
/// Points go from the highest threshold to the lowest.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Curve<R: Ranking> {
    ranking: R,
    #[merge(same)]
    kind: Kind,
}

macro_rules! curves {
    ($($ranking:ty),*) => {$(
        impl $ranking {
            /// True positive rates over false positive rates, from (0, 0). A rate of no items is NaN.
            pub fn roc(&self) -> Curve<Self> {
                Curve { ranking: self.clone(), kind: Kind::Roc }
            }

            /// Precision over recall, from (0, 1). The precision is NaN where nothing is predicted, and the recall
            /// without positives.
            pub fn precision_recall(&self) -> Curve<Self> {
                Curve { ranking: self.clone(), kind: Kind::PrecisionRecall }
            }
        }
    )*};
}
curves!(Binned, Exact);

impl Kind {
    fn line(self, name: &str, class: &Ranked) -> Line {
        let first = match self {
            Kind::Roc => (0.0, 0.0),
            Kind::PrecisionRecall => (0.0, 1.0),
        };
        let rates = class.points.iter().map(|point| match self {
            Kind::Roc => (point.fp / class.negatives, point.tp / class.positives),
            Kind::PrecisionRecall => (point.tp / class.positives, point.tp / (point.tp + point.fp)),
        });
        // Nothing is predicted above the highest threshold.
        let at = std::iter::once(f64::INFINITY).chain(class.points.iter().map(|point| point.threshold)).collect();
        let counts = |&Point { tp, fp, .. }: &Point| [tp, fp, class.negatives - fp, class.positives - tp];
        let counts = match self {
            // An invalid curve has no counts.
            Kind::PrecisionRecall if !class.positives.is_nan() => {
                std::iter::once([0.0, 0.0, class.negatives, class.positives]).chain(class.points.iter().map(counts)).collect()
            }
            _ => Vec::new(),
        };
        Line { name: name.into(), points: std::iter::once(first).chain(rates).collect(), at, counts }
    }
}

impl<R: Ranking> Metric for Curve<R> {
    type Value = Curves;

    fn compute(&self) -> Curves {
        let (x, y) = match self.kind {
            Kind::Roc => ("false positive rate", "true positive rate"),
            Kind::PrecisionRecall => ("recall", "precision"),
        };
        let ranked = self.ranking.ranked();
        let lines = self.ranking.names().iter().zip(&ranked).map(|(name, class)| self.kind.line(name, class)).collect();
        Curves { x: x.into(), y: y.into(), at: "threshold".into(), lines }
    }

    fn outline(&self) -> Outline {
        Outline::Picture
    }
}
