"""Counts, scores of counts, confusion matrices."""

import functools

import numpy
import torch
import torchmetrics.functional.classification as tm
from sklearn import metrics as sk

from common import attempt, case, floats

AVERAGES = ["micro", "macro", "weighted", "none"]
# For scikit-learn, with their names here.
SK_AVERAGES = [("micro", "micro"), ("macro", "macro"), ("weighted", "weighted"), (None, "none")]
SCORES = ["precision", "recall", "specificity", "f1_score", "accuracy", "hamming_distance", "jaccard_index"]


def function(task, score):
    return getattr(tm, f"{task}_{score}")


def mcc(targets, predicted, torchmetrics):
    """For a denominator of 0, torchmetrics has a number of two classes that depends on the order of their counts. scikit-learn has 0."""
    is_degenerate = len(set(targets)) < 2 or len(set(predicted)) < 2
    is_clear = (targets == predicted).all() or not (targets == predicted).any()
    return sk.matthews_corrcoef(targets, predicted) if is_degenerate and not is_clear else torchmetrics()


def lacks_a_class(pairs, classes):
    """Whether a class is never a target or never predicted, so that scores have a denominator of 0."""
    return any(len(set(numbers)) < classes for pair in pairs for numbers in pair)


def zero_divisions(expected, task, scores, labels, about):
    """Scores whose denominator may be 0. torchmetrics' check accepts 0 and 1 only, but its formula takes any number."""
    about = {"validate_args": False, **about}
    for zero in [1, 0.25]:
        for average in ["micro"] if task == "binary" else AVERAGES:
            how = {"zero_division": zero, **({} if task == "binary" else {"average": average}), **about}
            for score in ["precision", "recall", "f1_score", "jaccard_index"]:
                attempt(expected, f"zero_{zero}/{score}/{average}", lambda: function(task, score)(scores, labels, **how))
            attempt(expected, f"zero_{zero}/f_beta/{average}", lambda: function(task, "fbeta_score")(scores, labels, beta=2.0, **how))


def nan_divisions(expected, targets, predicted, averages, classes=None):
    """The scores of scikit-learn: with NaN, undefined ones are not in the mean of classes."""
    about = {"labels": classes, "zero_division": numpy.nan}
    f_beta = functools.partial(sk.fbeta_score, beta=2)
    for key, score in [("precision", sk.precision_score), ("recall", sk.recall_score), ("f1_score", sk.f1_score), ("f_beta", f_beta)]:
        for average, name in averages:

            def value():
                if average == "weighted":
                    is_defined = ~numpy.isnan(score(targets, predicted, average=None, **about))
                    weights = sk.precision_recall_fscore_support(targets, predicted, labels=classes, zero_division=0)[3]
                    # Without a weight, scikit-learn takes the plain mean of the classes.
                    if not weights[is_defined].any():
                        return numpy.nan
                return score(targets, predicted, average=average, **about)

            attempt(expected, f"zero_nan/{key}/{name}", value)


def negatives(expected, targets, predicted, averages):
    """Specificity and negative predictive value are recall and precision of "no"."""
    for zero in [0, 1, numpy.nan]:
        for average, name in averages:
            about = {"average": average, "zero_division": zero}
            attempt(expected, f"zero_{zero}/specificity/{name}", lambda: sk.recall_score(1 - targets, 1 - predicted, **about))
            key = f"zero_{zero}/negative_predictive_value/{name}"
            attempt(expected, key, lambda: sk.precision_score(1 - targets, 1 - predicted, **about))


def multiclass_inputs():
    generator = numpy.random.default_rng(1)
    for items, classes in [(1, 2), (7, 2), (50, 3), (200, 5), (64, 11)]:
        for ignore in [None, -100, 0]:
            logits, targets = floats(generator, items, classes), generator.integers(0, classes, items)
            if ignore is not None:
                targets[generator.random(items) < 0.3] = ignore
            yield f"random {items}x{classes} ignoring {ignore}", logits, targets, ignore, "f32"
    ties = (generator.integers(0, 3, (60, 4)) / 2).astype(numpy.float32)
    yield "ties", ties, generator.integers(0, 4, 60), None, "f32"
    logits = floats(generator, 30, 4)
    yield "one class only", logits, numpy.full(30, 2), None, "f32"
    yield "all ignored", logits, numpy.full(30, -1), -1, "f32"
    yield "never predicted", logits - numpy.float32([0, 0, 50, 0]), generator.integers(0, 4, 30), None, "f32"
    yield "all right", numpy.eye(4, dtype=numpy.float32)[[0, 1, 3, 3]], numpy.array([0, 1, 3, 3]), None, "f32"
    yield "all wrong", numpy.eye(2, dtype=numpy.float32)[[0, 1, 1]], numpy.array([1, 0, 0]), None, "f32"
    yield "empty", floats(generator, 0, 3), numpy.zeros(0, dtype=int), None, "f32"
    half = torch.tensor(floats(generator, 80, 4)).bfloat16().float().numpy()
    yield "bf16", half, generator.integers(0, 4, 80), None, "bf16"


