"""Curves of scores, the areas below them, calibration."""

import numpy
import torch
import torchmetrics.functional.classification as tm
from sklearn import metrics as sk

from common import attempt, bf16, case, dtype_of, floats

BINS = 50
# The thresholds of `linspace` may differ from these in the last bit.
THRESHOLDS = torch.arange(BINS, dtype=torch.float32) / (BINS - 1)


def binned(scores):
    """Scores rounded down to a threshold."""
    return (scores[..., None] >= THRESHOLDS.numpy()).sum(axis=-1)


def area(function, targets, scores):
    """A class without positives or negatives has no area."""
    if not len(targets) or targets.min() == targets.max():
        if function is sk.roc_auc_score or not targets.any():
            return float("nan")
    return function(targets, scores)


def points(curve, extra):
    """A curve of torchmetrics from the highest threshold to the lowest, as one list: x of all points, then y."""
    x, y = numpy.array(curve[0]), numpy.array(curve[1])
    return numpy.concatenate([extra[:1], x, extra[1:], y])


def binary_inputs():
    generator = numpy.random.default_rng(11)
    for items in [2, 40, 500]:
        for ignore in [None, -1]:
            scores, targets = generator.random(items).astype(numpy.float32), generator.integers(0, 2, items)
            targets[:2] = [0, 1]
            if ignore is not None and items > 2:
                targets[2:][generator.random(items - 2) < 0.3] = ignore
            yield f"random {items} ignoring {ignore}", scores, targets, ignore
    yield "ties", (generator.integers(0, 4, 100) / 4).astype(numpy.float32), generator.integers(0, 2, 100), None
    yield "zeros and ones", generator.integers(0, 2, 50).astype(numpy.float32), generator.integers(0, 2, 50), None
    yield "at thresholds", THRESHOLDS.numpy(), generator.integers(0, 2, BINS), None
    yield "no positives", generator.random(20).astype(numpy.float32), numpy.zeros(20, int), None
    yield "no negatives", generator.random(20).astype(numpy.float32), numpy.ones(20, int), None
    yield "empty", numpy.zeros(0, numpy.float32), numpy.zeros(0, int), None
    yield "bf16", bf16(generator.random(500).astype(numpy.float32)), generator.integers(0, 2, 500), None


def binary():
    for name, scores, targets, ignore in binary_inputs():
        kept = targets != ignore
        preds, labels = torch.tensor(scores), torch.tensor(targets)
        expected, about = {}, {"ignore_index": ignore}
        is_defined = len(set(targets[kept])) == 2
        if is_defined:
            attempt(expected, "exact/auroc", lambda: tm.binary_auroc(preds, labels, **about))
            attempt(expected, "exact/auroc/0.3", lambda: tm.binary_auroc(preds, labels, max_fpr=0.3, **about))
            attempt(expected, "exact/average_precision", lambda: tm.binary_average_precision(preds, labels, **about))
            attempt(expected, "exact/roc", lambda: points(tm.binary_roc(preds, labels, **about)[:2], []))
            pr = lambda: points([part.flip(0) for part in tm.binary_precision_recall_curve(preds, labels, **about)[1::-1]], [])
            attempt(expected, "exact/precision_recall", pr)
        else:
            expected["exact/auroc"] = float("nan")
            expected["exact/average_precision"] = 1.0 if name == "no negatives" else float("nan")
        # The binned curve of torchmetrics does not begin at (0, 0), so scores of exactly 1 cost area. Ours is the exact area of
        # scores which are rounded down to a threshold.
        rounded = binned(scores)[kept]
        expected["binned/auroc"] = area(sk.roc_auc_score, targets[kept], rounded)
        expected["binned/average_precision"] = area(sk.average_precision_score, targets[kept], rounded)
        if is_defined and (scores < 1).all():
            about["thresholds"] = THRESHOLDS
            attempt(expected, "binned/auroc", lambda: tm.binary_auroc(preds, labels, **about))
            attempt(expected, "binned/average_precision", lambda: tm.binary_average_precision(preds, labels, **about))
            attempt(expected, "binned/roc", lambda: points(tm.binary_roc(preds, labels, **about)[:2], [0.0, 0.0]))
        if kept.any():
            for norm in ["l1", "l2", "max"]:
                attempt(expected, f"calibration/{norm}", lambda: tm.binary_calibration_error(preds, labels, n_bins=15, norm=norm, ignore_index=ignore))
        yield case(name, {"scores": scores, "targets": targets}, {"ignore_index": ignore, "bins": BINS, **dtype_of(name)}, expected)


