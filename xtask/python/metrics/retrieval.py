"""Ranked documents."""

import numpy
import torch
import torchmetrics.retrieval as tm

from common import attempt, case

METRICS = {
    "mrr": (tm.RetrievalMRR, False),
    "map": (tm.RetrievalMAP, False),
    "ndcg": (tm.RetrievalNormalizedDCG, True),
    "hit_rate": (tm.RetrievalHitRate, True),
    "recall": (tm.RetrievalRecall, True),
    "precision": (tm.RetrievalPrecision, True),
}


def inputs():
    generator = numpy.random.default_rng(51)
    for documents, queries in [(1, 1), (12, 3), (200, 15)]:
        for rate in [0.0, 0.3, 1.0]:
            scores = generator.permutation(documents).astype(numpy.float32) / documents
            yield f"{documents} of {queries} at {rate}", scores, (generator.random(documents) < rate).astype(int), generator.integers(0, queries, documents)
    yield "large query numbers", numpy.float32([0.1, 0.4, 0.3]), numpy.array([1, 0, 1]), numpy.array([16_777_217, 16_777_216, 16_777_217])


def retrieval():
    for name, scores, relevance, queries in inputs():
        about = torch.tensor(scores), torch.tensor(relevance)
        expected = {}
        for key, (metric, has_k) in METRICS.items():
            for k in [1, 3, 1000] if has_k else [None]:
                for empty in ["neg", "pos", "skip"]:
                    options = {"empty_target_action": empty} | ({"top_k": k} if has_k else {})
                    # Queries without documents are none; torchmetrics counts a mean of no queries as 0, here it is NaN.
                    if empty == "skip" and not relevance.any():
                        continue
                    attempt(expected, f"{key}/{k}/{empty}", lambda: metric(**options)(*about, indexes=torch.tensor(queries)))
        yield case(name, {"scores": scores, "relevance": relevance, "queries": queries}, {}, expected)
    generator = numpy.random.default_rng(52)
    scores, relevance = (generator.integers(0, 5, 60) / 5).astype(numpy.float32), generator.integers(0, 4, 60)
    queries = generator.integers(0, 4, 60)
    expected = {}
    for k in [2, 1000]:
        call = lambda: tm.RetrievalNormalizedDCG(top_k=k)(torch.tensor(scores), torch.tensor(relevance), indexes=torch.tensor(queries))
        attempt(expected, f"ndcg/{k}/neg", call)
    yield case("ties and degrees", {"scores": scores, "relevance": relevance, "queries": queries}, {}, expected)


KINDS = {"retrieval": retrieval}