def multiclass():
    for name, logits, targets, ignore, dtype in multiclass_inputs():
        classes = logits.shape[1]
        scores = torch.tensor(logits, dtype=getattr(torch, {"f32": "float32", "bf16": "bfloat16"}[dtype]))
        labels = torch.tensor(targets)
        expected, about = {}, {"num_classes": classes, "ignore_index": ignore}
        for score in SCORES:
            for average in AVERAGES:
                attempt(expected, f"{score}/{average}", lambda: function("multiclass", score)(scores, labels, average=average, **about))
        for average in AVERAGES:
            attempt(expected, f"f_beta/{average}", lambda: tm.multiclass_fbeta_score(scores, labels, 2.0, average=average, **about))
        attempt(expected, "stat_scores", lambda: tm.multiclass_stat_scores(scores, labels, average="micro", **about))
        for normalize in ["none", "true", "pred", "all"]:
            attempt(expected, f"confusion/{normalize}", lambda: tm.multiclass_confusion_matrix(scores, labels, normalize=normalize, **about))
        kept = targets != ignore
        pair = targets[kept], logits.argmax(1)[kept]
        attempt(expected, "mcc", lambda: mcc(*pair, lambda: tm.multiclass_matthews_corrcoef(scores, labels, **about)))
        for weights in ["none", "linear", "quadratic"]:
            attempt(expected, f"kappa/{weights}", lambda: tm.multiclass_cohen_kappa(scores, labels, weights=weights, **about))
        if kept.any():
            attempt(expected, "balanced_accuracy", lambda: sk.balanced_accuracy_score(*pair))
        if lacks_a_class([pair], classes):
            zero_divisions(expected, "multiclass", scores, labels, about)
            nan_divisions(expected, *pair, SK_AVERAGES, list(range(classes)))
            # Each class as a label.
            labels_of = [numpy.eye(classes, dtype=int)[numbers] for numbers in pair]
            negatives(expected, *labels_of, [(None, "none")])
        # The hits of top-k predictions. torchmetrics 1.4 also counts the other k - 1 as wrong predictions; since 1.6 it does not.
        for k in [2, 3]:
            if k <= classes:
                if name != "ties":
                    attempt(expected, f"top_{k}/recall/micro", lambda: tm.multiclass_recall(scores, labels, top_k=k, average="micro", **about))
                # If scores are equal, the first class counts, as in `argmax`.
                top = numpy.argsort(-logits, axis=1, kind="stable")[:, :k]
                hit = (top == targets[:, None]).any(axis=1)
                refined = torch.tensor(numpy.where(hit, targets, top[:, 0] if len(top) else 0))
                refined[torch.tensor(targets == ignore)] = 0

                def precision():
                    # Since torchmetrics 1.6, only classes with targets belong to the mean if k is more than 1.
                    of_classes = tm.multiclass_precision(refined, labels, average="none", **about).numpy()
                    occurs = numpy.bincount(targets[kept], minlength=classes) > 0
                    return of_classes[occurs].mean() if occurs.any() else 0.0

                attempt(expected, f"top_{k}/precision/macro", precision)
        yield case(name, {"scores": logits, "targets": targets}, {"ignore_index": ignore, "classes": classes, "dtype": dtype}, expected)


def binary_inputs():
    generator = numpy.random.default_rng(2)
    for items in [1, 10, 300]:
        for ignore, threshold in [(None, 0.5), (-1, 0.3), (0, 0.7)]:
            logits, targets = 3 * floats(generator, items), generator.integers(0, 2, items)
            if ignore is not None:
                targets[generator.random(items) < 0.3] = ignore
            yield f"random {items} ignoring {ignore}", logits, targets, ignore, threshold
    logits = floats(generator, 20)
    for name, targets in [("no positives", numpy.zeros(20, int)), ("no negatives", numpy.ones(20, int)), ("all right", (logits > 0).astype(int))]:
        yield name, logits, targets, None, 0.5
    yield "all wrong", logits, (logits <= 0).astype(int), None, 0.5
    yield "nothing predicted", logits - 50, generator.integers(0, 2, 20), None, 0.5
    yield "empty", floats(generator, 0), numpy.zeros(0, int), None, 0.5