def multiclass():
    generator = numpy.random.default_rng(12)
    for items, classes in [(20, 2), (300, 4)]:
        for ignore in [None, -100, 1]:
            for present in [classes, classes - 1]:
                logits, targets = 2 * floats(generator, items, classes), generator.integers(0, present, items)
                if ignore is not None:
                    targets[generator.random(items) < 0.2] = ignore
                probabilities = torch.softmax(torch.tensor(logits), dim=1)
                labels, kept = torch.tensor(targets), targets != ignore
                expected = {}
                weights = [(targets[kept] == of).sum() for of in range(classes)]
                for how, scores in [("exact", probabilities.numpy()), ("binned", binned(probabilities.numpy()))]:
                    for kind, function in [("auroc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)]:
                        areas = [area(function, (targets[kept] == of).astype(int), scores[kept, of]) for of in range(classes)]
                        expected[f"{how}/{kind}/none"] = areas
                        known = ~numpy.isnan(areas)
                        expected[f"{how}/{kind}/macro"] = numpy.mean(numpy.array(areas)[known])
                        weighted = numpy.average(numpy.array(areas)[known], weights=numpy.array(weights)[known]) if known.any() else float("nan")
                        expected[f"{how}/{kind}/weighted"] = weighted
                        right = (targets[kept][:, None] == numpy.arange(classes)).astype(int)
                        expected[f"{how}/{kind}/micro"] = function(right.ravel(), scores[kept].ravel())
                if present == classes and ignore != 1:
                    about = {"num_classes": classes, "ignore_index": ignore}
                    for average in ["macro", "weighted", "none"]:
                        attempt(expected, f"exact/auroc/{average}", lambda: tm.multiclass_auroc(probabilities, labels, average=average, **about))
                        attempt(expected, f"exact/average_precision/{average}", lambda: tm.multiclass_average_precision(probabilities, labels, average=average, **about))
                        attempt(expected, f"binned/auroc/{average}", lambda: tm.multiclass_auroc(probabilities, labels, average=average, thresholds=THRESHOLDS, **about))
                for norm in ["l1", "l2", "max"]:
                    call = lambda: tm.multiclass_calibration_error(probabilities, labels, num_classes=classes, n_bins=10, norm=norm, ignore_index=ignore)
                    attempt(expected, f"calibration/{norm}", call)
                name = f"{items}x{classes} ignoring {ignore}, {present} present"
                options = {"ignore_index": ignore, "bins": BINS, "calibration_bins": 10, "classes": classes}
                yield case(name, {"scores": logits, "targets": targets}, options, expected)


def multilabel():
    generator = numpy.random.default_rng(13)
    for items, labels, ignore in [(30, 2, None), (200, 3, None), (200, 3, -1)]:
        logits, targets = 2 * floats(generator, items, labels), generator.integers(0, 2, (items, labels))
        if ignore is not None:
            targets[generator.random((items, labels)) < 0.2] = ignore
        scores, right = torch.sigmoid(torch.tensor(logits)), torch.tensor(targets)
        expected, about = {}, {"num_labels": labels, "ignore_index": ignore}
        for average in ["micro", "macro", "weighted", "none"]:
            for how, thresholds in [("exact", None), ("binned", THRESHOLDS)]:
                attempt(expected, f"{how}/auroc/{average}", lambda: tm.multilabel_auroc(scores, right, average=average, thresholds=thresholds, **about))
                attempt(expected, f"{how}/average_precision/{average}", lambda: tm.multilabel_average_precision(scores, right, average=average, thresholds=thresholds, **about))
        yield case(f"{items}x{labels} ignoring {ignore}", {"scores": logits, "targets": targets}, {"ignore_index": ignore, "bins": BINS}, expected)


KINDS = {"binary_ranking": binary, "multiclass_ranking": multiclass, "multilabel_ranking": multilabel}
