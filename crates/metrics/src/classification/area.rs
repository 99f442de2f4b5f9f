//! Areas below curves: AUROC and average precision.

use stormfire_derive::Merge;
use stormfire_values::ConfigError;

use super::{
    average::Average,
    ranking::{Binned, Exact, Ranked, Ranking},
    task::refuse,
};
use crate::{
    computed::{Named, Outline},
    metric::Metric,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Auroc { max_fpr: f64 },
    AveragePrecision,
}

/// The area below a curve: [`Binned::auroc`] or [`Binned::average_precision`], and the same of [`Exact`].
///
/// A class without positives has no area, and without negatives no AUROC: it is NaN, and does not count in an average.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Area<R: Ranking> {
    ranking: R,
    #[merge(same)]
    kind: Kind,
    #[merge(same)]
    average: Average,
}

macro_rules! areas {
    ($($ranking:ty),*) => {$(
        impl $ranking {
            /// The area below the ROC curve: the probability that a right answer has a higher score than a wrong one.
            /// Ties count half.
            pub fn auroc(&self) -> Area<Self> {
                Area { ranking: self.clone(), kind: Kind::Auroc { max_fpr: 1.0 }, average: Average::Macro }
            }

            /// The average precision, `Σ (recall_n - recall_(n-1))·precision_n` over falling thresholds.
            pub fn average_precision(&self) -> Area<Self> {
                Area { ranking: self.clone(), kind: Kind::AveragePrecision, average: Average::Macro }
            }
        }
    )*};
}
areas!(Binned, Exact);

impl<R: Ranking> Area<R> {
    /// How classes become one number. Default [`Average::Macro`]. [`Average::Weighted`] weighs by positives.
    pub fn average(mut self, average: Average) -> Self {
        self.average = average;
        self
    }

    /// The AUROC up to a false positive rate only, scaled so that chance is 0.5 (`McClish`). Default 1.
    ///
    /// # Errors
    /// It is not in `0..=1`, or 0. The average precision has none.
    pub fn max_fpr(mut self, rate: f64) -> Result<Self, ConfigError> {
        match &mut self.kind {
            Kind::Auroc { max_fpr } if rate > 0.0 && rate <= 1.0 => *max_fpr = rate,
            _ => return Err(refuse("max_fpr", format!("{rate}"), "use a rate above 0 and up to 1, of an AUROC")),
        }
        Ok(self)
    }

    /// A number for each class or label, instead of one.
    pub fn per_class(self) -> AreaPerClass<R> {
        AreaPerClass(self)
    }

    fn of(&self, class: &Ranked) -> f64 {
        match self.kind {
            Kind::Auroc { max_fpr } => auroc(class, max_fpr),
            Kind::AveragePrecision => average_precision(class),
        }
    }
}

fn auroc(class: &Ranked, max_fpr: f64) -> f64 {
    if class.positives == 0.0 || class.negatives == 0.0 {
        return f64::NAN;
    }
    let (mut area, mut before) = (0.0, (0.0, 0.0));
    for point in &class.points {
        let (mut x, mut y) = (point.fp / class.negatives, point.tp / class.positives);
        if x > max_fpr {
            y = before.1 + (y - before.1) * (max_fpr - before.0) / (x - before.0);
            x = max_fpr;
        }
        area += (x - before.0) * f64::midpoint(y, before.1);
        before = (x, y);
        if x >= max_fpr && max_fpr < 1.0 {
            break;
        }
    }
    if class.positives.is_nan() {
        f64::NAN
    } else if max_fpr < 1.0 {
        let least = 0.5 * max_fpr * max_fpr;
        0.5 * (1.0 + (area - least) / (max_fpr - least))
    } else {
        area
    }
}

fn average_precision(class: &Ranked) -> f64 {
    if class.positives == 0.0 || class.positives.is_nan() {
        return f64::NAN;
    }
    let (mut sum, mut before) = (0.0, 0.0);
    for point in &class.points {
        if point.tp > before {
            sum += (point.tp - before) * point.tp / (point.tp + point.fp);
        }
        before = point.tp;
    }
    sum / class.positives
}

impl<R: Ranking> Metric for Area<R> {
    type Value = f64;

    fn compute(&self) -> f64 {
        if self.average == Average::Micro {
            return self.of(&self.ranking.pooled());
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for class in self.ranking.ranked() {
            let area = self.of(&class);
            let weight = if self.average == Average::Weighted { class.positives } else { 1.0 };
            // A class without an area does not count, unless its scores are NaN.
            if !area.is_nan() || class.positives.is_nan() {
                sum += area * weight;
                weights += weight;
            }
        }
        sum / weights
    }
}

/// An area of each class or label, named by it.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct AreaPerClass<R: Ranking>(Area<R>);

impl<R: Ranking> Metric for AreaPerClass<R> {
    type Value = Named;

    fn compute(&self) -> Named {
        let areas = self.0.ranking.ranked().into_iter().map(|class| self.0.of(&class));
        Named(self.0.ranking.names().iter().cloned().zip(areas).collect())
    }

    fn outline(&self) -> Outline {
        Outline::Named(self.0.ranking.names().to_vec())
    }
}
