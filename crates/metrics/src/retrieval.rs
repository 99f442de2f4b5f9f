//! Retrieval: how well documents are ranked for queries.

mod queries;

use burn::tensor::{Int, Tensor};
use stormfire_derive::Merge;
use stormfire_values::ConfigError;

use self::queries::{Query, queries};
use crate::{
    classification::{plain, plain_targets},
    metric::Metric,
    rows::Rows,
};

/// Scores and relevance of documents, with the query that each belongs to. See [`retrieval`].
///
/// All documents are kept until the end, so that a query may be divided among batches and ranks.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Retrieval {
    #[merge(cat)]
    scores: Rows,
    #[merge(cat)]
    relevance: Rows,
    #[merge(cat)]
    queries: Rows,
}

/// Documents of one batch, in tensors of one shape: their scores, their relevance (0, 1, or a degree for
/// [`Retrieval::ndcg`]), and the number of their query, up to 2^53.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_metrics::{Metric, retrieval::retrieval};
///
/// let device = Device::flex();
/// let scores = Tensor::<1>::from_floats([0.2, 0.9, 0.5, 0.1], &device);
/// let documents = retrieval(&scores, &Tensor::from_ints([1, 0, 1, 1], &device), &Tensor::from_ints([0, 0, 1, 1], &device))?;
/// assert_eq!(documents.mrr().read()?, 0.75);
/// assert_eq!(documents.hit_rate(1).read()?, 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The shapes differ.
pub fn retrieval<const D: usize>(
    scores: &Tensor<D>,
    relevance: &Tensor<D, Int>,
    queries: &Tensor<D, Int>,
) -> Result<Retrieval, ConfigError> {
    let dims = scores.dims();
    if dims != relevance.dims() || dims != queries.dims() {
        let reason = format!("the scores have shape {dims:?}, the relevance {:?}, the queries {:?}", relevance.dims(), queries.dims());
        return Err(ConfigError::new("retrieval", reason, "give a relevance and a query for each score, in the same shape"));
    }
    let ints = |tensor: &Tensor<D, Int>| Rows::new(plain_targets(tensor).flatten::<1>(0, D - 1));
    Ok(Retrieval { scores: Rows::new(plain(scores).flatten::<1>(0, D - 1)), relevance: ints(relevance), queries: ints(queries) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Mrr,
    Map,
    Ndcg,
    HitRate,
    Recall,
    Precision,
}

/// The score of a query without relevant documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutRelevant {
    /// 0.
    #[default]
    Zero,
    /// 1.
    One,
    /// It does not count.
    Skip,
}

/// The mean of a score over queries: a view of [`Retrieval`]. NaN without queries.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct RetrievalScore {
    documents: Retrieval,
    #[merge(same)]
    kind: Kind,
    #[merge(same)]
    k: usize,
    #[merge(same)]
    without: WithoutRelevant,
}

impl Retrieval {
    fn score(&self, kind: Kind, k: usize) -> RetrievalScore {
        RetrievalScore { documents: self.clone(), kind, k, without: WithoutRelevant::Zero }
    }

    /// The mean reciprocal rank: `1 / rank` of the first relevant document.
    pub fn mrr(&self) -> RetrievalScore {
        self.score(Kind::Mrr, usize::MAX)
    }

    /// The mean average precision: the mean precision at the ranks of the relevant documents.
    pub fn map(&self) -> RetrievalScore {
        self.score(Kind::Map, usize::MAX)
    }

    /// The normalized discounted cumulative gain of the first `k` documents, `Σ relevance / log₂(rank + 1)` over the
    /// best possible one. Documents with equal scores share their gain.
    pub fn ndcg(&self, k: usize) -> RetrievalScore {
        self.score(Kind::Ndcg, k)
    }

    /// The share of queries with a relevant document among the first `k`.
    pub fn hit_rate(&self, k: usize) -> RetrievalScore {
        self.score(Kind::HitRate, k)
    }

    /// The share of relevant documents that are among the first `k`.
    pub fn recall(&self, k: usize) -> RetrievalScore {
        self.score(Kind::Recall, k)
    }

    /// The share of relevant ones among the first `k` documents. With less than `k` documents the others count as not
    /// relevant.
    pub fn precision(&self, k: usize) -> RetrievalScore {
        self.score(Kind::Precision, k)
    }
}

impl RetrievalScore {
    /// The score of a query without relevant documents. Default 0.
    pub fn without_relevant(mut self, counts: WithoutRelevant) -> Self {
        self.without = counts;
        self
    }

    fn of(&self, query: &Query) -> Option<f64> {
        if query.relevant() == 0 {
            return match self.without {
                WithoutRelevant::Zero => Some(0.0),
                WithoutRelevant::One => Some(1.0),
                WithoutRelevant::Skip => None,
            };
        }
        let hits = || query.relevant_in(self.k) as f64;
        Some(match self.kind {
            Kind::Mrr => query.first_relevant().map_or(0.0, |rank| 1.0 / rank as f64),
            Kind::Map => query.average_precision(),
            Kind::Ndcg => query.ndcg(self.k),
            Kind::HitRate => hits().min(1.0),
            Kind::Recall => hits() / query.relevant() as f64,
            Kind::Precision => hits() / self.k as f64,
        })
    }
}

impl Metric for RetrievalScore {
    type Value = f64;

    fn compute(&self) -> f64 {
        let Retrieval { scores, relevance, queries: of } = &self.documents;
        let (scores, relevance, of) = (scores.to_vec(), relevance.to_vec(), of.to_vec());
        if scores.iter().any(|score| score.is_nan()) {
            return f64::NAN;
        }
        let (mut sum, mut count) = (0.0, 0.0);
        for value in queries(&scores, &relevance, &of).iter().filter_map(|query| self.of(query)) {
            sum += value;
            count += 1.0;
        }
        sum / count
    }
}
