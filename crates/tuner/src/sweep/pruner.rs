//! Ends trials that are worse than others.

use serde::{Deserialize, Serialize};
use stormfire_module::{Error, Result};
use stormfire_values::Mode;

use super::record::{TrialRecord, TrialState, rank};

/// A rule that ends a trial at one of its validations.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pruner(Rule);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rule {
    None,
    Median { startup: usize, warmup: usize },
    Asha { first: usize, factor: usize },
}

impl Pruner {
    /// Ends no trial.
    pub fn none() -> Self {
        Self(Rule::None)
    }

    /// Ends a trial whose best value so far is worse than the median of the completed trials at the same validation. It
    /// starts after 5 completed trials. The decisions are those of Optuna's `MedianPruner`, but NaN of another trial
    /// counts as its worst value: Optuna leaves it out.
    pub fn median() -> Self {
        Self::median_after(5, 0)
    }

    /// As [`median`](Self::median), after `trials` completed trials, and `validations` validations of each trial.
    pub fn median_after(trials: usize, validations: usize) -> Self {
        Self(Rule::Median { startup: trials.max(1), warmup: validations })
    }

    /// Asynchronous successive halving: at the validations 1, 3, 9, .. a trial continues if it is in the best third of
    /// all trials that have reached this validation. The decisions are those of Optuna's
    /// `SuccessiveHalvingPruner(1, 3)`, but NaN of another trial counts as its worst value: Optuna leaves it out.
    pub fn asha() -> Self {
        Self::asha_with(1, 3)
    }

    /// As [`asha`](Self::asha): the first validation that counts, and the factor between two of them, which is also the
    /// share of trials that continue.
    pub fn asha_with(first: usize, factor: usize) -> Self {
        Self(Rule::Asha { first, factor })
    }

    pub(super) fn is_none(&self) -> bool {
        matches!(self.0, Rule::None)
    }

    pub(super) fn check(&self) -> Result<()> {
        match self.0 {
            Rule::Asha { first, factor } if first == 0 || factor < 2 => {
                let reason = format!("the first validation is {first} and the factor {factor}");
                Err(Error::config("Pruner::asha_with", reason, "count from 1, and use a factor of at least 2"))
            }
            _ => Ok(()),
        }
    }

    /// Why a trial with these values ends.
    pub(super) fn ends(&self, reports: &[f64], others: &[TrialRecord], mode: Mode) -> Option<String> {
        let count = reports.len();
        let at = |record: &TrialRecord| Some(rank(*record.reports.get(count.checked_sub(1)?)?, mode));
        let is_worst = |rank: f64| rank.is_infinite() && rank > 0.0;
        let no_number = || format!("pruned: its value at validation {count} is not finite");
        match self.0 {
            Rule::None => None,
            Rule::Median { startup, warmup } => {
                let completed = || others.iter().filter(|record| record.state == TrialState::Completed);
                if count <= warmup || completed().count() < startup {
                    return None;
                }
                let best = reports.iter().map(|report| rank(*report, mode)).fold(f64::INFINITY, f64::min);
                if is_worst(best) {
                    return Some(no_number());
                }
                let mut values: Vec<f64> = completed().filter_map(at).collect();
                values.sort_by(f64::total_cmp);
                let median = f64::midpoint(*values.get(values.len().saturating_sub(1) / 2)?, *values.get(values.len() / 2)?);
                (best > median).then(|| format!("pruned: worse than the median of {} trials at validation {count}", values.len()))
            }
            Rule::Asha { first, factor } => {
                let is_rung = std::iter::successors(Some(first), |rung| rung.checked_mul(factor)).take_while(|rung| *rung <= count);
                if is_rung.last() != Some(count) {
                    return None;
                }
                let own = rank(*reports.last()?, mode);
                if is_worst(own) {
                    return Some(no_number());
                }
                let others: Vec<f64> = others.iter().filter_map(at).collect();
                let best = ((others.len() + 1) / factor).max(1);
                let better = others.iter().filter(|other| **other < own).count();
                (better >= best).then(|| format!("pruned: not among the best {best} of {} trials at validation {count}", others.len() + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn trials(reports: &[&[f64]]) -> Vec<TrialRecord> {
        let record = |(number, reports): (usize, &&[f64])| TrialRecord {
            state: TrialState::Completed,
            reports: reports.to_vec(),
            ..TrialRecord::new(number, Map::new())
        };
        reports.iter().enumerate().map(record).collect()
    }

    #[test]
    fn the_median_compares_the_best_so_far_at_the_same_validation() {
        let others = trials(&[&[4.0, 3.0], &[5.0, 1.0], &[6.0, 2.0], &[7.0]]);
        let pruner = Pruner::median_after(3, 0);
        let ends = |reports: &[f64]| pruner.ends(reports, &others, Mode::Min).is_some();
        // The medians are 5.5, 2.
        assert_eq!(
            [ends(&[5.4]), ends(&[5.6]), ends(&[9.0, 2.0]), ends(&[2.0, 9.0]), ends(&[9.0, 2.1])],
            [false, true, false, false, true]
        );
        assert!(ends(&[f64::NAN]) && !ends(&[9.0, 9.0, 9.0]));
        assert!(Pruner::median_after(3, 1).ends(&[9.0], &others, Mode::Min).is_none());
        assert!(Pruner::median_after(5, 0).ends(&[9.0], &others, Mode::Min).is_none());
        assert!(pruner.ends(&[5.4], &others, Mode::Max).is_some() && pruner.ends(&[5.6], &others, Mode::Max).is_none());
    }

    #[test]
    fn successive_halving_keeps_a_share_at_each_rung() {
        let others = trials(&[&[1.0, 0.0, 4.0], &[2.0, 0.0], &[3.0], &[4.0], &[f64::NAN]]);
        let ends = |reports: &[f64]| Pruner::asha().ends(reports, &others, Mode::Min).is_some();
        // Two of six continue at the first rung, and the better one of two at the third validation.
        assert_eq!(
            [ends(&[1.5]), ends(&[2.5]), ends(&[9.0, 9.0]), ends(&[1.0, 9.0, 3.0]), ends(&[1.0, 9.0, 5.0])],
            [false, true, false, false, true]
        );
        assert!(Pruner::asha().ends(&[9.0], &[], Mode::Min).is_none(), "the first trial has no rival");
        assert!(ends(&[f64::NAN]) && Pruner::asha().ends(&[f64::NAN], &[], Mode::Min).is_some());
    }
}