def binary():
    for name, logits, targets, ignore, threshold in binary_inputs():
        scores, labels = torch.sigmoid(torch.tensor(logits)), torch.tensor(targets)
        expected, about = {}, {"threshold": threshold, "ignore_index": ignore}
        for score in SCORES:
            attempt(expected, f"{score}/micro", lambda: function("binary", score)(scores, labels, **about))
        attempt(expected, "f_beta/micro", lambda: tm.binary_fbeta_score(scores, labels, 2.0, **about))
        attempt(expected, "stat_scores", lambda: tm.binary_stat_scores(scores, labels, **about))
        attempt(expected, "confusion/none", lambda: tm.binary_confusion_matrix(scores, labels, **about))
        kept = targets != ignore
        pair = targets[kept], (scores.numpy() > threshold).astype(int)[kept]
        attempt(expected, "mcc", lambda: mcc(*pair, lambda: tm.binary_matthews_corrcoef(scores, labels, **about)))
        attempt(expected, "kappa/none", lambda: tm.binary_cohen_kappa(scores, labels, **about))
        if lacks_a_class([pair], 2):
            zero_divisions(expected, "binary", scores, labels, about)
            nan_divisions(expected, *pair, [("binary", "micro")])
            negatives(expected, *pair, [("binary", "micro")])
        options = {"ignore_index": ignore, "threshold": threshold}
        yield case(name, {"scores": logits, "targets": targets}, options, expected)


def multilabel_inputs():
    generator = numpy.random.default_rng(3)
    for items, labels in [(1, 1), (9, 2), (120, 4)]:
        for ignore in [None, -1]:
            for rate in [0.5, 0.0, 1.0]:
                logits = floats(generator, items, labels)
                targets = (generator.random((items, labels)) < rate).astype(int)
                if ignore is not None:
                    targets[generator.random((items, labels)) < 0.2] = ignore
                yield f"{items}x{labels} ignoring {ignore} rate {rate}", logits, targets, ignore, 0.5
    logits = floats(generator, 25, 3)
    yield "a high threshold", logits, generator.integers(0, 2, (25, 3)), None, 0.8
    yield "all right", logits, (logits > 0).astype(int), None, 0.5
    yield "all wrong", logits, (logits <= 0).astype(int), None, 0.5
    yield "nothing predicted", logits - 50, generator.integers(0, 2, (25, 3)), None, 0.5
    yield "a label without positives", logits, generator.integers(0, 2, (25, 3)) * [1, 0, 1], None, 0.5
    yield "all ignored", logits, numpy.full((25, 3), -1), -1, 0.5


def multilabel():
    for name, logits, targets, ignore, threshold in multilabel_inputs():
        scores, right = torch.sigmoid(torch.tensor(logits)), torch.tensor(targets)
        expected, about = {}, {"num_labels": targets.shape[1], "ignore_index": ignore, "threshold": threshold}
        for score in SCORES:
            # In torchmetrics' Jaccard index an `ignore_index` of 0 or 1 leaves out a label of that number.
            for average in AVERAGES:
                key = f"{score}/{average}"
                attempt(expected, key, lambda: function("multilabel", score)(scores, right, average=average, **about))
        attempt(expected, "stat_scores", lambda: tm.multilabel_stat_scores(scores, right, average="micro", **about))
        # torchmetrics refuses a single label here.
        unchecked = {"validate_args": False, **about}
        for normalize in ["none", "true", "pred", "all"]:
            key = f"confusion/{normalize}"
            attempt(expected, key, lambda: tm.multilabel_confusion_matrix(scores, right, normalize=normalize, **unchecked))
        kept, predicted = targets != ignore, (scores.numpy() > threshold).astype(int)
        pair = targets[kept], predicted[kept]
        attempt(expected, "mcc", lambda: mcc(*pair, lambda: tm.multilabel_matthews_corrcoef(scores, right, **unchecked)))
        if kept.any():
            attempt(expected, "kappa/none", lambda: sk.cohen_kappa_score(*pair))
        # In torchmetrics no item with an ignored label is right.
        if ignore is None:
            attempt(expected, "exact_match", lambda: tm.multilabel_exact_match(scores, right, **about))
        else:
            expected["exact_match"] = ((predicted == targets) | (targets == ignore)).all(axis=1).mean()
        of_labels = zip(targets.T, predicted.T, kept.T)
        if lacks_a_class([(targets[kept], predicted[kept]) for targets, predicted, kept in of_labels], 2):
            zero_divisions(expected, "multilabel", scores, right, about)
            # scikit-learn ignores nothing, and takes a single label for a binary target.
            if ignore is None and targets.shape[1] > 1:
                nan_divisions(expected, targets, predicted, SK_AVERAGES)
                negatives(expected, targets, predicted, [average for average in SK_AVERAGES if average[0] != "weighted"])
        options = {"ignore_index": ignore, "threshold": threshold}
        yield case(name, {"scores": logits, "targets": targets}, options, expected)


KINDS = {"multiclass": multiclass, "binary": binary, "multilabel": multilabel}
