//! The ranked documents of single queries.

/// The documents of a query, from the highest score to the lowest, each with its score and relevance.
pub(super) struct Query(Vec<(f64, f64)>);

/// Sorts documents by query and score. Documents with equal scores keep their order.
pub(super) fn queries(scores: &[f64], relevance: &[f64], of: &[f64]) -> Vec<Query> {
    let mut order: Vec<usize> = (0..scores.len().min(relevance.len()).min(of.len())).collect();
    order.sort_by(|a, b| of[*a].total_cmp(&of[*b]).then(scores[*b].total_cmp(&scores[*a])));
    let same_query = |a: &usize, b: &usize| of[*a].total_cmp(&of[*b]).is_eq();
    order.chunk_by(same_query).map(|documents| Query(documents.iter().map(|index| (scores[*index], relevance[*index])).collect())).collect()
}

/// `Σ 1 / log₂(rank + 1)` of some ranks, from 1, up to `k`.
fn discount(ranks: std::ops::Range<usize>, k: usize) -> f64 {
    ranks.filter(|rank| *rank <= k).map(|rank| 1.0 / (rank as f64 + 1.0).log2()).sum()
}

impl Query {
    /// Number of relevant documents.
    pub(super) fn relevant(&self) -> usize {
        self.relevant_in(usize::MAX)
    }

    /// Number of relevant documents among the first ones.
    pub(super) fn relevant_in(&self, k: usize) -> usize {
        self.0.iter().take(k).filter(|(_, relevance)| *relevance > 0.0).count()
    }

    /// The rank of the first relevant document, from 1.
    pub(super) fn first_relevant(&self) -> Option<usize> {
        self.0.iter().position(|(_, relevance)| *relevance > 0.0).map(|index| index + 1)
    }

    /// The mean precision at the ranks of the relevant documents.
    pub(super) fn average_precision(&self) -> f64 {
        let (mut sum, mut hits) = (0.0, 0.0);
        for (index, (_, relevance)) in self.0.iter().enumerate() {
            if *relevance > 0.0 {
                hits += 1.0;
                sum += hits / (index as f64 + 1.0);
            }
        }
        sum / hits
    }

    /// The discounted gain over the best possible one.
    pub(super) fn ndcg(&self, k: usize) -> f64 {
        let (mut gain, mut rank) = (0.0, 1);
        for ties in self.0.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
            let mean = ties.iter().map(|(_, relevance)| relevance).sum::<f64>() / ties.len() as f64;
            gain += mean * discount(rank..rank + ties.len(), k);
            rank += ties.len();
        }
        let mut best: Vec<f64> = self.0.iter().map(|(_, relevance)| *relevance).collect();
        best.sort_unstable_by(|a, b| b.total_cmp(a));
        let ideal: f64 = best.iter().enumerate().map(|(index, relevance)| relevance * discount(index + 1..index + 2, k)).sum();
        gain / ideal
    }
}
