"""Errors, explained variance, correlations. In 64 bits, because torchmetrics loses digits in 32."""

import numpy
import scipy.stats
import torch
import torchmetrics.functional as tm
from sklearn import metrics as sk

from common import attempt, bf16, case, dtype_of, floats


def inputs():
    generator = numpy.random.default_rng(21)
    for items in [2, 3, 40, 1000]:
        targets = floats(generator, items)
        yield f"random {items}", targets + floats(generator, items) / 2, targets
    targets = floats(generator, 60)
    yield "one", targets[:1] + 1, targets[:1]
    yield "right", targets, targets
    yield "large mean", targets + 10_000, targets + numpy.float32(10_000.5)
    yield "constant targets", targets, numpy.full(60, 0.1, numpy.float32)
    yield "constant predictions", numpy.full(60, 0.1, numpy.float32), targets
    yield "constant error", targets + 1, targets
    yield "opposite", -targets, targets
    yield "with zeros", targets, numpy.where(targets > 0, targets, 0).astype(numpy.float32)
    yield "ties", (targets * 2).round(), (targets * 3 + floats(generator, 60)).round()
    yield "bf16", bf16(targets + floats(generator, 60) / 4), bf16(targets)
    yield "bf16 of constant targets", bf16(targets), bf16(numpy.full(60, 0.1, numpy.float32))
    yield "bf16 beyond its digits", numpy.full(1000, 1.0, numpy.float32), bf16(floats(generator, 1000) + 100)
    yield "far apart", targets * 1000, -targets * 1000


def regression():
    for name, predictions, targets in inputs():
        p, t = torch.tensor(predictions, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64)
        expected = {}
        attempt(expected, "mse", lambda: tm.mean_squared_error(p, t))
        attempt(expected, "rmse", lambda: tm.mean_squared_error(p, t, squared=False))
        attempt(expected, "mae", lambda: tm.mean_absolute_error(p, t))
        attempt(expected, "mape", lambda: tm.mean_absolute_percentage_error(p, t))
        attempt(expected, "smape", lambda: tm.symmetric_mean_absolute_percentage_error(p, t))
        attempt(expected, "wmape", lambda: tm.weighted_mean_absolute_percentage_error(p, t))
        # torchmetrics overflows for distant values.
        attempt(expected, "log_cosh", lambda: numpy.mean(numpy.logaddexp(p - t, t - p) - numpy.log(2)))
        if name != "far apart":
            attempt(expected, "log_cosh", lambda: tm.log_cosh_error(p, t))
        # torchmetrics takes sums of squares: they cancel for a large mean, and constants do not look constant.
        if name in ["large mean", "constant targets", "constant error", "bf16 of constant targets", "bf16 beyond its digits"]:
            attempt(expected, "r2", lambda: sk.r2_score(t, p))
            attempt(expected, "explained_variance", lambda: sk.explained_variance_score(t, p))
        else:
            attempt(expected, "r2", lambda: tm.r2_score(p, t))
            attempt(expected, "explained_variance", lambda: tm.explained_variance(p, t))
        if len(t) > 4 and "r2" in expected and "constant targets" not in name:
            attempt(expected, "r2/3", lambda: 1 - (1 - sk.r2_score(t, p)) * (len(t) - 1) / (len(t) - 4))
        if numpy.ptp(predictions) > 0 and numpy.ptp(targets) > 0:
            attempt(expected, "pearson", lambda: tm.pearson_corrcoef(p, t))
            # torchmetrics subtracts the means of large ranks in 32 bits.
            attempt(expected, "spearman", lambda: scipy.stats.spearmanr(p, t).statistic)
        else:
            expected["pearson"] = expected["spearman"] = float("nan")
        yield case(name, {"predictions": predictions, "targets": targets}, dtype_of(name), expected)
    generator = numpy.random.default_rng(22)
    for items, size in [(1, 3), (50, 8)]:
        predictions, targets = floats(generator, items, size), floats(generator, items, size)
        value = tm.cosine_similarity(torch.tensor(predictions, dtype=torch.float64), torch.tensor(targets, dtype=torch.float64), reduction="mean")
        yield case(f"vectors {items}x{size}", {"predictions": predictions, "targets": targets}, {}, {"cosine_similarity": value})


KINDS = {"regression": regression}
